"""Figures of the results pages, for any number of recipes: a small panel or a group of bars for each.

`gclib.figures.style.use` comes first. Accuracies are in percent, classes in the order of their index, which in a
long-tailed subset is head to tail.
"""

from collections.abc import Mapping
from math import ceil
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, validated_counts
from gclib.figures.style import (
    BLUE,
    GREY,
    HATCHES,
    HEAD_TO_TAIL,
    class_colours,
    method_colours,
    plain,
)
from gclib.metrics import Reliability
from gclib.recipes import label
from gclib.tables import Interval

__all__ = ["class_panels", "difference_plot", "group_bars", "probability_panels", "reliability_panels"]

COLUMNS = 3
GROUP_COLOURS = {
    name: to_hex(HEAD_TO_TAIL(place)) for name, place in (("many", 0.0), ("medium", 0.5), ("few", 1.0))
}


def _called(name: str, width: int = 30) -> str:
    """What a recipe is called, on lines of so many characters at most, which fit a panel."""
    return fill(plain(label(name)), width)


def _no_record() -> Figure:
    """A figure that says that there is nothing to draw."""
    figure = plt.figure(figsize=(6.4, 0.6))
    figure.text(0.5, 0.5, "no run has a record yet", ha="center", va="center", color=GREY)
    return figure


