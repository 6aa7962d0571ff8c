"""Data sets whose sizes are known without a file: their class counts, and a stand-in without images."""

from pathlib import Path

import numpy as np

from gclib.data.counts import class_counts, long_tailed_indices
from gclib.data.listed import SIDE, augmentation_of, listed
from gclib.data.longtail import LongTailed, subset_digest
from gclib.data.photos import Photos
from gclib.data.published import PUBLISHED, Published, published_counts
from gclib.data.sources import DIGITS_TEST, DIGITS_TRAIN, SOURCES, Split, positions_in_class, root_folder
from gclib.errors import UserError

__all__ = ["UNKNOWN_IMAGES", "WHOLE", "training_counts", "without_images"]

UNKNOWN_IMAGES = 64 * "0"
"""Digest of a stand-in whose class counts are not known: recipes resolve for it, but no run has its identity."""

WHOLE = {"digits": (DIGITS_TRAIN, 10), "cifar10": (5000, 10), "cifar100": (500, 100)}
"""Training images per class before the cut, and classes, of the data sets whose sizes are known without a file."""

TEST_IMAGES = {"digits": DIGITS_TEST, "cifar10": 1000, "cifar100": 100}  # per class


def training_counts(dataset: str = "cifar10", ratio: float = 100) -> np.ndarray:
    """Return the training images of each class of a long-tailed data set, without its images.

    Parameters
    ----------
    dataset
        ``"digits"``, ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Returns
    -------
    np.ndarray
        int64, shape (C,).

    Raises
    ------
    UserError
        For another data set.
    """
    if dataset not in WHOLE:
        raise UserError(f"no class counts for {dataset}; expected one of {', '.join(WHOLE)}")
    return class_counts(*WHOLE[dataset], ratio)


def without_images(
    dataset: str = "cifar10", ratio: float | None = 100, root: str | Path | None = None
) -> LongTailed:
    """Return a long-tailed data set whose images have no pixels: to resolve recipes and plan runs; no image is read.

    Parameters
    ----------
    dataset
        ``"digits"``, ``"cifar10"``, ``"cifar100"`` or one of `gclib.data.PUBLISHED`.
    ratio
        Imbalance ratio, None for 1; of a published set it is the set's own.
    root
        Where the annotations of iNaturalist 2018 lie, whose class counts are in no other place; see `root_folder`.
        Where they are not, counts of the same size and ratio stand in, and the digest is `UNKNOWN_IMAGES`.

    Returns
    -------
    LongTailed
        Counts and digest are those of the data set itself at this ratio, for they follow from its class sizes; its
        classes are named by their numbers.

    Raises
    ------
    UserError
        For another data set, or annotations that are not the official ones.
    """
    if dataset in PUBLISHED:
        return _published(dataset, root_folder(root))
    ratio = ratio or 1
    counts = training_counts(dataset, ratio)
    size, classes = WHOLE[dataset]
    labels = np.repeat(np.arange(classes), size)
    chosen = long_tailed_indices(labels, ratio)
    positions = positions_in_class(labels, np.full(classes, size))[chosen]
    train = _without_pixels(labels[chosen])
    test = _without_pixels(np.repeat(np.arange(classes), TEST_IMAGES[dataset]))
    names = tuple(map(str, range(classes)))
    return LongTailed(
        dataset, ratio, train, test, counts, names, SOURCES[dataset].augmentation, subset_digest(positions)
    )


def _without_pixels(labels: np.ndarray) -> Split:
    return Split(np.empty((len(labels), 0, 0, 3), dtype=np.uint8), labels)


def _published(name: str, root: Path) -> LongTailed:
    known, counts = PUBLISHED[name], published_counts(name)
    names = tuple(map(str, range(known.classes)))
    proof: bytes | None = b""
    if counts is None and not any((place / known.train[0]).exists() for place in (root / name, root)):
        counts, proof = _made_up(known), None
    elif counts is None:
        found = listed(name, root)
        counts, names, proof = np.bincount(found.train[1]), found.class_names, found.proof
    labels, every = np.repeat(np.arange(known.classes), counts), np.arange(known.classes)
    tested = np.repeat(every, known.sizes[1] // known.classes)  # all test splits are balanced
    nowhere = np.array(b"", "S1")
    train, test = (
        Split(Photos(np.broadcast_to(nowhere, len(split)), SIDE), split) for split in (labels, tested)
    )
    digest = UNKNOWN_IMAGES
    if proof is not None:
        digest = subset_digest(positions_in_class(labels, counts), np.frombuffer(proof, np.uint8))
    return LongTailed(name, None, train, test, counts, names, augmentation_of(name), digest)


def _made_up(known: Published) -> np.ndarray:
    """Class counts of the right sum, number and ratio that are nobody's."""
    least, images = 2, known.sizes[0]
    most = least * known.ratio
    power = (most - least) / (images / known.classes - least) - 1
    counts = least + ((most - least) * np.linspace(1, 0, known.classes) ** power).astype(np.int64)
    counts[1 : 1 + images - counts.sum()] += 1  # what rounding down took
    return counts
