"""Decision regions of a cosine classifier in the plane: in training, with clouds, and at test, without.

Angles are in degrees, counter-clockwise. A feature of length 1 is an angle; its cosine with an anchor is that of the
angle between them. In training the cosine of each class is lowered by the mean of its cloud (Eq. 12b).
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.optimize import fsolve

from gclib.arrays import PerClass, validated_counts
from gclib.errors import UserError
from gclib.figures.interactive import add_sliders
from gclib.figures.style import class_colours
from gclib.losses import GCLLoss, cloud_sizes

__all__ = ["anchors_for", "borders", "region_panels", "region_slider"]

DISC, RING = (0.0, 0.68), (0.76, 1.0)  # inner and outer radius: regions at test, regions in training
ANCHORS, TRAINING = "κ, anchors held", "κ, ring held"
HELD = (ANCHORS, TRAINING)


def borders(anchors: ArrayLike, reductions: ArrayLike) -> np.ndarray:
    r"""Return where the lowered cosines of neighbouring classes are equal.

    With :math:`\cos(\varphi-\alpha_i)-\cos(\varphi-\alpha_j) = -2\sin(\varphi-\tfrac{\alpha_i+\alpha_j}2)
    \sin\tfrac{\alpha_j-\alpha_i}2` the border of two classes that are lowered by :math:`r_i` and :math:`r_j` is

    .. math::

        \varphi = \frac{\alpha_i+\alpha_j}2 + \arcsin\frac{r_j-r_i}{2\sin\frac{\alpha_j-\alpha_i}2} .

    Parameters
    ----------
    anchors
        Angle of each anchor in degrees, rising, the last less than 360 above the first, neighbours less than 180
        apart; shape ``(C,)``, C at least 3.
    reductions
        What each cosine is lowered by, shape ``(C,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(C,)``, degrees: where class j ends and the next one begins; the last lies between the last class and
        the first.

    Raises
    ------
    UserError
        If a class is lowered so far that it has no region.
    """
    angles, lowered = np.radians(np.asarray(anchors, dtype=float)), np.asarray(reductions, dtype=float)
    following = np.append(angles[1:], angles[0] + 2 * np.pi)
    ratio = (np.roll(lowered, -1) - lowered) / (2 * np.sin((following - angles) / 2))
    ends = np.degrees((angles + following) / 2 + np.arcsin(np.clip(ratio, -1, 1)))
    if np.abs(ratio).max() >= 1 or _widths(ends).min() <= 0:
        raise UserError(
            f"reductions {lowered.round(2).tolist()} leave a class no region; expected smaller ones"
        )
    return ends


def anchors_for(wanted: ArrayLike, reductions: ArrayLike, near: ArrayLike) -> np.ndarray:
    """Return the anchors whose `borders` are the wanted ones, found from anchors near by; all shapes ``(C,)``.

    Raises
    ------
    UserError
        If on the way to them a class has no region; see `borders`.
    """
    return fsolve(lambda anchors: borders(anchors, reductions) - np.asarray(wanted), near)


def _widths(ends: np.ndarray) -> np.ndarray:
    return ends - np.append(ends[-1] - 360, ends[:-1])


def _held(class_counts: PerClass, noise_scale: float, held: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Anchors, ends of the regions in training, ends of those at test; the first class points up."""
    sizes = cloud_sizes(class_counts).numpy()
    reductions, none = noise_scale * GCLLoss(class_counts).mean_noise * sizes, np.zeros(len(sizes))
    even = 90 + 360 * np.arange(len(sizes)) / len(sizes)
    anchors = even if held == ANCHORS else anchors_for(borders(even, none), reductions, even)
    return anchors, borders(anchors, reductions), borders(anchors, none)


def region_slider(class_counts: PerClass, noise_scales: Sequence[float], start: float = 0.5) -> go.Figure:
    """Draw the regions of a class in training as a ring around those at test, under a slider over the noise scale.

    One slider holds the anchors, the other the regions in training, each a C-th of the circle.

    Parameters
    ----------
    class_counts
        Training images per class, shape ``(C,)``, C at least 3.
    noise_scales
        Places of the slider, kappa, each at least 0.
    start
        Where it starts: at the place next to it.
    """
    counts = validated_counts(class_counts).astype(int)
    figure = go.Figure()
    for (inner, outer), opacity in ((RING, 0.85), (DISC, 0.4)):
        for colour in class_colours(counts):
            marker = {"color": colour, "opacity": opacity, "line": {"width": 0}}
            bar = go.Barpolar(base=[inner], r=[outer - inner], marker=marker, hoverinfo="name")
            figure.add_trace(bar.update(showlegend=inner > 0))
    for colour, count in zip(class_colours(counts), counts, strict=True):
        figure.add_trace(
            go.Scatterpolar(
                r=[0, DISC[1], None, 1.13],
                mode="lines+text",
                line={"color": colour, "width": 3},
                text=["", "", "", f"{count:,}"],
                hoverinfo="skip",
                showlegend=False,
                cliponaxis=False,  # the numbers stand at the edge
            )
        )

    def change(held: str, noise_scale: float) -> dict[str, list]:
        anchors, *both = _held(counts, noise_scale, held)
        rings, discs = (_widths(ends) for ends in both)
        names = [
            f"{count:,} images: {ring:.0f}° in training, {disc:.0f}° at test"
            for count, ring, disc in zip(counts, rings, discs, strict=True)
        ]
        middles = [end - width / 2 for ends in both for end, width in zip(ends, _widths(ends), strict=True)]
        return {
            "theta": [[middle] for middle in middles] + [[anchor] * 4 for anchor in anchors],
            "width": [[width] for width in (*rings, *discs)] + [None] * len(counts),
            "name": names * 2 + [""] * len(counts),
        }

    places = {held: {f"{kappa:g}": change(held, kappa) for kappa in noise_scales} for held in HELD}
    nearest = int(np.abs(np.asarray(noise_scales) - start).argmin())
    add_sliders(
        figure, places, dict.fromkeys(HELD, nearest), prefix="κ = ", top=10
    )  # no x axis to leave room for
    figure.update_layout(
        height=540,
        polar={
            "bgcolor": "rgba(0,0,0,0)",
            "bargap": 0,
            "radialaxis": {"visible": False, "range": [0, 1.15]},
            "angularaxis": {"visible": False},
        },
        legend={"orientation": "v", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def region_panels(class_counts: PerClass, noise_scale: float) -> Figure:
    """Draw one place of both sliders of `region_slider`; the parameters are the same."""
    counts = validated_counts(class_counts).astype(int)
    figure, row = plt.subplots(1, 2, figsize=(6.4, 3.6), subplot_kw={"projection": "polar"})
    for axes, held in zip(row, HELD, strict=True):
        anchors, *both = _held(counts, noise_scale, held)
        for ends, (inner, outer), opacity in zip(both, (RING, DISC), (0.85, 0.4), strict=True):
            widths = np.radians(_widths(ends))
            middles = np.radians(ends) - widths / 2
            axes.bar(
                middles, outer - inner, widths, inner, color=class_colours(counts), alpha=opacity, linewidth=0
            )
        for anchor, colour, count in zip(np.radians(anchors), class_colours(counts), counts, strict=True):
            axes.plot([anchor, anchor], [0, DISC[1]], color=colour, linewidth=2.5)
            axes.text(anchor, 1.15, f"{count:,}", ha="center", va="center")
        axes.set_title(held.partition(", ")[2])
        axes.set_axis_off()
    return figure
