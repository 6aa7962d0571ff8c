"""Embeddings of a few images of each class, small enough to lie beside a run's record.

``python -m gclib.embeddings RECORD...`` makes them from the stage-one weights beside the records, in under a
minute each for CIFAR-10: ``seed0.json`` gets ``seed0.embedding.npz``.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from gclib import ROOT, data, plan, records
from gclib.augment import normalise
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.geometry import CLEAR, NEIGHBOURS, Geometry, geometry
from gclib.networks import ResNet, read_weights, resnet32

__all__ = ["Embedding", "embed", "find", "load", "main", "make", "save", "subset", "tsne"]

SUFFIX = ".embedding.npz"
PER_CLASS, PERPLEXITY = 60, 30.0
BATCH = 250
STORED = {"features": "f2", "labels": "u2", "test": "?", "predicted": "u2", "plane": "f4"}


@dataclass(frozen=True)
class Embedding:
    """Where a network puts images of both splits.

    Attributes
    ----------
    features
        Float, shape ``(N, d)``, as the classifier gets them.
    labels, predicted
        True class, and the class that the network gives, int, shape ``(N,)``.
    test
        Whether an image is of the test split, bool, shape ``(N,)``.
    plane
        Where to draw each image, shape ``(N, 2)``: t-SNE of the features, or they themselves where d is 2.
    class_counts
        Training images of each class in the whole split, int64, shape ``(C,)``.
    class_names
        C names.
    settings
        How the images were chosen and `plane` was made; from a record, also which run.
    """

    features: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    predicted: np.ndarray
    plane: np.ndarray
    class_counts: np.ndarray
    class_names: tuple[str, ...]
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        count, classes = len(self.features), len(self.class_names)
        shapes = {name: getattr(self, name).shape for name in ("labels", "test", "predicted")}
        if set(shapes.values()) != {(count,)} or self.plane.shape != (count, 2) or self.features.ndim != 2:
            raise UserError("embedding: expected one feature, label, prediction and place for each image")
        if len(self.class_counts) != classes or max(self.labels.max(), self.predicted.max()) >= classes:
            raise UserError(f"embedding: a class beyond the {classes} that have names; expected none")
        if not (np.isfinite(self.features).all() and self.features.any(1).all()):
            raise UserError("embedding: a feature is zero or not finite; expected a direction for each image")
        if not np.isfinite(self.plane).all():
            raise UserError("embedding: an image has no place in the plane; expected finite coordinates")

    @property
    def right(self) -> np.ndarray:
        """Which images are classified rightly, bool, shape ``(N,)``."""
        return self.predicted == self.labels

    def of(self, test: bool) -> "Embedding":
        """Return the images of one split alone."""
        arrays = {name: getattr(self, name)[self.test == test] for name in STORED}
        return replace(self, **arrays)

    def geometry(self, neighbours: int = NEIGHBOURS, clear: float = CLEAR) -> Geometry:
        """Measure the features of all images; see `gclib.geometry.geometry`."""
        return geometry(self.features, self.labels, len(self.class_names), neighbours, clear)


def subset(data: LongTailed, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose images of both splits, class by class.

    Parameters
    ----------
    data
        The data set.
    per_class
        Images of each class and split, at most: of a rarer class all are taken.
    seed
        Seed of the choice.

    Returns
    -------
    images, labels, test
        uint8 ``(N, H, W, C)``, int64 ``(N,)`` and bool ``(N,)``; the training images come first.
    """
    generator = np.random.default_rng(seed)
    images, labels, test = [], [], []
    for in_test, split in enumerate((data.train, data.test)):
        for label in range(data.num_classes):
            own = generator.permutation(np.flatnonzero(split.labels == label))
            chosen = np.sort(own[:per_class])
            images.append(split.images[chosen])
            labels.append(split.labels[chosen])
            test.append(np.full(len(chosen), bool(in_test)))
    return np.concatenate(images), np.concatenate(labels), np.concatenate(test)


def tsne(features: ArrayLike, perplexity: float = PERPLEXITY, seed: int = 0) -> np.ndarray:
    """Project directions to the plane so that near ones stay near (van der Maaten and Hinton, JMLR 2008).

    Distances between clusters, and their sizes, mean little in the picture. Another CPU may give another one.

    Parameters
    ----------
    features
        Shape ``(N, d)``; each is brought to length 1.
    perplexity
        About how many neighbours an image keeps; below N.
    seed
        Seed of the projection, which starts from the principal components.

    Returns
    -------
    np.ndarray
        Shape ``(N, 2)``.
    """
    from sklearn.manifold import TSNE

    unit = np.asarray(features, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)


