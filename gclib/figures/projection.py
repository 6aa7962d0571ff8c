"""Figures of Gaussian noise on a class anchor (Eqs. 4 to 8).

`gclib.figures.style.use` comes first.
"""

from collections.abc import Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from gclib.figures.clouds import half_normal
from gclib.figures.style import GREY, LINES, method_colours

__all__ = ["projection_panels", "projection_picture"]


def projection_picture(feature: ArrayLike, noise: ArrayLike, anchors: ArrayLike, std: float) -> Figure:
    """Draw a cloud of disturbed features in the plane, and its noise along each anchor (Eqs. 4, 5 and 7).

    Parameters
    ----------
    feature
        Shape ``(2,)``.
    noise
        Shape ``(N, 2)``; the first 400 are drawn as points, the first eight with their feet on the first anchor, and
        all count in the densities.
    anchors
        Shape ``(A, 2)``, of any length.
    std
        Of the normal density that is drawn over the projections.
    """
    point, cloud = np.asarray(feature, dtype=float), np.asarray(noise, dtype=float)
    units = np.asarray(anchors, dtype=float)
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
    colours = method_colours([f"anchor {number}" for number in range(1, len(units) + 1)])
    left.scatter(*(point + cloud[:400]).T, s=4, color=GREY, alpha=0.5, linewidths=0)
    for moved in point + cloud[:8]:
        foot = (moved @ units[0]) * units[0]
        left.plot(*np.array([moved, foot]).T, color=GREY, linewidth=0.8)
        left.plot(*foot, ".", color=next(iter(colours.values())))
    left.plot(*point, "o", color=GREY, markersize=7)
    where = np.linspace(-4 * std, 4 * std, 201)
    for unit, (label, colour) in zip(units, colours.items(), strict=True):
        left.annotate(
            "", 1.6 * unit, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 2}
        )
        height, edges = np.histogram(cloud @ unit, bins=where[::10], density=True)
        right.stairs(height, edges, color=colour, linewidth=1.4, label=label)
    right.plot(where, half_normal(-np.abs(where), std) / 2, color=GREY, linewidth=1, label="closed form")
    left.set_aspect("equal")
    left.set_xlabel("first coordinate")
    left.set_ylabel("second coordinate")
    right.set_xlabel("noise along the anchor")
    right.set_ylabel("density")
    right.set_ylim(bottom=0)
    figure.legend(loc="outside upper center", ncols=len(units) + 1)
    return figure


def projection_panels(
    spreads: Mapping[int, tuple[float, float]],
    std: float,
    sizes: ArrayLike,
    cosines: Mapping[str, ArrayLike],
) -> Figure:
    """Draw how wide noise is along an anchor, and what noise does to the cosine of the feature (Eqs. 6 to 8).

    Parameters
    ----------
    spreads
        Dimension to the standard deviation found there and its standard error; bars are two errors long.
    std
        What the closed form says in every dimension.
    sizes
        Cloud sizes, shape ``(M,)``.
    cosines
        Label to the mean clouded cosine at each size, shape ``(M,)``; "simulated" has the colour of the bars.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
    found, errors = np.array(list(spreads.values())).T
    colours = method_colours(["simulated", *cosines])  # in both panels
    left.axhline(std, color=GREY, linewidth=1, label="closed form")
    left.errorbar(list(spreads), found, 2 * errors, fmt="o", color=colours["simulated"], capsize=3)
    left.set_xscale("log", base=2)
    left.set_xlabel("dimension d")
    left.set_ylabel("standard deviation\non the anchor")
    for (label, values), style in zip(cosines.items(), cycle(LINES), strict=False):
        right.plot(sizes, values, color=colours[label], linestyle=style, label=label)
    right.set_xlabel("cloud size")
    right.set_ylabel("mean clouded cosine")
    right.set_ylim(0, 1)
    figure.legend(loc="outside upper center", ncols=len(cosines) + 1)
    return figure
