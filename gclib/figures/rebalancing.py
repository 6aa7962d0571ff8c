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

from gclib.figures.style import GREY, MARKERS, class_ticks, method_colours
from gclib.sampling import class_probabilities

__all__ = ["anchor_lines", "sampler_slider"]

SYMBOLS = {"IB": "circle", "CB": "square", "EN": "diamond", "CBEN": "triangle-up"}


def sampler_slider(class_counts: ArrayLike, volumes: Sequence[float], spread: float) -> go.Figure:
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
    colours = method_colours(SYMBOLS)
    classes = list(range(len(np.asarray(class_counts))))

    def line(name: str, probabilities: np.ndarray, visible: bool) -> go.Scatter:
        style = {"color": colours[name]}
        return go.Scatter(
            x=classes,
            y=probabilities,
            name=name,
            visible=visible,
            mode="lines+markers" if len(classes) <= 20 else "lines",
            line={**style, "dash": "dot" if name in ("IB", "CB") else "solid"},
            marker={**style, "symbol": SYMBOLS[name], "size": 8},
        )

    start = len(volumes) // 2
    lines = [
        line("IB", class_probabilities(class_counts, "instance"), True),
        line("CB", class_probabilities(class_counts, "class"), True),
    ]
    for place, volume in enumerate(volumes):
        a, b = 1 - 1 / volume, (1 - 1 / spread) / volume
        lines.append(line("EN", class_probabilities(class_counts, "effective", beta=a), place == start))
        lines.append(line("CBEN", class_probabilities(class_counts, "cben", a=a, b=b), place == start))
    steps = [
        {
            "label": f"{volume:,}",
            "method": "restyle",
            "args": [{"visible": [True, True] + [k == place for k in range(len(volumes)) for _ in range(2)]}],
        }
        for place, volume in enumerate(volumes)
    ]
    figure = go.Figure(lines)
    figure.update_layout(
        height=460,
        xaxis={"title": "class index, head to tail"},
        yaxis={"title": "probability of the class", "type": "log", "dtick": 1},
        sliders=[
            {
                "active": start,
                "steps": steps,
                "len": 0.92,
                "x": 0.02,
                "currentvalue": {"prefix": "volume V = "},
                "pad": {"t": 60},
                "bordercolor": GREY,
            }
        ],
    )
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
    for (name, values), marker, style in zip(
        norms.items(), MARKERS, cycle(("-", "--", "-.", ":")), strict=False
    ):
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
