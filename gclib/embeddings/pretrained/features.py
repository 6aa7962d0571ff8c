"""Features of a data set, in a file so small that a repository can hold it: turned, cut and rounded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gclib import ROOT
from gclib.data import NETWORKS, LongTailed, Split, find_weights, identify_weights, without_images
from gclib.data.photos import Photos
from gclib.embeddings.archive import packed, unpacked
from gclib.errors import UserError
from gclib.files import write_atomically

__all__ = [
    "DIRECTIONS",
    "FILE",
    "NETWORK",
    "SIDE",
    "STEP",
    "Features",
    "embedded",
    "load",
    "save",
    "shortened",
]

FILE = ROOT / "results" / "transfer" / "cifar100-ir100.npz"
NETWORK = "efficientnet-lite0"  # whose weights a package holds
SIDE = 128  # pixels to which smaller images are scaled up
DIRECTIONS, STEP = 128, 0.5  # of a feature, what is kept, and to which multiples it is rounded
STORED = {"train": "i1", "test": "i1", "train_labels": "u2", "test_labels": "u2"}
LARGEST = 127  # of what is stored


@dataclass(frozen=True, eq=False)
class Features:
    """Features of both splits, and what they are of.

    Attributes
    ----------
    data
        The data set with features, float32 ``(N, d)``, in the place of images.
    about
        How they were made: ``data``, ``ratio``, ``images`` (the digest of the data set), ``network``, ``weights``
        (SHA-256), ``side``; of stored ones also ``directions``, ``step`` and ``measured``, the accuracies by group that
        some recipes reach on the whole features and on these, with one seed.
    """

    data: LongTailed
    about: dict[str, Any]


def embedded(data: LongTailed, side: int = SIDE) -> Features:
    """Pass every image of a data set through the pretrained network once, unaugmented.

    Parameters
    ----------
    data
        Smaller images are scaled up to `side`; larger ones, and photos in their files, are taken as they are.
    side
        In pixels.

    Raises
    ------
    UserError
        If the package with the weights is not installed.
    """
    import torch
    import torch.nn.functional as F

    from gclib.networks import make_network, read_embedding
    from gclib.train.features import images_of
    from gclib.train.making import normalised_for

    weights = identify_weights(NETWORK, "pretrained")
    assert weights is not None
    network = make_network(NETWORK, data.num_classes, "linear")
    network.start_from(read_embedding(find_weights(weights), NETWORK))
    network = network.eval().to(memory_format=torch.channels_last)
    constants = NETWORKS[NETWORK]
    assert constants is not None
    (mean, *_), (std, *_) = constants  # the same of each channel

    @torch.no_grad()
    def of(split: str) -> Split:
        images = images_of(normalised_for(NETWORK, data), split, torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
        found = []
        for part in images.plain():
            for pixels in part.split(100):
                if pixels.shape[-1] < side:
                    larger = F.interpolate(pixels, size=(side, side), mode="bicubic", align_corners=False)
                    pixels = larger.clamp(-mean / std, (1 - mean) / std)
                found.append(network.features(pixels.to(memory_format=torch.channels_last)))
        return Split(torch.cat(found).numpy(), getattr(data, split).labels)

    height = data.train.images.shape[1]
    seen = height if isinstance(data.train.images, Photos) else max(side, height)
    about = {
        "data": data.name,
        "ratio": data.ratio,
        "images": data.digest,
        "network": NETWORK,
        "weights": weights,
        "side": seen,
    }
    return Features(replace(data, train=of("train"), test=of("test")), about)


def shortened(features: Features, directions: int = DIRECTIONS, step: float = STEP) -> Features:
    """Turn features so that their first coordinates are the longest, keep those, and round them.

    The axes are the singular vectors of the training features, without their mean taken away: lengths of features and
    angles between them stay as they were but for what is cut off, so a linear classifier and a cosine classifier of
    these are ones of the whole features.

    Parameters
    ----------
    features
        As `embedded` returns them.
    directions
        How many coordinates are kept, >= 1.
    step
        They are rounded to its multiples, or to those of a larger one where a byte would not hold them.
    """
    whole = np.asarray(features.data.train.images, np.float64)
    _, vectors = np.linalg.eigh(whole.T @ whole)
    axes = vectors[:, ::-1][:, :directions]
    axes = axes * np.where(axes.sum(0) < 0, -1, 1)  # else their signs are chance
    turned = [split.images @ axes for split in (features.data.train, features.data.test)]
    step = max(step, max(abs(part).max() for part in turned) / LARGEST)
    train, test = (
        Split((np.round(part / step) * step).astype(np.float32), split.labels)
        for part, split in zip(turned, (features.data.train, features.data.test), strict=True)
    )
    about = features.about | {"directions": axes.shape[1], "step": step}
    return Features(replace(features.data, train=train, test=test), about)


def save(features: Features, path: str | Path = FILE) -> None:
    """Write shortened features, whole or not at all, class after class, with a SHA-256 of the content.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    about = features.about | {"class_names": list(features.data.class_names)}
    arrays = {}
    for name in ("train", "test"):
        split = getattr(features.data, name)
        order = np.argsort(split.labels, kind="stable")
        # One coordinate after another is packed closest.
        arrays[name] = np.round(split.images[order].T / about["step"]).astype(STORED[name])
        arrays[f"{name}_labels"] = split.labels[order].astype(STORED[f"{name}_labels"])
    write_atomically(Path(path), packed(about, arrays))


def load(path: str | Path = FILE) -> Features:
    """Read stored features and check them.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else.
    """
    try:
        about, arrays = unpacked(Path(path).read_bytes())
        names = tuple(about.pop("class_names"))
        train, test = (
            Split((arrays[name].T * np.float32(about["step"])), arrays[f"{name}_labels"].astype(np.int64))
            for name in ("train", "test")
        )
    except Exception as error:  # a damaged archive raises nearly anything
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} holds no features ({reason}); make them with python -m gclib.embeddings.pretrained --file {path}"
        ) from error
    counts = np.bincount(train.labels, minlength=len(names))
    # Augmentation means nothing to features.
    plain = without_images("digits").augmentation
    data = LongTailed(about["data"], about["ratio"], train, test, counts, names, plain, about["images"])
    return Features(data, about)
