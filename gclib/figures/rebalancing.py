"""Figures of classifier re-balancing: samplers under a slider, length and direction of the anchors.

`gclib.figures.style.use` comes first.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from gclib import data
from gclib.arrays import PerClass
from gclib.figures.interactive import add_sliders
from gclib.figures.style import LINES, MARKERS, class_ticks, method_colours
from gclib.sampling import class_probabilities

__all__ = ["anchor_lines", "ratio_slider", "samplers", "volume_slider"]

SYMBOLS = {"IB": "circle", "CB": "square", "EN": "diamond", "CBEN": "triangle-up"}


def samplers(class_counts: PerClass, a: float, b: float) -> dict[str, np.ndarray]:
    """Return the class probabilities of IB, CB, EN with beta = `a`, and CBEN with `a` and `b`, shape ``(C,)`` each."""
    return {
        "IB": class_probabilities(class_counts, "instance"),
        "CB": class_probabilities(class_counts, "class"),
        "EN": class_probabilities(class_counts, "effective", beta=a),
        "CBEN": class_probabilities(class_counts, "cben", a=a, b=b),
    }


def volume_slider(class_counts: PerClass, volumes: Sequence[float], spread: float) -> go.Figure:
    r"""Draw class probabilities under a slider over the volume V of a class (Eqs. 13 and 14).

    IB and CB stand still. EN takes :math:`\beta = 1 - 1/V` for all classes. CBEN takes the same for the most
    frequent class and :math:`1 - 1/(\text{spread}\cdot V)` for the rarest.

    Parameters
    ----------
    class_counts
        Training images per class, shape ``(C,)``.
    volumes
        Places of the slider, each at least 1; it starts in the middle.
    spread
        Volume of the rarest class over that of the most frequent one, at least 1.
    """
    places = {
        f"{volume:,}": {"probability": samplers(class_counts, 1 - 1 / volume, (1 - 1 / spread) / volume)}
        for volume in volumes
    }
    return _slider("volume V =", places, len(volumes) // 2)


def ratio_slider(
    n_max: int, num_classes: int, ratios: Sequence[float], a: float, b: float, start: float
) -> go.Figure:
    """Draw class probabilities above expected repeats per image and epoch, under a slider over the imbalance ratio.

    Parameters
    ----------
    n_max
        Training images of the most frequent class.
    num_classes
        Number of classes C.
    ratios
        Places of the slider, each in [1, `n_max`].
    a, b
        Constants of EN and CBEN, see `samplers`.
    start
        Where the slider starts: at the place next to it.
    """
    places = {}
    for ratio in ratios:
        counts = data.class_counts(n_max, num_classes, ratio)
        found = samplers(counts, a, b)
        repeats = {name: counts.sum() * q / counts for name, q in found.items()}
        places[f"{ratio:g}"] = {"probability": found, "repeats per epoch": repeats}
    return _slider("imbalance ratio", places, int(np.abs(np.asarray(ratios) - start).argmin()))


def _slider(name: str, places: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]], start: int) -> go.Figure:
    """Draw panels over each other: place of the slider, title of a panel, sampler, value of each class."""
    panels = next(iter(places.values()))
    colours = method_colours(SYMBOLS)
    figure = make_subplots(len(panels), 1, shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, lines) in enumerate(panels.items(), start=1):
        for sampler, values in lines.items():
            trace = go.Scatter(
                x=list(range(len(values))),
                name=sampler,
                legendgroup=sampler,
                showlegend=row == 1,
                mode="lines+markers" if len(values) <= 20 else "lines",
                line={"color": colours[sampler], "dash": "dot" if sampler in ("IB", "CB") else "solid"},
                marker={"color": colours[sampler], "symbol": SYMBOLS[sampler], "size": 8},
            )
            figure.add_trace(trace, row=row, col=1)
        everything = np.log10([list(of[title].values()) for of in places.values()])
        reach = [everything.min() - 0.1, everything.max() + 0.1]  # fixed, or the axis would move instead
        figure.update_yaxes(title=title, type="log", dtick=1, range=reach, row=row, col=1)
    figure.update_xaxes(title="class index, head to tail", row=len(panels), col=1)
    changes = {
        place: {"y": [values for lines in of.values() for values in lines.values()]}
        for place, of in places.items()
    }
    add_sliders(figure, {name: changes}, {name: start})
    figure.update_layout(height=260 + 200 * len(panels))
    return figure


def anchor_lines(
    norms: Mapping[str, ArrayLike], angles: Mapping[str, ArrayLike], class_names: Sequence[str] | None = None
) -> Figure:
    """Draw length and direction of the anchors after several ways of re-balancing.

    Parameters
    ----------
    norms
        Name of a method to the norms of its anchors, shape ``(C,)``; drawn relative to their mean.
    angles
        Name of a method to the angles between its anchors and those of stage one, in degrees, shape ``(C,)``.
        Its names are among those of `norms`.
    class_names
        C names; shown up to 20 classes.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6))
    colours = method_colours(norms)
    for (name, values), marker, style in zip(norms.items(), MARKERS, cycle(LINES), strict=False):
        length = np.asarray(values)
        look = {
            "color": colours[name],
            "linestyle": style,
            "marker": marker if len(length) <= 20 else None,
            "markersize": 4,
        }
        left.plot(length / length.mean(), label=name, **look)
        if name in angles:
            right.plot(np.asarray(angles[name]), **look)
    for axes in (left, right):
        class_ticks(axes, class_names, len(length))
        axes.set_ylim(bottom=0)
    left.set_ylabel("norm relative to the mean")
    right.set_ylabel("angle to stage one (degrees)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure
