"""ImageNet-LT, Places-LT and iNaturalist 2018: official lists and their hashes, where to have them, usual layouts.

The lists of ImageNet-LT and Places-LT are those of Liu et al. (CVPR 2019) and Kang et al. (ICLR 2020); iNaturalist 2018
is its organisers' own annotation files. None of them is shipped: they belong to their authors.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from gclib.errors import require_one_of

__all__ = ["PUBLISHED", "Published", "published_counts"]


@dataclass(frozen=True)
class Published:
    """A published long-tailed set of photographs.

    Attributes
    ----------
    title
        Name in print.
    train, test
        Name of the list of each split, and its SHA-256; None where its authors published none that we could compare.
        What the paper tests on: the test lists of ImageNet-LT and Places-LT, the validation split of iNaturalist.
    sizes
        Images of the two splits.
    classes, ratio
        Number of classes C, and imbalance ratio of the training split.
    lists_from, photographs_from
        Where the lists and the photographs are to be had.
    layouts
        Where a photograph may lie, by the first part of its path in the list: patterns of ``{class}`` (as in the list),
        ``{folder}`` (as its archive names the class) and ``{file}``. The first pattern under which a photograph lies
        holds for all.
    """

    title: str
    train: tuple[str, str | None]
    test: tuple[str, str | None]
    sizes: tuple[int, int]
    classes: int
    ratio: int
    lists_from: str
    photographs_from: str
    layouts: Mapping[str, Sequence[str]]


PUBLISHED = {
    "imagenet-lt": Published(
        "ImageNet-LT",
        ("ImageNet_LT_train.txt", "efdbdad4f050237c310b2f354cf95a8b1d7c8d57a63c4ea4bb6bf2bcb012f37f"),
        ("ImageNet_LT_test.txt", "d1590191cf8a71fada7b1aaedaa2d139a2aea93ff2f1b755319d0bd8dbaa55d5"),
        (115_846, 50_000),
        1000,
        256,
        "the folder data/ImageNet_LT of github.com/facebookresearch/classifier-balancing",
        "image-net.org (ILSVRC 2012, training and validation images)",
        {
            "train": ("train/{class}/{file}", "ILSVRC/Data/CLS-LOC/train/{class}/{file}"),
            "val": (
                "val/{class}/{file}",
                "val/{file}",
                "ILSVRC/Data/CLS-LOC/val/{class}/{file}",
                "ILSVRC/Data/CLS-LOC/val/{file}",
            ),
        },
    ),
    "places-lt": Published(
        "Places-LT",
        ("Places_LT_train.txt", "726c4871dcbf07ce2f857703bfe32e9a83ffbf52d704239f6d95c4f4f4c247f7"),
        ("Places_LT_test.txt", "44eee8441c8098c59195465abede425721bc35525d75209f9433b161a6eb37bc"),
        (62_500, 36_500),
        365,
        996,
        "the folder data/Places_LT of github.com/facebookresearch/classifier-balancing",
        "places2.csail.mit.edu (Places365-Standard, small images or the easy directory structure)",
        {
            "train": (
                "train/{class}/{file}",
                "data_256/{folder}/{file}",
                "data_256_standard/{folder}/{file}",
                "data_large/{folder}/{file}",
            ),
            "val": ("val/{class}/{file}", "val_256/{file}", "val_large/{file}"),
        },
    ),
    "inaturalist2018": Published(
        "iNaturalist 2018",
        ("train2018.json", None),
        ("val2018.json", None),
        (437_513, 24_426),
        8142,
        500,
        "github.com/visipedia/inat_comp, 2018 (annotations of training and validation)",
        "the same place (train_val2018.tar.gz)",
        {"train_val2018": ("train_val2018/{class}/{file}", "2018/{class}/{file}")},
    ),
}
"""The sets of Table 2, by the names that `gclib.data.load` takes."""


@cache
def published_counts(name: str) -> np.ndarray | None:
    """Training images of each class, int64 ``(C,)``, known without a list; None of iNaturalist 2018.

    Raises
    ------
    UserError
        If it is no name of `PUBLISHED`.
    """
    require_one_of("published data set", name, PUBLISHED)
    known = json.loads(files("gclib.data").joinpath("class_counts.json").read_text(encoding="utf-8"))
    return np.array(known[name], np.int64) if name in known else None
