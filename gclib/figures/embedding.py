"""Figures of embeddings: where images of each class lie, the obscure region between classes, epoch by epoch.

`gclib.figures.style.use` comes first. The colour of a class goes from head to tail; its name stands at its
median. A cross is an image that the network classifies wrongly.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from gclib.embeddings import Embedding
from gclib.figures.apart import sides, spread
from gclib.figures.interactive import as_text, button_row, slider_layout
from gclib.figures.style import (
    GREY,
    class_colours,
    plain,
)
from gclib.geometry import CLEAR, NEIGHBOURS, largest_share

__all__ = ["embedding_panels", "embedding_plot", "epoch_animation", "epoch_panels", "obscure_cells"]

CELLS = 60  # of the grid on which the obscure region is drawn, in each direction
DPI = 100  # of the still pictures: a thousand points make a large file
CROSS, OPEN = 4, 100  # plotly's numbers: of the symbol, and added to it for an open one
HALO = ", ".join(
    ["0 0 2px white"] * 4
)  # round a name, so that it reads on points; on a dark page book.css turns it
APART = 0.13  # least distance of two names in the plane of two features, of half the side of the panel


def obscure_cells(plane: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the obscure region of a picture: where no class has `CLEAR` of the nearest images.

    `gclib.geometry.geometry` measures the same in the space of the features.

    Parameters
    ----------
    plane
        Places of the images, shape ``(N, 2)``, N above `NEIGHBOURS`.
    labels
        Their classes, shape ``(N,)``.

    Returns
    -------
    x, y, obscure
        Centres of the cells of a grid, shape ``(M,)`` each, and which cells belong to the region, bool, shape
        ``(M, M)``, rows along y. A cell further from every image than images usually are from their
        neighbourhood's edge does not.
    """
    from sklearn.neighbors import NearestNeighbors

    places, classes = np.asarray(plane, dtype=np.float64), np.asarray(labels)
    low, high = places.min(0), places.max(0)
    x, y = np.linspace(low - 0.03 * (high - low), high + 0.03 * (high - low), CELLS).T
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(places)
    distances, nearest = search.kneighbors(grid)
    usual = np.median(search.kneighbors(places)[0][:, -1])
    mixed = largest_share(classes[nearest], int(classes.max()) + 1) < CLEAR
    return x, y, (mixed & (distances[:, 0] < usual)).reshape(CELLS, CELLS)


def embedding_panels(embeddings: Mapping[str, Embedding]) -> Figure:
    """Draw training images above test images, method beside method, over the obscure region (Figs. 1 and 3).

    The region is drawn only where every class has more than `NEIGHBOURS` images in the panel. A class with fewer can
    hardly be `CLEAR` of the nearest images anywhere, so that its own place would count as obscure.

    Parameters
    ----------
    embeddings
        Name of a method to its embedding.
    """
    figure, grid = plt.subplots(
        2, len(embeddings), figsize=(6.4, 6.6), sharex="col", sharey="col", squeeze=False, dpi=DPI
    )
    shaded = False
    for column, (name, embedding) in zip(grid.T, embeddings.items(), strict=True):
        for axes, split in zip(column, ("training", "test"), strict=True):
            part = embedding.of(split == "test")
            counts = np.bincount(part.labels)
            if counts[counts > 0].min() > NEIGHBOURS:  # else rare classes are obscure by the rule alone
                x, y, obscure = obscure_cells(part.plane, part.labels)
                shade = np.where(obscure, 1.0, np.nan)
                axes.pcolormesh(
                    x, y, shade, cmap=ListedColormap([GREY]), alpha=0.35, linewidth=0, rasterized=True
                )
                shaded = True
            _scatter(axes, part)
            axes.set_title(fill(f"{plain(name)}, {split} images", 34))
            axes.set_ylabel("second coordinate")
            axes.grid(visible=False)
        column[-1].set_xlabel("first coordinate")
    _legend(figure, shade=shaded)
    return figure


