"""Data sets by name, their long-tailed subsets, and where they lie."""

from gclib.data.budget import IMAGE_BUDGET, image_budget
from gclib.data.counts import class_counts, held_out, long_tailed_indices
from gclib.data.known import UNKNOWN_IMAGES, WHOLE, training_counts, without_images
from gclib.data.listed import listed
from gclib.data.longtail import LongTailed, load
from gclib.data.published import PUBLISHED, published_counts
from gclib.data.report import cautions
from gclib.data.sources import (
    CIFAR,
    DIGITS,
    FOLDER,
    SOURCES,
    Augmentation,
    Source,
    Split,
    names,
    ratio_of,
    root_folder,
)
from gclib.data.weights import NETWORKS, fetch_weights, find_weights, identify_weights, planned_weights

__all__ = [
    "CIFAR",
    "DIGITS",
    "FOLDER",
    "IMAGE_BUDGET",
    "NETWORKS",
    "PUBLISHED",
    "SOURCES",
    "UNKNOWN_IMAGES",
    "WHOLE",
    "Augmentation",
    "LongTailed",
    "Source",
    "Split",
    "cautions",
    "class_counts",
    "fetch_weights",
    "find_weights",
    "held_out",
    "identify_weights",
    "image_budget",
    "listed",
    "load",
    "long_tailed_indices",
    "names",
    "planned_weights",
    "published_counts",
    "ratio_of",
    "root_folder",
    "training_counts",
    "without_images",
]
