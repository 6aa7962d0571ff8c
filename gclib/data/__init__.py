"""Data sets by name, their long-tailed subsets, and where they lie."""

from gclib.data.known import WHOLE, training_counts, without_images
from gclib.data.longtail import LongTailed, class_counts, load, long_tailed_indices
from gclib.data.sources import CIFAR, DIGITS, FOLDER, SOURCES, Augmentation, Source, Split, names, root_folder

__all__ = [
    "CIFAR",
    "DIGITS",
    "FOLDER",
    "SOURCES",
    "WHOLE",
    "Augmentation",
    "LongTailed",
    "Source",
    "Split",
    "class_counts",
    "load",
    "long_tailed_indices",
    "names",
    "root_folder",
    "training_counts",
    "without_images",
]
