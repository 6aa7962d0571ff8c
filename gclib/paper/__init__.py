"""The numbers that the paper prints in Tables 1 to 5, and where each of them comes from.

The paper is Li, Cheung and Lu, *Long-tailed Visual Recognition via Gaussian Clouded Logit Adjustment*, CVPR
2022. It gives no spread and no number of runs, so each accuracy counts as one run. Here 4 is the table of
samplers and 5 the table of classifier re-training, which stand side by side in the paper.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from gclib.errors import UserError, nearest

__all__ = ["DATASETS", "Cell", "Source", "accuracy", "cells"]

DATASETS = {
    "cifar10": "CIFAR-10-LT",
    "cifar100": "CIFAR-100-LT",
    "imagenet-lt": "ImageNet-LT",
    "inaturalist2018": "iNaturalist 2018",
    "places-lt": "Places-LT",
}
"""Names of `gclib.data.load` to the names that the paper prints."""


@dataclass(frozen=True)
class Source:
    """Where else a number was published, as far as we could follow it.

    Attributes
    ----------
    accuracy
        Percent, as printed there.
    citation
        Work and place in it.
    key
        Key of that work in the bibliography.
    evidence
        ``"read"``: we read it there; ``"secondary"``: in a work that quotes it; ``"unverified"``: neither.
    """

    accuracy: float
    citation: str
    key: str
    evidence: Literal["read", "secondary", "unverified"]


@dataclass(frozen=True)
class Cell:
    """One number of the paper.

    Attributes
    ----------
    table
        1 to 5.
    dataset, ratio
        Data set by the name that `gclib.data.load` takes, and imbalance ratio.
    backbone
        Network, as printed.
    method
        Row of the table, as printed.
    key
        Key of the method's own work in the bibliography; None for plain cross-entropy.
    accuracy
        Top-1 accuracy in percent; None where the paper prints a dash.
    provenance
        Where the number comes from, as far as we could follow it.

        - ``"quoted"``: the paper says that it is the number of the method's own paper.
        - ``"equals published"``: not marked as quoted, but it agrees with a published number to the decimals that are
          printed there, so it may be one.
        - ``"likely slip"``: one point off the number that it seems to repeat.
        - ``"own run"``: none of these, also where nothing says so.
    strategy, sampler, retraining
        What Tables 3 to 5 vary, by the names of `gclib.losses` and `gclib.sampling` ("none": no re-training);
        None in Tables 1 and 2.
    source
        The same number elsewhere, or None.
    note
        What a reader should know before trusting the number.
    """

    table: int
    dataset: str
    ratio: int
    backbone: str
    method: str
    key: str | None
    accuracy: float | None
    provenance: Literal["quoted", "equals published", "likely slip", "own run"]
    strategy: str | None = None
    sampler: str | None = None
    retraining: str | None = None
    source: Source | None = None
    note: str = ""


@cache
def _all_cells() -> tuple[Cell, ...]:
    stored = json.loads(files("gclib.paper").joinpath("tables.json").read_text(encoding="utf-8"))["cells"]
    for cell in stored:
        cell["source"] = Source(**cell["source"]) if "source" in cell else None
    return tuple(Cell(**cell) for cell in stored)


def cells(
    table: int,
    dataset: str | None = None,
    ratio: float | None = None,
    method: str | None = None,
    *,
    strategy: str | None = None,
    sampler: str | None = None,
    retraining: str | None = None,
) -> list[Cell]:
    """Return the cells of a table that match, in the paper's order.

    Parameters
    ----------
    table
        1 to 5.
    dataset, ratio, method, strategy, sampler, retraining
        Keep the cells with this value (see `Cell`); None keeps all.

    Returns
    -------
    list of Cell
        Empty where the values occur in the table, but not together.

    Raises
    ------
    UserError
        If a value occurs nowhere in the table.

    Examples
    --------
    >>> [cell.accuracy for cell in cells(1, "cifar10", method="GCL")]
    [79.03, 82.68, 85.46]
    """
    found = [cell for cell in _all_cells() if cell.table == table]
    if not found:
        raise UserError(f"the paper has no table {table!r} of accuracies, expected 1 to 5")
    wanted = {
        "dataset": dataset,
        "ratio": ratio,
        "method": method,
        "strategy": strategy,
        "sampler": sampler,
        "retraining": retraining,
    }
    options = {name: list(dict.fromkeys(getattr(cell, name) for cell in found)) for name in wanted}
    for name, value in wanted.items():
        if value is None:
            continue
        if value not in options[name]:
            expected = ", ".join(map(str, options[name]))
            hint = nearest(str(value), map(str, options[name]))
            raise UserError(f"Table {table} has no {name} {value!r}, expected one of {expected}{hint}")
        found = [cell for cell in found if getattr(cell, name) == value]
    return found


def accuracy(table: int, method: str, dataset: str, ratio: float, **variant: str) -> float:
    """Return the one accuracy that the paper prints there.

    Parameters
    ----------
    table, method, dataset, ratio
        As in `cells`.
    **variant
        `strategy`, `sampler` or `retraining`, for Tables 3 to 5.

    Returns
    -------
    float
        Top-1 accuracy in percent.

    Raises
    ------
    UserError
        If nothing or more than one cell matches, or the paper prints a dash.

    Examples
    --------
    >>> accuracy(1, "GCL", "cifar10", 100)
    82.68
    >>> accuracy(5, "GCL", "cifar10", 100, retraining="none")
    80.52
    """
    found = cells(table, dataset, ratio, method, **variant)
    place = f"Table {table}, {method}, {DATASETS[dataset]}, ratio {ratio:g}"
    if len(found) != 1:
        raise UserError(
            f"{place}: {len(found)} cells match; expected one, by strategy, sampler or retraining"
        )
    if found[0].accuracy is None:
        raise UserError(f"{place}: the paper prints a dash; gclib.paper.cells({table}) lists what it prints")
    return found[0].accuracy
