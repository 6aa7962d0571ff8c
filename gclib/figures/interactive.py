"""Interactive figures: plotly in the one palette, from the book's own copy of plotly.js.

One output serves three viewers. The book takes the HTML, which loads `PLOTLY_JS` from the site itself.
JupyterLab and VS Code have plotly of their own and take the JSON. A viewer that shows no HTML, as a preview
on the web, takes the static twin, and a browser without scripts the alternative text. Numbers are rounded,
so that the stored output is the same on every machine.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from gclib.errors import UserError
from gclib.figures.style import GREY, HEAD_TO_TAIL, METHODS

__all__ = [
    "PLOTLY_JS",
    "TEMPLATE",
    "Interactive",
    "add_sliders",
    "as_text",
    "button_row",
    "show_plotly",
    "slider_layout",
]

PLOTLY_JS = "../_static/plotly/plotly.min.js"  # as seen from a page in notebooks/
DIGITS = 4  # significant digits that are kept
_AXIS = {"gridcolor": "rgba(122,122,122,0.25)", "linecolor": GREY, "zerolinecolor": GREY}
_AXIS |= {"ticks": "outside", "tickcolor": GREY}
_SCALE = [[place / 9, to_hex(HEAD_TO_TAIL(place / 9))] for place in range(10)]

TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY, "size": 13},
        "colorway": list(METHODS.values()),
        "colorscale": {"sequential": _SCALE},
        "xaxis": {**_AXIS, "automargin": True},
        "yaxis": {**_AXIS, "automargin": True},
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
)
"""Transparent, mid-grey axes, the colours of `gclib.figures.style`.

:meta hide-value:
"""


class Interactive:
    """What a notebook shows: HTML, plotly's JSON and a picture, of which each viewer takes what it can."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return self.bundle


def show_plotly(figure: go.Figure, div_id: str, alt: str, twin: Figure) -> Interactive:
    """Make a plotly figure showable in the book, offline, and in JupyterLab.

    Parameters
    ----------
    figure
        The figure. Its template becomes `TEMPLATE`.
    div_id
        Name of the element on the page; no two figures of a page share one.
    alt
        What the figure shows, for those who do not see it.
    twin
        The same content without a script. It is closed.

    Returns
    -------
    Interactive
        The last value of a notebook cell.

    Raises
    ------
    UserError
        If `div_id` is no plain name or `alt` is empty.
    """
    if not div_id.replace("-", "").isalnum():
        raise UserError(f"div_id {div_id!r} is no plain name; expected letters, digits and hyphens")
    if not alt.strip():
        raise UserError(f"figure {div_id}: alt is empty; expected a sentence that says what the figure shows")
    figure = go.Figure(figure).update_layout(template=TEMPLATE)
    content = _rounded(figure.to_plotly_json())
    page = plotly.io.to_html(
        content,
        config={"displaylogo": False, "responsive": True},
        include_plotlyjs=PLOTLY_JS,
        full_html=False,
        div_id=div_id,
        auto_play=False,
        default_height=f"{figure.layout.height or 420}px",
        validate=False,
    )
    label = html.escape(alt, quote=True)
    picture, small = io.BytesIO(), io.BytesIO()
    twin.savefig(picture, format="png", bbox_inches="tight")
    plt.close(twin)
    # 256 colours do for a still picture, and take a quarter of the room.
    Image.open(picture).quantize(method=Image.Quantize.FASTOCTREE).save(small, "png", optimize=True)
    return Interactive(
        {
            "text/html": f'<div role="figure" aria-label="{label}">{page}<noscript>{label}</noscript></div>',
            "application/vnd.plotly.v1+json": content,
            "image/png": base64.b64encode(small.getvalue()).decode(),
            "text/plain": alt,
        }
    )


def add_sliders(
    figure: go.Figure,
    sliders: Mapping[str, Mapping[str, dict[str, list]]],
    start: Mapping[str, int],
    prefix: str | None = None,
    top: int = 65,
) -> None:
    """Put a slider below a figure; where there are several, buttons choose the one that shows.

    The figure is set to the start of the first slider, and goes to the start of another when it is chosen.

    Parameters
    ----------
    figure
        What the slider changes.
    sliders
        Name of a slider to its positions: as written, to what is set there:
        property to one value for each trace, as plotly's ``restyle`` takes it; None for a trace without it.
    start
        Name of a slider to the index of its first position.
    prefix
        What is written before a position; None for the name of the slider.
    top
        Pixels between the figure and what is below it; the numbers and the title of an x axis need the default.
    """

    def of(name: str) -> dict[str, Any]:
        steps = {place: [change] for place, change in sliders[name].items()}
        below = top if len(sliders) == 1 else top + 60  # the buttons are between
        return slider_layout(f"{name} " if prefix is None else prefix, steps, start[name], below)

    first = next(iter(sliders))
    for name, values in list(sliders[first].values())[start[first]].items():
        for trace, value in zip(figure.data, values, strict=True):
            if value is not None:
                trace[name] = value
    figure.update_layout(sliders=[of(first)])
    if len(sliders) > 1:
        buttons = [
            {
                "label": name,
                "method": "update",
                "args": [list(places.values())[start[name]], {"sliders": [of(name)]}],
            }
            for name, places in sliders.items()
        ]
        figure.update_layout(updatemenus=[button_row(buttons, top=top + 5, direction="right")])


def as_text(name: str) -> str:
    """Return a name of a class or a recipe such that plotly shows it as it is: neither as HTML nor as mathematics."""
    return html.escape(name, quote=False).replace("$", "&#36;")


def slider_layout(
    name: str, steps: Mapping[str, list], active: int, top: int, method: str = "restyle"
) -> dict[str, Any]:
    """Return a slider for the layout of a figure.

    Parameters
    ----------
    name
        What is written before its position.
    steps
        Position, as written, to the arguments of plotly's method there.
    active
        Index of the position at first.
    top
        Pixels between the figure and the slider.
    method
        ``"restyle"``, or ``"animate"`` for a figure with frames.
    """
    return {
        "active": active,
        "steps": [{"label": place, "method": method, "args": args} for place, args in steps.items()],
        "currentvalue": {"prefix": name},
        "pad": {"t": top},
        "x": 0.02,
        "len": 0.92,  # room for the label of the last position
        "bordercolor": GREY,
        "tickcolor": GREY,
    }


def button_row(buttons: Sequence[Mapping[str, Any]], top: int, **look: Any) -> dict[str, Any]:
    """Return plotly's buttons as a row for the layout of a figure, `top` pixels below it; `look` adds to it."""
    return {
        "type": "buttons",
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": top},
        "bgcolor": "rgba(0,0,0,0)",
        "bordercolor": GREY,
        "buttons": buttons,
        **look,
    }


def _rounded(value: Any) -> Any:
    """Return plain JSON with floats rounded and plotly's binary arrays written out."""
    if isinstance(value, dict) and value.keys() >= {"bdata", "dtype"}:
        array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]))
        shape = [int(n) for n in str(value.get("shape", array.size)).split(",")]
        return _rounded(array.reshape(shape).tolist())
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _rounded(value.tolist())
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