@torch.no_grad()
def embed(
    network: ResNet,
    data: LongTailed,
    per_class: int = PER_CLASS,
    seed: int = 0,
    perplexity: float = PERPLEXITY,
) -> Embedding:
    """Embed some images of each class, training and test split in one plane.

    Parameters
    ----------
    network
        On the CPU. It is left in evaluation mode.
    data
        The data set.
    per_class
        Images of each class and split, at most.
    seed
        Seed of the choice of images and of t-SNE.
    perplexity
        Of t-SNE, which is left out where the network has two features.
    """
    import sklearn

    network.eval()
    images, labels, test = subset(data, per_class, seed)
    dtype = next(network.parameters()).dtype
    pixels = torch.from_numpy(images).split(BATCH)
    parts = [network.features(normalise(part, data.augmentation, dtype)) for part in pixels]
    features = torch.cat(parts)
    settings: dict[str, Any] = {"per_class": per_class, "seed": seed}
    plane = features.numpy()
    if features.shape[1] != 2:
        plane = tsne(features, perplexity, seed)
        settings |= {"tsne": {"perplexity": perplexity, "init": "pca"}, "scikit-learn": sklearn.__version__}
    return Embedding(
        features=features.numpy(),
        labels=labels,
        test=test,
        predicted=network.head(features).argmax(1).numpy(),
        plane=plane,
        class_counts=data.class_counts,
        class_names=data.class_names,
        settings=settings,
    )


def save(embedding: Embedding, path: str | Path) -> None:
    """Write an embedding, whole or not at all; features in half precision, the same bytes for the same content.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    about = {
        "class_counts": embedding.class_counts.tolist(),
        "class_names": embedding.class_names,
        "settings": embedding.settings,
    }
    arrays = {name: getattr(embedding, name).astype(dtype) for name, dtype in STORED.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    write_atomically(Path(path), buffer.getvalue())


def load(path: str | Path) -> Embedding:
    """Read an embedding and check it.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else.
    """
    try:
        content = Path(path).read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes())
        for name, dtype in STORED.items():
            if arrays[name].dtype != np.dtype(dtype):
                raise ValueError(f"{name} is {arrays[name].dtype}, expected {np.dtype(dtype)}")
        counts, names = np.array(about["class_counts"], dtype=np.int64), tuple(about["class_names"])
        return Embedding(**arrays, class_counts=counts, class_names=names, settings=about["settings"])
    except Exception as error:  # a damaged archive raises nearly anything
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} holds no embedding ({reason}); make it again with python -m gclib.embeddings"
        ) from error


def make(path: str | Path) -> Path:
    """Embed images by the stage-one weights beside a record, and keep the result beside both.

    Parameters
    ----------
    path
        The record.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UserError
        If there is no such record, no weights beside it, or not the data that it was made from.
    """
    record, weights = records.load(path), Path(path).with_suffix(".safetensors")
    if not weights.exists():
        raise UserError(
            f"no stage-one weights {_shown(weights)}; train with them: {record.command} -p keep new"
        )
    dataset = data.load(record.data.name, record.data.ratio)
    if dataset.digest != record.data.digest:
        raise UserError(f"{_shown(Path(path))} was made from other images of {dataset.name}; train it again")
    network = resnet32(dataset.num_classes, str(record.recipe["head"]))
    network.load_state_dict(read_weights(weights, dataset.num_classes, str(record.recipe["head"])))
    made = embed(network, dataset)
    run = {"run": record.identity, "recipe": record.name, "scale": record.scale, "weights": _digest(weights)}
    target = Path(path).with_suffix(SUFFIX)
    save(replace(made, settings=made.settings | run), target)
    return target


def find(
    recipe: str, dataset: str, ratio: float, seed: int = 0, root: str | Path = ROOT / "results"
) -> Embedding:
    """Load the embedding beside the record of a run at paper scale.

    Raises
    ------
    UserError
        If it is not made yet, or from other weights than those there now: with the command that makes it.
    """
    found = records.find(root, scale="paper", dataset=dataset, ratio=ratio, recipe=recipe, seed=seed)
    if not found:
        again = plan.command(recipe, dataset, ratio, seed, "paper")
        raise UserError(f"{recipe} is not trained yet: {again} -p keep new")
    record = records.results_path(found[0], root)
    path, command = record.with_suffix(SUFFIX), f"python -m gclib.embeddings {_shown(record)}"
    if not path.exists():
        raise UserError(f"the embedding of {recipe} is not made yet: {command}")
    embedding, weights = load(path), record.with_suffix(".safetensors")
    if weights.exists() and embedding.settings.get("weights") != _digest(weights):
        raise UserError(f"the embedding of {recipe} was made from other weights: {command}")
    return embedding


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shown(path: Path) -> str:
    """The path as seen from the checkout, so that it reads the same on every machine."""
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the embeddings of the records that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m gclib.embeddings", description="Embed images by the weights beside run records."
    )
    parser.add_argument("record", nargs="+", type=Path, help="a run record with weights beside it")
    for path in parser.parse_args(arguments).record:
        begun = time.perf_counter()
        try:
            target = make(path)
        except UserError as error:
            sys.exit(str(error))
        size = target.stat().st_size / 1000
        print(f"{target}: {size:.0f} kB in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
