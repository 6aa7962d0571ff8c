"""Figures of the Gaussian cloud: the clouded logit difference, the gradients that follow.

`gclib.figures.style.use` comes first.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, validated_counts
from gclib.figures.interactive import add_sliders
from gclib.figures.saturation import target_gradient_at
from gclib.figures.style import GREY, LINES, class_colours, method_colours
from gclib.recipes import label

if TYPE_CHECKING:  # the book is built without torch, and draws a cloud
    from torch import Tensor, nn

__all__ = [
    "cloud_slider",
    "difference_cloud",
    "gradient_panels",
    "half_normal",
    "logit_gradient",
]


def half_normal(reduction: ArrayLike, std: float) -> np.ndarray:
    """Return the density of ``-|x|``, x normal with mean 0; at std 0 it is zero everywhere.

    Parameters
    ----------
    reduction
        Where, any shape; the density is 0 above 0.
    std
        Standard deviation of x, at least 0.
    """
    where = np.asarray(reduction, dtype=float)
    if std == 0:
        return np.zeros_like(where)
    return np.where(where <= 0, np.sqrt(2 / np.pi) / std * np.exp(-((where / std) ** 2) / 2), 0)


def logit_gradient(
    loss: "nn.Module",
    difference: ArrayLike,
    target: int,
    of: int,
    num_classes: int,
    noise: "Tensor | None" = None,
    logit_scale: float = 1.0,
) -> np.ndarray:
    """Return the mean size of the gradient of a loss on one cosine, for an image of class `target` (Eq. 2).

    The cosine of the target takes each value of `difference`; those of all other classes are 0.

    Parameters
    ----------
    loss
        One of `gclib.losses`.
    difference
        Target minus other cosines, shape ``(N,)``.
    target, of
        Class of the image, and the class on whose cosine the gradient is taken.
    num_classes
        Number of classes C.
    noise
        Raw draws, shape ``(R, C)``, over which a stochastic loss is averaged, the same at each difference.
    logit_scale
        What the cosines are multiplied by for losses that take logits.

    Returns
    -------
    np.ndarray
        Shape ``(N,)``; divided by the scale of the logits it is the gradient on a logit.
    """
    import torch

    sizes = []
    extra = () if noise is None else (noise,)
    for value in np.asarray(difference, dtype=float):
        cosine = torch.zeros(num_classes, dtype=torch.float64)
        cosine[target] = value
        cosine.requires_grad_()
        rows = 1 if noise is None else len(noise)
        labels = torch.full((rows,), target)
        mean = loss(logit_scale * cosine.expand(rows, -1), labels, *extra)
        sizes.append(abs(torch.autograd.grad(mean, cosine)[0][of].item()))
    return np.array(sizes)


def gradient_panels(
    difference: ArrayLike, panels: Mapping[str, Mapping[str, ArrayLike]], ylabel: str
) -> Figure:
    """Draw gradients of several losses over the cosine difference, panel beside panel.

    Parameters
    ----------
    difference
        Target minus other cosines, shape ``(N,)``, rising.
    panels
        Title to the curves of its panel: name of a loss or recipe to sizes of the gradient, shape ``(N,)``. All
        panels have the same names.
    ylabel
        What the vertical axis shows.
    """
    figure, row = plt.subplots(1, len(panels), figsize=(6.4, 3.6), sharey=True, squeeze=False)
    for axes, (title, curves) in zip(row[0], panels.items(), strict=True):
        colours = method_colours(curves)
        for (name, values), style in zip(curves.items(), cycle(LINES), strict=False):
            axes.plot(difference, values, color=colours[name], linestyle=style, label=label(name))
        axes.set_title(title)
        axes.set_xlabel("cosine, target minus others")
        axes.margins(x=0)
    row[0, 0].set_ylabel(ylabel)
    row[0, 0].set_ylim(bottom=0)
    handles, labels = row[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _targets(class_counts: PerClass) -> tuple[np.ndarray, list[int]]:
    """Relative cloud sizes, and the classes that are shown: most frequent, middle, rarest."""
    from gclib.losses import cloud_sizes

    sizes = cloud_sizes(class_counts).numpy()
    return sizes, list(dict.fromkeys((0, len(sizes) // 2, len(sizes) - 1)))


STEPS = np.linspace(-6, 0, 121)  # places in a cloud, in standard deviations from its end
WEIGHTS = np.exp(-(STEPS**2) / 2)
LOGITS = np.linspace(-80, 60, 281)


def _cloud(size: float, plain: float, scale: float) -> tuple[np.ndarray, float]:
    """Clouded differences at `STEPS` and the mean gradient of Eq. 3; `size` is a standard deviation."""
    where = plain + STEPS * size
    return where, float(np.average(target_gradient_at(scale * where), weights=WEIGHTS))


def cloud_slider(
    class_counts: PerClass,
    places: Mapping[str, Sequence[float]],
    noise_scale: float = 0.5,
    plain: float = 0.3,
    scale: float = 30.0,
    noise_std: float = 1 / 3,
) -> go.Figure:
    r"""Draw the clouded difference of target and most frequent class, with sliders.

    For images of the most frequent, the middle and the rarest class (Eqs. 10 and 11); over it the gradient on
    the target logit among two classes (Eq. 3). The clamp at :math:`3\sigma` is left out: 0.3% lie beyond.

    Parameters
    ----------
    class_counts
        Training images per class, head to tail, shape ``(C,)``.
    places
        Which sliders there are, of ``"noise scale"``, ``"difference"`` and ``"scale s"``, and their places. A slider
        starts at the place next to the value below; what it does not move has that value.
    noise_scale
        kappa, at least 0.
    plain
        Cosine difference without a cloud.
    scale
        Scale s of the logits.
    noise_std
        Standard deviation sigma of the noise.
    """
    counts, (sizes, targets) = validated_counts(class_counts).astype(int), _targets(class_counts)
    colours = class_colours(counts)
    values = {"noise scale": noise_scale, "difference": plain, "scale s": scale}
    # Every curve is a fixed one, shifted and stretched, so a place of a slider is a few numbers.
    traces = [go.Scatter(y=target_gradient_at(LOGITS), line={"color": GREY, "dash": "dot"})]
    for target in targets:
        look = {"mode": "lines", "line": {"color": colours[target], "width": 3}, "opacity": 0.8}
        traces.append(go.Scatter(y=WEIGHTS, fill="tozeroy", **look))

    def change(slider: str, place: float) -> dict[str, list]:
        kappa, difference, s = {**values, slider: place}.values()
        curves = [LOGITS / s]
        names = ["gradient on the target logit"]
        for target in targets:
            where, mean = _cloud(kappa * noise_std * sizes[target], difference, s)
            curves.append(where)
            names.append(f"{counts[target]:,} images: mean gradient {mean:.2g}")
        steps = [max(curve[1] - curve[0], 1e-9) for curve in curves]  # plotly takes 0 for 1
        return {"x0": [curve[0] for curve in curves], "dx": steps, "name": names}

    figure = go.Figure(traces)
    add_sliders(
        figure,
        {name: {f"{place:g}": change(name, place) for place in each} for name, each in places.items()},
        {name: int(np.abs(np.asarray(each) - values[name]).argmin()) for name, each in places.items()},
    )
    figure.update_layout(
        height=575 if len(places) > 1 else 500,
        xaxis={"title": "clouded cosine, target minus head", "range": [-0.8, 0.6]},
        yaxis={"title": "gradient; density over its peak", "range": [0, 1.05]},
        legend={"orientation": "v", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def difference_cloud(
    class_counts: PerClass,
    noise_scale: float,
    plain: float = 0.3,
    scale: float = 30.0,
    noise_std: float = 1 / 3,
) -> Figure:
    """Draw one place of the slider of `cloud_slider`; the parameters are the same."""
    counts, (sizes, targets) = validated_counts(class_counts).astype(int), _targets(class_counts)
    colours = class_colours(counts)
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    where = np.linspace(-0.8, 0.6, 281)
    axes.plot(
        where, target_gradient_at(scale * where), color=GREY, linestyle=":", label="gradient, target logit"
    )
    for target in targets:
        x, mean = _cloud(noise_scale * noise_std * sizes[target], plain, scale)
        label = f"{counts[target]:,} images: mean gradient {mean:.2g}"
        if x[0] == plain:
            axes.vlines(plain, 0, 1, color=colours[target], linewidth=3, label=label)
        else:
            axes.fill_between(x, WEIGHTS, color=colours[target], alpha=0.3, linewidth=0, label=label)
    axes.set_xlim(-0.8, 0.6)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("clouded cosine, target minus head")
    axes.set_ylabel("gradient; density over its peak")
    figure.legend(loc="outside upper center", ncols=2)
    return figure
