"""One picture of the method: a long tail, its clouds, and the border that they move."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gclib.arrays import PerClass, validated_counts
from gclib.figures.clouds import half_normal
from gclib.figures.style import GREY, class_colours

__all__ = ["tail_cloud_border"]


def tail_cloud_border(class_counts: PerClass, widths: PerClass, below: bool = False) -> Figure:
    """Draw class counts, the densities of their clouds, and a border between head and tail, before and after.

    Parameters
    ----------
    class_counts
        Training images per class, shape ``(C,)``, from the most frequent to the rarest.
    widths
        Standard deviation of each class's cloud before its sign is cut off, shape ``(C,)``.
    below
        Whether the panels stand below each other, for a phone, and not side by side.
    """
    counts, spreads = validated_counts(class_counts).astype(int), np.asarray(widths, dtype=float)
    colours = class_colours(counts)
    rows, columns, size = (3, 1, (4.2, 6.0)) if below else (1, 3, (6.4, 2.5))
    figure, (tail, cloud, border) = plt.subplots(rows, columns, figsize=size)

    tail.bar(range(len(counts)), counts, color=colours, width=0.9)
    tail.set_title("a long tail")
    tail.set(xlabel="class, head to tail", ylabel="training images")

    where = np.linspace(-2.2 * spreads.max(), 0, 200)
    densities = [half_normal(where, spread) for spread in spreads]
    for density, colour in zip(densities[2:], colours[2:], strict=True):
        cloud.plot(where, density, color=colour, linewidth=1.3)
    cloud.axvline(0, color=colours[0], linewidth=2.5)
    cloud.set_title("its clouds")
    cloud.set(
        xlabel="what training takes" + (" " if below else "\n") + "off the logit", ylabel="density", yticks=[]
    )

    draw = np.random.default_rng(4)
    head, rare = draw.normal((-1.1, 0), 0.42, (60, 2)), draw.normal((1.1, 0), 0.42, (6, 2))
    border.scatter(*head.T, s=10, color=colours[0])
    border.scatter(*rare.T, s=24, color=colours[-1], marker="^")
    border.text(-1.1, 1.5, "head", color=colours[0], ha="center")
    border.text(1.1, 1.5, "tail", color=colours[-1], ha="center")
    border.axvline(0.45, color=GREY, linestyle="--", linewidth=1.2)
    border.axvline(-0.1, color=GREY, linewidth=1.6)
    border.annotate("", (-0.08, 1.35), (0.43, 1.35), arrowprops={"arrowstyle": "->", "color": GREY})
    border.set_title("a border that moves")
    border.set(xlabel="feature", xticks=[], yticks=[], ylim=(-1.3, 1.9))
    for axes in (tail, cloud, border):
        axes.grid(visible=False)
    return figure
