"""Figures of a data set and its classes: training images, their counts, accuracy per class, confusion matrix.

Each function draws one figure of pyplot and returns it; `gclib.figures.style.use` comes first. Accuracies are
in percent, classes in the order of their index, which in a long-tailed subset is head to tail.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, validated_counts
from gclib.figures.style import (
    GREY,
    HATCHES,
    HEAT,
    LEANING_NAME,
    MARKERS,
    class_colours,
    class_ticks,
    contrast,
    method_colours,
    plain,
    slant,
)
from gclib.recipes import label

__all__ = ["class_count_bars", "class_images", "confusion_heatmap", "per_class_bars"]

BARS_UP_TO = 20  # classes; above, bars of several methods would be thinner than a line
POINTS_UP_TO, POINTS = 100, 40  # classes of a line; above, through how many means it goes
ROWS_UP_TO = 30  # classes; above, a figure of images would be longer than a page
WRITTEN_UP_TO = 10  # classes; above, percentages no longer fit into the cells of a confusion matrix


def class_count_bars(class_counts: PerClass, class_names: Sequence[str] | None = None) -> Figure:
    """Draw the training images of each class, on a logarithmic axis.

    Parameters
    ----------
    class_counts
        Training images per class, at least 1 each, shape ``(C,)``.
    class_names
        C names; shown up to 20 classes.
    """
    counts = validated_counts(class_counts).astype(int)
    figure, axes = plt.subplots(figsize=(6.4, 3.0))
    few = len(counts) <= BARS_UP_TO
    bars = axes.bar(range(len(counts)), counts, color=class_colours(counts), width=0.8 if few else 1.0)
    if few:
        axes.bar_label(bars, fmt="{:.0f}", padding=2, fontsize=9, color=GREY)
    axes.set_yscale("log")
    axes.set_ylim(max(counts.min() / 3, 0.8), counts.max() * 2)
    axes.set_ylabel("training images")
    axes.grid(axis="x", visible=False)
    class_ticks(axes, class_names, len(counts))
    return figure


def class_images(images: ArrayLike, labels: ArrayLike, class_names: Sequence[str], most: int = 40) -> Figure:
    """Draw the training images themselves: one row a class, head on top; of many classes, the 15 at either end.

    Parameters
    ----------
    images
        uint8, shape ``(N, H, W, 3)``.
    labels
        Class of each image, int, shape ``(N,)``.
    class_names
        C names.
    most
        Images drawn of a class, at most.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    height, width = images.shape[1:3]
    shown: list[int] = list(range(len(class_names)))
    if len(shown) > ROWS_UP_TO:
        by_count = np.argsort(-np.bincount(labels, minlength=len(shown)), kind="stable")
        shown = [*by_count[: ROWS_UP_TO // 2].tolist(), *by_count[-ROWS_UP_TO // 2 :].tolist()]
    rows = [images[labels == label][:most] for label in shown]
    columns = max(map(len, rows))
    gap = max(1, height // 8)  # between neighbours: eight pixels of a digit run into those of the next
    down, across = height + gap, width + gap
    canvas = np.zeros(
        (len(rows) * down, columns * across, 4), np.uint8
    )  # transparent where there is no image
    for number, row in enumerate(rows):
        tiles = np.zeros((len(row), down, across, 4), np.uint8)
        tiles[:, :height, :width, :3], tiles[:, :height, :width, 3] = row, 255
        line = tiles.swapaxes(0, 1).reshape(down, len(row) * across, 4)
        canvas[number * down : (number + 1) * down, : len(row) * across] = line
    figure, axes = plt.subplots(figsize=(6.4, 0.5 + 6.0 * canvas.shape[0] / canvas.shape[1]))
    axes.imshow(canvas, aspect="auto", extent=(0, columns, len(rows) - 0.5, -0.5), interpolation="nearest")
    axes.set_yticks(range(len(rows)), [plain(class_names[label]) for label in shown])
    axes.set_ylabel("class")
    axes.set_xlabel("training images")
    axes.tick_params(left=False)
    axes.grid(visible=False)
    return figure


def per_class_bars(
    accuracies: Mapping[str, ArrayLike],
    class_counts: PerClass,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw the accuracy of each class, for one method or several.

    One method is drawn in the colours of the classes, several in their own: above 20 classes as lines, above 100 as
    lines through the means of neighbouring classes.

    Parameters
    ----------
    accuracies
        Name of a method to its accuracies in percent, shape ``(C,)``.
    class_counts
        Training images per class, shape ``(C,)``.
    class_names
        C names; shown up to 20 classes.
    """
    counts = validated_counts(class_counts).astype(int)
    classes = np.arange(len(counts))
    colours = method_colours(accuracies)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    width = 0.8 / len(accuracies)
    for number, (name, values) in enumerate(accuracies.items()):
        place = classes + (number - (len(accuracies) - 1) / 2) * width
        if len(accuracies) == 1:
            axes.bar(place, values, width, color=class_colours(counts))
        elif len(counts) <= BARS_UP_TO:
            axes.bar(
                place,
                values,
                width,
                color=colours[name],
                label=plain(label(name)),
                hatch=HATCHES[number],
            )
        else:
            line = axes.plot(*_legible(values), color=colours[name], linewidth=1.2, label=plain(label(name)))[
                0
            ]
            line.set(marker=MARKERS[number], markersize=2.5)
    means = len(accuracies) > 1 and len(counts) > POINTS_UP_TO
    neighbours = f", mean of {len(counts) / POINTS:.0f} classes" if means else ""
    axes.set_ylabel(f"test accuracy (%){neighbours}")
    axes.set_ylim(0, 100)
    axes.grid(axis="x", visible=False)
    class_ticks(axes, class_names, len(counts))
    if len(accuracies) > 1:
        figure.legend(loc="outside upper center", ncols=5)
    return figure


def _legible(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of classes for a line; of very many classes the means of neighbours."""
    every = np.asarray(values)
    if len(every) <= POINTS_UP_TO:
        return np.arange(len(every)), every
    parts = np.array_split(np.arange(len(every)), POINTS)
    return np.array([part.mean() for part in parts]), np.array([every[part].mean() for part in parts])


def confusion_heatmap(confusion: ArrayLike, class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix in percent of each true class.

    Parameters
    ----------
    confusion
        Test images by true class (rows) and predicted class (columns), shape ``(C, C)``.
    class_names
        C names.
    """
    import seaborn  # takes a second

    counts = np.asarray(confusion, dtype=float)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    written = len(counts) <= WRITTEN_UP_TO
    names = [plain(name, LEANING_NAME) for name in class_names]
    seaborn.heatmap(
        share,
        vmin=0,
        vmax=100,
        cmap=HEAT,
        square=True,
        annot=written,
        fmt=".0f",
        annot_kws={"fontsize": 9},
        xticklabels=names if written else "auto",
        yticklabels=names if written else "auto",
        cbar_kws={"label": "share of the true class (%)"},
        ax=axes,
    )
    axes.set_xlabel("predicted class, head to tail")
    axes.set_ylabel("true class, head to tail")
    if written:
        axes.set_xticks(axes.get_xticks(), names, **slant(names))
        axes.tick_params(axis="y", labelrotation=0)
    for text, colour in zip(axes.texts, np.asarray(axes.collections[0].get_facecolor()), strict=False):
        text.set_color(max("white", "black", key=lambda ink: contrast(ink, to_hex(tuple(colour)))))
    axes.tick_params(length=0)
    return figure
