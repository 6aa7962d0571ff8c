r"""Figures of saturation: the curve under class count, scale and margin; where training images sit on it.

The **lead** of an image is its target logit less the log-sum-exp of the others: at lead :math:`\Delta` the target
gradient is :math:`1/(1+e^\Delta)` (Eq. 3).
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from gclib.figures.interactive import add_sliders, slider_layout
from gclib.figures.style import BLUE, GREY, LINES

__all__ = ["curve_sliders", "lead_panels", "lead_slider", "target_gradient_at"]

CURVE = "target gradient"
CURVE_LINE = ":"
SPACE = 85  # pixels from one slider to the next


def target_gradient_at(lead: ArrayLike) -> np.ndarray:
    """Return the target gradient at a lead; among two classes the lead is their logit difference (Eq. 3)."""
    return 1 / (1 + np.exp(lead))


def curve_sliders(
    difference: ArrayLike,
    gradients: Mapping[int, Mapping[float, ArrayLike]],
    margins: Sequence[float],
    start: tuple[int, float, float],
) -> go.Figure:
    r"""Make a saturation curve with three sliders: number of classes, scale, margin.

    No slider undoes another, for each sets a thing of its own. The first shows the line of its class count and hides
    the others. The second sets their heights. The third moves them to the right: with a margin :math:`m` the loss sees
    :math:`s(\cos\theta_y-m)` as target logit, so that the gradient is that of a difference smaller by :math:`m`.

    Parameters
    ----------
    difference
        Cosine of the target less that of the others, shape ``(N,)``, rising. It begins below what is drawn, by the
        largest margin.
    gradients
        Number of classes to scale to the target gradient at `difference` without a margin, shape ``(N,)``. Every
        number of classes has the same scales.
    margins
        Margins to choose from, from 0 on.
    start
        Number of classes, scale and margin that are shown at first, and that a dotted line keeps in sight.

    Returns
    -------
    plotly.graph_objects.Figure
        For `gclib.figures.interactive.show_plotly`.
    """
    gap, classes, scales = np.asarray(difference), list(gradients), list(next(iter(gradients.values())))
    begin = [classes.index(start[0]), scales.index(start[1]), list(margins).index(start[2])]
    label = f"C = {start[0]:,}, s = {start[1]:g}, m = {start[2]:g}"
    dotted = {"color": GREY, "dash": "dot"}
    figure = go.Figure(
        [
            go.Scatter(x=gap + start[2], y=gradients[start[0]][start[1]], name=label, line=dotted),
            *(
                go.Scatter(
                    x=gap + start[2],
                    y=gradients[count][start[1]],
                    name="as the sliders say",
                    visible=count == start[0],
                    line={"color": BLUE, "width": 3},
                )
                for count in classes
            ),
        ]
    )
    moving = list(range(1, 1 + len(classes)))  # the traces that a slider is for
    changes: dict[str, dict[str, dict[str, list]]] = {
        "classes C": {f"{count:,}": {"visible": [other == count for other in classes]} for count in classes},
        "scale s": {f"{s:g}": {"y": [gradients[count][s] for count in classes]} for s in scales},
        "margin m": {f"{m:g}": {"x": [gap + m for _ in classes]} for m in margins},
    }
    figure.update_layout(
        height=420 + SPACE * (len(changes) - 1),
        xaxis={
            "title": "cosine of the target minus the others'",
            "range": [gap[0] + max(margins), gap[-1]],
        },
        yaxis={"title": CURVE, "range": [-0.02, 1.02]},
        sliders=[
            slider_layout(
                f"{name} = ",
                {place: [change, moving] for place, change in places.items()},
                begin[number],
                top=65 + number * SPACE,
            )
            for number, (name, places) in enumerate(changes.items())
        ],
    )
    return figure


def lead_slider(
    leads: ArrayLike,
    shares: Mapping[str, ArrayLike],
    epochs: Sequence[int],
    colours: Mapping[str, str],
) -> go.Figure:
    """Make the saturation curve, and where on it groups of training images sit, with a slider over the epochs.

    Parameters
    ----------
    leads
        Edges of the bins of the lead, shape ``(B + 1,)``, rising.
    shares
        Name of a group to the share of its images in each bin, 0 to 1, shape ``(E, B)``.
    epochs
        E epochs.
    colours
        Name of a group to its colour.

    Returns
    -------
    plotly.graph_objects.Figure
        For `gclib.figures.interactive.show_plotly`; it starts at the first epoch.
    """
    centres = (np.asarray(leads)[1:] + np.asarray(leads)[:-1]) / 2
    curve = target_gradient_at(centres)
    lines = [go.Scatter(y=curve, name=CURVE, line={"color": GREY, "dash": "dot"})]
    dashes = cycle(("solid", "dash", "dashdot", "longdash"))  # dots are the curve's
    for name, dash in zip(shares, dashes, strict=False):
        look = {"color": colours[name], "dash": dash, "shape": "hvh"}
        lines.append(go.Scatter(name=name, line=look))
    figure = go.Figure(lines).update_traces(x=centres)
    places = {
        str(epoch): {"y": [curve, *(np.asarray(rows)[k] for rows in shares.values())]}
        for k, epoch in enumerate(epochs)
    }
    add_sliders(figure, {"epoch": places}, {"epoch": 0})
    return figure.update_layout(
        height=460,
        xaxis_title="lead of the target logit",
        yaxis={"title": "gradient; share of the images", "range": [-0.02, 1.02]},
    )


def lead_panels(
    leads: ArrayLike,
    shares: Mapping[str, ArrayLike],
    epochs: Sequence[int],
    colours: Mapping[str, str],
    panels: int = 3,
) -> Figure:
    """Draw some places of the slider of `lead_slider`, the first and the last among them.

    Parameters
    ----------
    leads, shares, epochs, colours
        As for `lead_slider`.
    panels
        Epochs to draw, at most.
    """
    edges = np.asarray(leads)
    shown = sorted({round(place) for place in np.linspace(0, len(epochs) - 1, panels)})
    figure, grid = plt.subplots(
        len(shown), 1, figsize=(6.4, 0.8 + 1.5 * len(shown)), sharex=True, sharey=True, squeeze=False
    )
    where = np.linspace(edges[0], edges[-1], 300)
    styles = [style for style in LINES if style != CURVE_LINE]
    for axes, place in zip(grid[:, 0], shown, strict=True):
        axes.plot(where, target_gradient_at(where), color=GREY, linestyle=CURVE_LINE, label=CURVE)
        for (name, rows), style in zip(shares.items(), cycle(styles), strict=False):
            axes.stairs(
                np.asarray(rows)[place],
                edges,
                color=colours[name],
                linestyle=style,
                linewidth=1.8,
                label=name,
            )
        axes.set_ylabel("gradient; share")
        axes.set_title(f"after epoch {epochs[place]}", loc="right", pad=2)
        axes.set_ylim(0, 1.02)
        axes.margins(x=0)
    grid[-1, 0].set_xlabel("lead of the target logit")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
