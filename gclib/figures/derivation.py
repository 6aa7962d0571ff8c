"""Figures of the derivation: softmax saturation, the cloud of logits, cloud sizes, class probabilities.

Each function draws one figure of pyplot and returns it; `gclib.figures.style.use` comes first.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, validated_counts
from gclib.figures.style import (
    GREY,
    LINES,
    MARKERS,
    class_colours,
    class_ticks,
    method_colours,
    plain,
)

__all__ = ["cloud_density", "cloud_size_lines", "probability_lines", "saturation"]


def saturation(difference: ArrayLike, gradients: Mapping[str, ArrayLike]) -> Figure:
    """Draw how the gradient on the target logit vanishes as the logit difference grows (Eqs. 2 and 3).

    Parameters
    ----------
    difference
        Target logit minus the other logit, shape ``(N,)``, rising.
    gradients
        Label to the target gradient :math:`1-p_y`, shape ``(N,)``.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    colours = method_colours(gradients)
    for (label, values), style in zip(gradients.items(), cycle(LINES), strict=False):
        axes.plot(difference, values, color=colours[label], linestyle=style, label=label)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_xlabel("logit difference, target minus other")
    axes.set_ylabel("target gradient, $1-p_y$")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0)
    if len(gradients) > 1:
        axes.legend()
    return figure


def cloud_density(
    reduction: ArrayLike,
    densities: ArrayLike,
    class_counts: PerClass,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw the density of the clouded logit of each class around its plain value (Eq. 11).

    The axis ends just above the second highest density, of many classes above that of nine in ten: the highest would
    press the others flat.

    Parameters
    ----------
    reduction
        Clouded minus plain cosine, shape ``(N,)``, rising, at most 0.
    densities
        Density of each class at `reduction`, shape ``(C, N)``. A row of zeros is a class without a cloud:
        it is drawn as a spike at 0.
    class_counts
        Training images per class, shape ``(C,)``.
    class_names
        C names for the legend, or None for counts alone.
    """
    reduction, densities, counts = (
        np.asarray(reduction),
        np.asarray(densities),
        validated_counts(class_counts).astype(int),
    )
    top = 1.1 * np.sort(densities.max(1))[-1 - max(1, len(counts) // 10) if len(counts) > 1 else 0]
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for index, (density, colour) in enumerate(zip(densities, class_colours(counts), strict=True)):
        name = (
            f"{counts[index]:,}"
            if class_names is None
            else f"{plain(class_names[index])} ({counts[index]:,})"
        )
        if density.any():
            axes.plot(reduction, density, color=colour, linewidth=1.5, label=name)
            axes.fill_between(reduction, density, color=colour, alpha=0.08, linewidth=0)
        else:
            axes.vlines(0, 0, top, color=colour, linewidth=3, label=name)
    axes.set_xlabel("clouded minus plain cosine")
    axes.set_ylabel("density")
    axes.set_ylim(0, top or 1)
    axes.set_xlim(reduction.min(), 0.01 * np.ptp(reduction))
    if len(counts) <= 10:
        title = "training images" if class_names is None else "class (training images)"
        axes.legend(title=title, loc="upper left")
    return figure


def cloud_size_lines(sizes: Mapping[str, ArrayLike], class_names: Sequence[str] | None = None) -> Figure:
    """Draw the relative cloud size of each class under several strategies (Eq. 9, Table 3).

    Parameters
    ----------
    sizes
        Name of a strategy to the sizes relative to the largest, 0 to 1, shape ``(C,)``.
    class_names
        C names; shown up to 20 classes.
    """
    return _class_lines(sizes, class_names, "relative cloud size")


def probability_lines(
    probabilities: Mapping[str, ArrayLike], class_names: Sequence[str] | None = None
) -> Figure:
    """Draw how often samplers draw each class, on a logarithmic axis (Eqs. 13 and 14, Table 4).

    Parameters
    ----------
    probabilities
        Name of a sampler to the probability of each class, above 0, shape ``(C,)``.
    class_names
        C names; shown up to 20 classes.
    """
    figure = _class_lines(probabilities, class_names, "probability of the class")
    figure.axes[0].set_yscale("log")
    return figure


def _class_lines(lines: Mapping[str, ArrayLike], class_names: Sequence[str] | None, label: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    colours = method_colours(lines)
    for (name, values), marker, style in zip(lines.items(), MARKERS, cycle(LINES), strict=False):
        classes = np.arange(len(np.asarray(values)))
        shown = marker if len(classes) <= 20 else None
        axes.plot(
            classes, values, color=colours[name], marker=shown, markersize=5, linestyle=style, label=name
        )
    class_ticks(axes, class_names, len(classes))
    axes.set_ylabel(label)
    figure.legend(loc="outside upper center", ncols=5)
    return figure
