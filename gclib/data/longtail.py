"""A data set as a run sees it: read, cut to a long tail, sampled where the scale is small, and identified."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gclib.data.budget import IMAGE_BUDGET, image_budget, sample_classes, sample_counts
from gclib.data.counts import class_sizes, held_out, long_tailed_indices
from gclib.data.listed import published_images
from gclib.data.own import own, own_images
from gclib.data.photos import Photos
from gclib.data.published import PUBLISHED
from gclib.data.sources import Augmentation, Split, Whole, by_name, positions_in_class, root_folder
from gclib.errors import UserError, require_one_of, require_range


@dataclass(frozen=True, eq=False)
class LongTailed:
    """A data set with a long-tailed training split and a test split, balanced where its source is.

    Attributes
    ----------
    name
        Name that `load` takes.
    ratio
        Imbalance ratio that was asked for, or None where the training split was left as it is.
    train, test
        The two splits.
    class_counts
        int64, shape ``(C,)``: training images per class.
    class_names
        Names of the C classes.
    augmentation
        What keeps the class of these images.
    digest
        SHA-256 of the positions, within each class, of the chosen training images (little-endian int64); of what no
        checksum proves (`Source.fixed`), also of the images, or of their files and side, and the labels of both splits.
    """

    name: str
    ratio: float | None
    train: Split
    test: Split
    class_counts: np.ndarray
    class_names: tuple[str, ...]
    augmentation: Augmentation
    digest: str

    def __repr__(self) -> str:
        cut = "as it is" if self.ratio is None else f"ratio {self.ratio:g}"
        counts = f"{self.class_counts.max()} to {self.class_counts.min()} in {self.num_classes} classes"
        images = f"{len(self.train)} training images, {counts}; {len(self.test)} test images"
        return f"LongTailed({self.name!r}, {cut}: {images})"

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    def held_out(self, share: float) -> np.ndarray:
        """Mark the training images that a stage does not train on, bool ``(N,)``; see `gclib.data.held_out`."""
        return held_out(self.train.labels, share, drawn=self.ratio is None)


def load(
    name: str,
    ratio: float | None = None,
    root: str | Path | None = None,
    download: bool = True,
    *,
    split_seed: int = 0,
    scale: str = "paper",
) -> LongTailed:
    """Load a data set, its training split cut to a long tail.

    Parameters
    ----------
    name
        One of `SOURCES`: ``"digits"`` (embedded, 8x8), ``"cifar10"``, ``"cifar100"``; one of `PUBLISHED`, of which
        lists and photographs are read but never fetched. Or a person's own images:
        ``"folder:PATH"`` with one folder of images per class, or with such folders in ``train`` and ``test`` (or
        ``val``); ``"list:PATH"`` with a CSV file of ``path,label`` or ``path,label,group``, or a folder that holds
        ``train.csv`` and perhaps ``test.csv``. ``"folder:PATH@64"`` brings them to 64x64 pixels (shorter side scaled,
        centre cropped), without a size it is 32x32; above 64 the images stay in their files, and training takes random
        resized crops of them (`gclib.data.photos.Photos`). ``"folder:PATH,groups=_"`` keeps files of a folder whose
        names agree up to the last ``_`` on one side of the split. Their classes stand in the order of their training
        images.
    ratio
        Imbalance ratio, >= 1; None leaves the training split as it is.
    root
        Where CIFAR and the published sets lie; default ``$GCLIB_DATA``, else ``data/`` in the checkout.
    download
        Whether torchvision may download what is missing.
    split_seed
        Only for a person's own images without a test split: seed by which a fifth of each class is held out.
    scale
        ``"smoke"`` and ``"short"`` take a stratified sample of what is larger than such a run may see
        (`gclib.data.image_budget`), except of digits and CIFAR, whose subsets are the field's. Of very many classes the
        sample has some, from head to tail.

    Returns
    -------
    LongTailed
        Images in memory as uint8, or in their files. Of a person's own images only those are read that are in it: of
        those that stay in their files once, to find what cannot be used and for the digest.

    Raises
    ------
    UserError
        If the name is unknown, the data is missing, altered or unreadable, a class has no image in one of the
        splits, or the ratio leaves it none.

    Examples
    --------
    >>> load("digits", ratio=20).class_counts.tolist()
    [100, 71, 51, 36, 26, 18, 13, 9, 6, 5]
    """
    require_one_of("scale", scale, IMAGE_BUDGET)
    require_range(0, 2**32, split_seed=split_seed)
    if not isinstance(name, str):
        raise UserError(f"data set {name!r}: expected a name, such as 'cifar10' or 'folder:PATH'")
    mine = own(name)
    if mine:
        whole = own_images(mine, split_seed)
    elif name in PUBLISHED:
        whole = published_images(name, root_folder(root))
    else:
        whole = by_name(name, root, download)
    at_most = None if whole.fixed else image_budget(scale, *whole.size)
    if at_most is not None:
        whole = _with_classes(whole, sample_classes(len(whole.class_names), at_most))
    labels, classes = whole.train_labels, len(whole.class_names)
    kept = np.arange(len(labels)) if ratio is None else long_tailed_indices(labels, ratio)
    kept = _sample(kept, labels, at_most, ratio)
    tested = _sample(np.arange(len(whole.test_labels)), whole.test_labels, at_most)
    train, test = whole.take(kept, tested)
    positions = positions_in_class(labels, class_sizes(labels, classes))[kept]
    # A name and positions say which images they are only where a checksum proves the images.
    fixed = [np.frombuffer(whole.proof, np.uint8)]
    content = fixed if whole.fixed else [_proof(train), _proof(test), train.labels, test.labels]
    digest = subset_digest(positions, *content)
    counts = class_sizes(train.labels, classes).astype(np.int64)
    return LongTailed(name, ratio, train, test, counts, whole.class_names, whole.augmentation, digest)


def _with_classes(whole: Whole, chosen: np.ndarray) -> Whole:
    """Return the data set of these classes alone."""
    if len(chosen) == len(whole.class_names):
        return whole
    number = np.full(len(whole.class_names), -1)
    number[chosen] = np.arange(len(chosen))
    trained, tested = (np.flatnonzero(number[of] >= 0) for of in (whole.train_labels, whole.test_labels))

    def take(kept: np.ndarray, held: np.ndarray) -> tuple[Split, Split]:
        train, test = whole.take(trained[kept], tested[held])
        return replace(train, labels=number[train.labels]), replace(test, labels=number[test.labels])

    return replace(
        whole,
        train_labels=number[whole.train_labels[trained]],
        test_labels=number[whole.test_labels[tested]],
        class_names=tuple(whole.class_names[label] for label in chosen),
        take=take,
    )


def _proof(split: Split) -> np.ndarray:
    return split.images.proof if isinstance(split.images, Photos) else split.images


def _sample(
    kept: np.ndarray, labels: np.ndarray, at_most: int | None, ratio: float | None = None
) -> np.ndarray:
    """Return a stratified sample of the positions `kept`, in their order; all of them where they are not too many."""
    if at_most is None or len(kept) <= at_most:
        return kept
    counts = class_sizes(labels[kept])
    wanted = sample_counts(counts, at_most, ratio)
    # A cut is shuffled already, and its first images are the cut from a smaller head; a split is in some order.
    order = np.arange(len(kept)) if ratio else np.random.default_rng(0).permutation(len(kept))
    places = positions_in_class(labels[kept[order]], counts)
    return kept[np.sort(order[places < wanted[labels[kept[order]]]])]


def subset_digest(positions: np.ndarray, *images: np.ndarray) -> str:
    """SHA-256 of the positions of images within their class, and of images and labels."""
    content = hashlib.sha256(positions.astype("<i8").tobytes())
    for part in images:
        content.update(np.ascontiguousarray(part).data)  # no copy, which `tobytes` would be
    return content.hexdigest()
