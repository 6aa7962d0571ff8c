"""What a top-1 accuracy hides: classes, groups of classes, calibration and cost of the runs."""

from collections.abc import Iterable, Sequence
from statistics import mean

import numpy as np

from gclib import recipes
from gclib.errors import UserError
from gclib.metrics import Reliability
from gclib.records import RunRecord
from gclib.tables.intervals import pooled
from gclib.tables.results import mean_and_spread
from gclib.tables.rows import by_recipe
from gclib.tables.table import Item, Table

__all__ = [
    "calibration_table",
    "class_means",
    "cost_table",
    "group_means",
    "per_class_table",
    "pooled_reliability",
]

ENDS = 10  # classes at either end of a table that has no room for all
GROUPS = {"many": "many", "medium": "medium", "few": "few", "top1": "all"}


def class_means(runs: Sequence[RunRecord]) -> list[float]:
    """Return the clean accuracy (%) of each class, shape (C,), as a mean over runs."""
    return [mean(seeds) for seeds in zip(*(run.clean.per_class for run in runs), strict=True)]


def group_means(runs: Sequence[RunRecord]) -> dict[str, float | None]:
    """Return the clean accuracy (%) of many-, medium- and few-shot classes and of all, as a mean over runs.

    A group without classes is None. The groups are those of the records: thirds up to 10 classes, by the number
    of training images above; see `gclib.metrics.groups`.
    """
    found: dict[str, float | None] = {}
    for name, label in GROUPS.items():
        values = [getattr(run.clean, name) for run in runs]
        found[label] = None if None in values else mean(values)
    return found


def pooled_reliability(runs: Sequence[RunRecord]) -> Reliability:
    """Put the reliability bins (clean) of runs of one recipe together, as if their test images were one set."""
    bins = [run.clean.reliability for run in runs]
    images = np.sum([b.images for b in bins], axis=0)

    def mean_of(name: str) -> np.ndarray:
        total = np.sum([np.multiply(getattr(b, name), b.images) for b in bins], axis=0)
        return total / np.maximum(images, 1)

    return Reliability(mean_of("confidence"), mean_of("accuracy"), images)


def calibration_table(runs: Iterable[RunRecord]) -> Table:
    """Set the expected calibration error of each recipe beside its mean confidence and its accuracy.

    Parameters
    ----------
    runs
        Records.

    Returns
    -------
    Table
        One row for each recipe; all in percent, last epoch (clean).
    """
    rows: list[list[object]] = []
    groups = by_recipe(runs)
    for name, group in groups.items():
        bins = pooled_reliability(group)
        confidence = 100 * float(np.average(bins.confidence, weights=bins.images))
        accuracy = mean(run.clean.top1 for run in group)
        rows.append(
            [
                recipes.label(name),
                f"{accuracy:.2f}",
                f"{confidence:.2f}",
                f"{confidence - accuracy:+.2f}",
                mean_and_spread([100 * run.clean.ece for run in group]),
            ]
        )
    header = ["recipe", "accuracy", "mean confidence", "confidence − accuracy", "ECE"]
    caption = (
        "Calibration on the test set, last epoch (clean), in percent. ECE is the mean gap between confidence and "
        "accuracy over bins of equal width, weighed by the images in them; its sign is lost, so the column before it "
        "says whether a classifier is too sure (+) or not sure enough (−). Behind ± stands its standard deviation "
        "over seeds."
    )
    if seeds := pooled([[100 * run.clean.ece for run in group] for group in groups.values()]):
        caption += f" Over seeds the ECE of one run has a standard deviation of {seeds.deviation:.2f} points, pooled "
        caption += "over the recipes of this table."
    return Table.of(header, rows, caption)


def cost_table(runs: Iterable[RunRecord]) -> Table:
    """Say what the records of each recipe took.

    Parameters
    ----------
    runs
        Records.

    Returns
    -------
    Table
        One row for each recipe and machine.
    """
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        groups.setdefault((run.name, *_machine(run)), []).append(run)
    rows = []
    for (name, *machine), group in groups.items():
        stages = group[0].stages
        epochs = " + ".join(
            f"{len(stage.course.loss)}" + (" (twice)" if stage.start == "last" and stage.course.loss else "")
            for stage in stages
            if stage.start != "best"
        )
        images = sum(len(stage.course.loss) for stage in stages) * sum(group[0].data.class_counts)
        hours = mean(sum(sum(stage.course.seconds) for stage in run.stages) for run in group) / 3600
        rows.append(
            [recipes.label(name), f"{hours:.2f}", len(group), epochs, f"{images / 1e6:.2f}", *machine]
        )
    header = ["recipe", "hours", "runs", "epochs", "million images", "device", "precision"]
    caption = (
        "Cost of one run, a mean over its records. Images are epochs times training images; a method with two streams "
        "or two views of an image handles about twice as many. A second stage runs twice, from the last and from the "
        "best epoch of the first. Recipes that share a first stage train it once; each row counts it in full. Hours "
        "are wall-clock time of the epochs with their tests, with whatever else ran on the machine."
    )
    return Table.of(header, rows, caption)


def _machine(run: RunRecord) -> tuple[str, str]:
    """Return device and precision as text."""
    at = run.environment
    device = (
        f"{at.cpu}, {at.threads} thread{'s' if at.threads > 1 else ''}" if at.device == "cpu" else at.device
    )
    return device, at.precision + (", compiled" if at.compiled else "")


def per_class_table(runs: Iterable[RunRecord]) -> Table:
    """Set the clean accuracy of each class side by side, one row for each recipe.

    Parameters
    ----------
    runs
        Records, all with the same training images; runs of one recipe are averaged.

    Returns
    -------
    Table
        The mean over classes, then classes in the order of their index, of many those at either end; first of all
        their training images.

    Raises
    ------
    UserError
        If the records are of different data.
    """
    groups = by_recipe(runs)
    data = {run.data for group in groups.values() for run in group}
    if not data:
        return Table(["recipe", "mean"], [], "No run has a record yet.")
    if len(data) > 1:
        raise UserError(f"records of {len(data)} data sets in one table of classes; expected records of one")
    counts = data.pop().class_counts
    shown = [k for k in range(len(counts)) if k < ENDS or len(counts) - ENDS <= k]
    rows: list[Sequence[Sequence[Item]]] = [[["training images"], [""], *([str(counts[k])] for k in shown)]]
    for name, group in groups.items():
        top1 = mean(run.clean.top1 for run in group)
        of_class = class_means(group)
        rows.append([[recipes.label(name)], [f"{top1:.2f}"], *([f"{of_class[k]:.1f}"] for k in shown)])
    which = (
        "each class"
        if len(shown) == len(counts)
        else f"the {ENDS} most frequent and the {ENDS} rarest classes"
    )
    caption = f"Accuracy (%) of {which} on the test set, last epoch (clean), mean over seeds."
    return Table(["recipe", "mean", *(f"class {k}" for k in shown)], rows, caption)