def epoch_panels(courses: Mapping[str, Sequence[Embedding]], epochs: Sequence[int]) -> Figure:
    """Draw the test images at some epochs, one row a run; the still twin of `epoch_animation`.

    Parameters
    ----------
    courses
        Name of a run to its embeddings, two features each; the first is after epoch 1.
    epochs
        Which epochs to draw, from 1.
    """
    figure, grid = plt.subplots(
        len(courses), len(epochs), figsize=(6.4, 0.8 + 2.2 * len(courses)), squeeze=False, dpi=DPI
    )
    for row, (name, course) in zip(grid, courses.items(), strict=True):
        reach = _reach(course)
        for axes, epoch in zip(row, epochs, strict=True):
            # Before the end the classes lie in one heap, where their names would lie on each other.
            _scatter(axes, course[epoch - 1].of(test=True), size=6, named=epoch == max(epochs))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
            axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
            axes.axvline(0, color=GREY, linewidth=0.6, zorder=1)
            axes.set_title(f"{plain(name)}, epoch {epoch}")
            axes.set_ylabel("second feature")
            axes.grid(visible=False)
    for axes in grid[-1]:
        axes.set_xlabel("first feature")
    _legend(figure, shade=False)
    return figure


def _scatter(axes: Axes, part: Embedding, size: float = 12, named: bool = True) -> None:
    colours = np.array(class_colours(part.class_counts))[part.labels]
    for marker, chosen in (("o", part.right), ("x", ~part.right)):
        x, y = part.plane[chosen].T
        axes.scatter(x, y, s=size, c=colours[chosen], marker=marker, linewidth=0.8, alpha=0.85, zorder=2)
    names, places = _names(part) if named else ([], np.empty((0, 2)))
    for name, (x, y), (right, up) in zip(names, places, sides(names, places, part.plane), strict=True):
        axes.annotate(
            plain(name),
            (x, y),
            ha=("right", "center", "left")[right + 1],
            va=("top", "center", "bottom")[up + 1],
            fontsize=8,
            fontweight="bold",
            color="black",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
        )
    axes.tick_params(labelleft=False, labelbottom=False, length=0)


def _names(part: Embedding) -> tuple[list[str], np.ndarray]:
    """Name and median place of each class that has an image."""
    present = np.unique(part.labels)
    places = [np.median(part.plane[part.labels == label], axis=0) for label in present]
    return [part.class_names[label] for label in present], np.array(places)


def _legend(figure: Figure, shade: bool) -> None:
    handles: list[Artist] = [
        plt.Line2D([], [], color=GREY, marker=marker, linestyle="", markersize=5, label=f"classified {how}")
        for marker, how in (("o", "rightly"), ("x", "wrongly"))
    ]
    if shade:
        handles.append(plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.35, label="obscure region"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)


def embedding_plot(embeddings: Mapping[str, Embedding]) -> go.Figure:
    """Make the interactive twin of `embedding_panels`: hover shows class, split, and what an image is taken for.

    The legend switches the splits and the obscure region of the test images on and off.

    Parameters
    ----------
    embeddings
        Name of a method to its embedding.
    """
    figure = make_subplots(
        1, len(embeddings), subplot_titles=list(map(as_text, embeddings)), horizontal_spacing=0.04
    )
    for column, (name, embedding) in enumerate(embeddings.items(), start=1):
        test = embedding.of(test=True)
        x, y, obscure = obscure_cells(test.plane, test.labels)
        group = {"legendgroup": "obscure", "showlegend": column == 1}
        shade = [[0, "rgba(122,122,122,0.4)"], [1, "rgba(122,122,122,0.4)"]]
        cells = [[1 if cell else None for cell in row] for row in obscure]
        figure.add_trace(
            go.Heatmap(
                x=x, y=y, z=cells, colorscale=shade, showscale=False, hoverinfo="skip", name="obscure region"
            ).update(group),
            row=1,
            col=column,
        )
        for split, part in (("training", embedding.of(test=False)), ("test", test)):
            trace = _points(part, split == "training").update(
                name=f"{split} images", legendgroup=split, showlegend=column == 1
            )
            trace.update(
                text=_verdicts(part), hovertemplate=f"{split} image: %{{text}}<extra>{as_text(name)}</extra>"
            )
            trace.visible = "legendonly" if split == "training" else True
            figure.add_trace(trace, row=1, col=column)
        figure.add_trace(_name_tags(*_names(test)).update(textposition=_positions(test)), row=1, col=column)
    _bare(figure, zeroline=False)
    figure.update_layout(height=460, legend={"y": 1.08})
    return figure