def _panels(names: list[str], height: float, integer_x: bool = True) -> tuple[Figure, dict[str, Axes]]:
    """Make a panel for each name, with common axes; titles are set, unused places stay empty."""
    columns = 2 if len(names) == 4 else min(COLUMNS, len(names))
    rows = ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(6.4, 0.6 + height * rows), sharex=True, sharey=True, squeeze=False
    )
    places = list(grid.flat)
    for spare in places[len(names) :]:
        spare.set_visible(False)
        # The panel above is now the last of its column.
        places[places.index(spare) - columns].xaxis.set_tick_params(labelbottom=True)
    panels = dict(zip(names, places, strict=False))
    for name, axes in panels.items():
        axes.set_title(_called(name, 90 // columns), fontsize=8)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=integer_x))
    return figure, panels


def class_panels(
    accuracies: Mapping[str, ArrayLike], class_counts: PerClass, reference: str | None = None
) -> Figure:
    """Draw the accuracy of each class, a panel for each recipe, in the colours from head to tail.

    Parameters
    ----------
    accuracies
        Name of a recipe to its accuracies in percent, shape ``(C,)``; without any the figure says so.
    class_counts
        Training images per class, shape ``(C,)``.
    reference
        Recipe whose accuracies stand in each panel as a grey line of steps; None or an unknown name for none.
    """
    if not accuracies:
        return _no_record()
    figure, panels = _panels(list(accuracies), 1.35 if len(accuracies) > COLUMNS else 1.9)
    counts = validated_counts(class_counts).astype(int)
    classes = np.arange(len(counts))
    rim = [withStroke(linewidth=3, foreground="white")]  # or the grey is lost on the bars
    drawn = []
    for name, axes in panels.items():
        axes.bar(classes, accuracies[name], width=0.9, color=class_colours(counts))
        if reference is not None and reference in accuracies and name != reference:
            line = axes.step(classes, accuracies[reference], where="mid", color=GREY, linewidth=1.2)[0]
            line.set(label=_called(reference), path_effects=rim)
            drawn.append(line)
        axes.grid(axis="x", visible=False)
    axes.set_ylim(0, 100)
    axes.set_xlim(-0.6, len(counts) - 0.4)
    figure.supxlabel("class index, head to tail", fontsize=9, color=GREY)
    figure.supylabel("test accuracy (%)", fontsize=9, color=GREY)
    if drawn:
        figure.legend(handles=drawn[:1], loc="outside upper right", fontsize=8)
    return figure


def group_bars(groups: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Draw the accuracy of many-, medium- and few-shot classes for each recipe, and a mark at that of all classes.

    Parameters
    ----------
    groups
        Name of a recipe to its accuracies in percent under "many", "medium", "few" and "all"; None for a group without
        classes, which stays empty and says so. Without any recipe the figure says so.
    """
    if not groups:
        return _no_record()
    figure, axes = plt.subplots(figsize=(6.4, 1.0 + 0.42 * len(groups)))
    places = np.arange(len(groups))

    def values(name: str) -> list[float]:
        found = (of[name] for of in groups.values())
        return [np.nan if value is None else value for value in found]

    for number, (group, colour) in enumerate(GROUP_COLOURS.items()):
        heights = places + (number - 1) * 0.26
        hatch = HATCHES[1] if group == "few" else ""  # its orange and the colour above are one grey
        axes.barh(heights, values(group), 0.24, color=colour, label=group, hatch=hatch)
        for height, value in zip(heights, values(group), strict=True):
            if not value > 0:  # no bar to see: the words tell nothing from zero
                words = "no such class" if np.isnan(value) else "0"
                axes.text(1, height, words, fontsize=7, va="center")
    # White reads on the bars and on a dark page, its grey edge on a white one.
    marks = axes.plot(values("all"), places, "D", label="all classes")[0]
    marks.set(markerfacecolor="white", markeredgecolor=GREY, markeredgewidth=1.4, markersize=7)
    axes.set_yticks(places, [_called(name, 22) for name in groups])  # room for the bars on a phone
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("test accuracy (%)")
    axes.set_ylabel("recipe")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def difference_plot(differences: Mapping[str, Interval | None], axis: str) -> Figure:
    """Draw differences with their intervals, a line for each recipe, and zero as an upright line.

    Parameters
    ----------
    differences
        Name of a recipe to a difference in percentage points and half the width of its interval; None is left out.
    axis
        What the differences are.
    """
    shown = {name: found for name, found in differences.items() if found}
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(shown)))
    places = np.arange(len(shown))
    values = [found.difference for found in shown.values()]
    halves = [found.half for found in shown.values()]
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    axes.errorbar(values, places, xerr=halves, fmt="o", color=BLUE, markersize=5, linewidth=1.6, capsize=3)
    axes.set_yticks(places, list(map(_called, shown)))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel(axis)
    axes.grid(axis="y", visible=False)
    return figure


def reliability_panels(bins: Mapping[str, Reliability]) -> Figure:
    """Draw accuracy over confidence, a panel for each recipe; a well calibrated one follows the diagonal.

    Parameters
    ----------
    bins
        Name of a recipe to its reliability bins; without any the figure says so. A bar's width is that of its bin; the
        more of the test images fall into it, the more opaque it is. The title has the ECE in percent.
    """
    if not bins:
        return _no_record()
    figure, panels = _panels(list(bins), 1.6, integer_x=False)
    for name, axes in panels.items():
        of = bins[name]
        width = 1 / len(of.images)
        share = of.images / of.images.sum()
        for number in np.flatnonzero(of.images):
            axes.bar(
                (number + 0.5) * width,
                of.accuracy[number],
                0.9 * width,
                color=BLUE,
                alpha=0.35 + 0.65 * min(1.0, 4 * share[number]),
            )
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.set_title(f"{_called(name)}\nECE {100 * of.ece:.1f}", fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    figure.supxlabel("confidence", fontsize=9, color=GREY)
    figure.supylabel("accuracy", fontsize=9, color=GREY)
    return figure


def probability_panels(panels: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Draw class probabilities of samplers, a panel for each choice of constants.

    Parameters
    ----------
    panels
        Title of a panel to the samplers in it: name to class probabilities, shape ``(C,)``. All panels have the same
        samplers, at most four.
    """
    figure, places = _panels(list(panels), 1.6)
    colours = method_colours(next(iter(panels.values())))
    styles = dict(zip(colours, ("-", "--", ":", "-."), strict=False))
    for title, axes in places.items():
        for name, probabilities in panels[title].items():
            axes.plot(
                np.asarray(probabilities),
                color=colours[name],
                linestyle=styles[name],
                label=plain(name),
                linewidth=1.5,
            )
    axes.set_ylim(bottom=0)
    figure.supxlabel("class index, head to tail", fontsize=9, color=GREY)
    figure.supylabel("probability", fontsize=9, color=GREY)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8)
    return figure
