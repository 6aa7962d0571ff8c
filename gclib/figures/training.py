"""Figures of training, epoch by epoch: curves of runs, and a quantity of each class.

Each function draws one figure of pyplot and returns it; `gclib.figures.style.use` comes first. Accuracies are
in percent.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from gclib import metrics, recipes
from gclib.arrays import PerClass, validated_counts
from gclib.errors import UserError
from gclib.figures.style import GREY, LINES, MARKERS, class_colours, method_colours, plain
from gclib.records import RunRecord

__all__ = ["class_courses", "training_curves"]

THIRDS = ("head third", "middle third", "tail third")
NAMED_UP_TO = 10  # classes; above, the legend has the thirds alone


def class_courses(
    values: ArrayLike,
    class_counts: PerClass,
    class_names: Sequence[str],
    label: str,
    top: float | None = None,
    epochs: ArrayLike | None = None,
) -> Figure:
    """Draw a quantity epoch by epoch: faint for each class, bold the mean of the head, middle and tail third.

    The colours run from head to tail; a third has that of its middle class.

    Parameters
    ----------
    values
        Shape ``(E, C)``, C at least 3.
    class_counts
        Training images per class, shape ``(C,)``.
    class_names
        C names, for the legend up to 10 classes.
    label
        What the quantity is, for the axis.
    top
        End of the axis, which starts at 0; None leaves it to the values.
    epochs
        After which epoch each row is, shape ``(E,)``; 1, 2, ... where it is not given.
    """
    lines, counts = np.asarray(values), validated_counts(class_counts).astype(int)
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    places = np.arange(1, len(lines) + 1) if epochs is None else np.asarray(epochs)
    colours = class_colours(counts)
    thirds = zip(THIRDS, metrics.groups(counts, "thirds").values(), LINES, strict=False)
    for name, members, style in thirds:
        middle = colours[members[len(members) // 2]]
        axes.plot(
            places,
            lines[:, members].mean(1),
            color=middle,
            linestyle=style,
            linewidth=2.4,
            label=name,
            zorder=3,
        )
    for index, colour in enumerate(colours):
        name = f"{plain(class_names[index])} ({counts[index]:,})"
        axes.plot(places, lines[:, index], color=colour, linewidth=1, alpha=0.4, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.set_ylim(0, top)
    axes.margins(x=0)
    shown = len(THIRDS) + (len(counts) if len(counts) <= NAMED_UP_TO else 0)
    figure.legend(handles=axes.lines[:shown], title="mean, and class (images)", loc="outside right center")
    return figure


def training_curves(records: Sequence[RunRecord]) -> Figure:
    """Draw training loss, accuracy and learning rate of runs, epoch by epoch; small marks are the tested epochs.

    Stages follow each other, each from the last epoch of the one before; a dotted line marks where one ends.

    Parameters
    ----------
    records
        At least one run. Runs of one recipe share its colour.

    Raises
    ------
    UserError
        If no run has an epoch.
    """
    runs = [record for record in records if any(stage.course.loss for stage in record.stages)]
    if not runs:
        raise UserError("no epoch to draw; expected at least one record of a run that trained")
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(6.4, 6.2), sharex=True, height_ratios=[1.1, 1.4, 0.7]
    )
    order = list(dict.fromkeys(record.name for record in runs))
    colours = method_colours(order)
    looks = dict(zip(colours, zip(cycle(LINES), cycle(MARKERS), strict=False), strict=False))
    handles: list[Line2D] = []
    for name in order:
        linestyle, marker = looks[name]
        look: dict[str, Any] = {"color": colours[name], "linestyle": linestyle, "marker": marker}
        handles.append(Line2D([], [], markersize=4, label=plain(recipes.label(name)), **look))
        for record in (record for record in runs if record.name == name):
            _draw_run(record, (top, middle, bottom), **look)
    middle.plot([], [], color=GREY, linewidth=1.2, marker="o", markersize=3, label="test")
    middle.plot([], [], color=GREY, linestyle=":", label="train")
    middle.legend(loc="lower left", ncols=2)  # off the line that ends a stage
    top.set_ylabel("training loss")
    middle.set_ylabel("accuracy (%)")
    middle.set_ylim(0, 100)
    bottom.set_ylabel("learning rate")
    bottom.set_yscale("log")
    bottom.set_xlabel("epoch")
    bottom.set_xlim(left=0)
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _draw_run(
    record: RunRecord, panels: tuple[Axes, Axes, Axes], color: str, linestyle: Any, marker: str
) -> None:
    top, middle, bottom = panels
    before = 0
    for stage in record.stages:
        epochs = np.arange(1, len(stage.course.loss) + 1) + before
        if stage.start == "best" or not len(epochs):
            continue
        course = stage.course
        top.plot(epochs, course.loss, color=color, linestyle=linestyle)
        middle.plot(epochs, course.train_accuracy, color=color, linestyle=":", linewidth=1.3)
        # Marks show a test that has no neighbour to draw a line to, as in a stage tested once.
        tested = np.array(course.test_epochs) + before
        middle.plot(tested, course.test_accuracy, color=color, linewidth=1.2, marker=marker, markersize=3)
        bottom.plot(epochs, course.learning_rate, color=color, linestyle=linestyle, drawstyle="steps-mid")
        if before:
            for axes in panels:
                axes.axvline(before + 0.5, color=GREY, linestyle=":", linewidth=1)
        before = int(epochs[-1])