def epoch_animation(courses: Mapping[str, Sequence[Embedding]]) -> go.Figure:
    """Make an animation of the test images in a plane of two features, run beside run, epoch by epoch.

    Parameters
    ----------
    courses
        Name of a run to its embeddings, two features each, the first after epoch 1; all of one length.
    """
    parts = {name: [step.of(test=True) for step in course] for name, course in courses.items()}
    figure = make_subplots(1, len(parts), subplot_titles=list(map(as_text, parts)), horizontal_spacing=0.04)
    for column, course in enumerate(parts.values(), start=1):
        points = _points(course[-1], False).update(showlegend=False)
        points.update(
            text=[as_text(course[-1].class_names[label]) for label in course[-1].labels],
            hovertemplate="class %{text}<extra></extra>",
        )
        figure.add_trace(points, row=1, col=column)
        reach = _reach(course)
        names, places = _names(course[-1])
        figure.add_trace(_name_tags(names, spread(places, APART * reach)), row=1, col=column)
        for axis in (figure.update_xaxes, figure.update_yaxes):
            axis(range=[-reach, reach], row=1, col=column)  # fixed, or the axes would move instead
    length = len(next(iter(parts.values())))
    figure.frames = [
        go.Frame(
            name=str(epoch + 1),
            traces=list(range(2 * len(parts))),
            data=[
                trace for course in parts.values() for trace in _moved(course[epoch], APART * _reach(course))
            ],
        )
        for epoch in range(length)
    ]
    still = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate", "transition": {"duration": 0}}
    moving = {"frame": {"duration": 150, "redraw": False}, "transition": {"duration": 0}, "fromcurrent": True}
    steps = {frame.name: [[frame.name], still] for frame in figure.frames}
    buttons: list[dict[str, Any]] = [
        {"label": "play", "method": "animate", "args": [None, moving]},
        {"label": "pause", "method": "animate", "args": [[None], still]},
    ]
    for axis in figure.select_yaxes():  # squares in any width: angles are what is to be seen
        axis.update(scaleanchor=axis.anchor, scaleratio=1, constraintoward="top")
    figure.update_xaxes(constrain="domain").update_yaxes(constrain="domain")
    _bare(figure, zeroline=True)
    figure.update_layout(
        height=460,
        sliders=[slider_layout("epoch ", steps, length - 1, top=65, method="animate")],  # below the buttons
        updatemenus=[button_row(buttons, top=15, direction="left", showactive=False)],
    )
    return figure


def _points(part: Embedding, is_open: bool) -> go.Scatter:
    """Images as a trace, coloured from head to tail."""
    colours = class_colours(part.class_counts)
    last = max(len(colours) - 1, 1)
    scale = [[place / last, colour] for place, colour in enumerate(colours)]
    look = {"color": part.labels, "colorscale": scale, "cmin": 0, "cmax": last, "size": 5 if is_open else 6}
    trace = _moved(part)[0].update(mode="markers")
    return trace.update(marker={**look, "symbol": trace.marker.symbol + OPEN * is_open})


def _moved(part: Embedding, apart: float = 0.0) -> tuple[go.Scatter, go.Scatter]:
    """What changes from epoch to epoch: places and symbols of the images, places of the names."""
    x, y = part.plane.round(2).T
    names_x, names_y = spread(_names(part)[1], apart).round(2).T
    symbols = np.where(part.right, 0, CROSS)
    return go.Scatter(x=x, y=y, marker={"symbol": symbols}), go.Scatter(x=names_x, y=names_y)


def _name_tags(names: Sequence[str], places: np.ndarray) -> go.Scatter:
    font = {"size": 13, "color": "black", "shadow": HALO}
    tags = {"mode": "text", "hoverinfo": "skip", "showlegend": False, "textfont": font}
    return go.Scatter(
        x=places[:, 0], y=places[:, 1], text=[f"<b>{as_text(name)}</b>" for name in names], **tags
    )


def _positions(part: Embedding) -> list[str]:
    """On which side of its place each name is written, as plotly calls it."""
    down, across = ("bottom", "middle", "top"), ("left", "center", "right")
    return [f"{down[up + 1]} {across[right + 1]}" for right, up in sides(*_names(part), part.plane)]


def _verdicts(part: Embedding) -> list[str]:
    names = list(map(as_text, part.class_names))
    return [
        names[label] + (", right" if label == given else f", taken for {names[given]}")
        for label, given in zip(part.labels, part.predicted, strict=True)
    ]


def _reach(course: Sequence[Embedding]) -> float:
    """Half the side of a square round zero that holds the test images of all epochs."""
    return 1.05 * max(float(np.abs(step.plane[step.test]).max()) for step in course)


def _bare(figure: go.Figure, zeroline: bool) -> None:
    """Drop the numbers from the axes: in a projection they mean nothing, and features have no unit."""
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(showticklabels=False, ticks="", showgrid=False, zeroline=zeroline)
