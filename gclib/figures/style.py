"""The one palette and the one set of sizes of all figures.

Figures are transparent: the page shows through, white or dark. So every colour here has a contrast of at
least 3 to white and to the dark backgrounds at once (WCAG 2.1, 1.4.11), and the grey of axes and text of at
least 4. That leaves a narrow band of luminance; within it the scale from head to tail goes through OKLab in
equal steps.
"""

from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.ticker import MaxNLocator

from gclib.arrays import PerClass, validated_counts
from gclib.errors import UserError, without_middle

__all__ = [
    "BACKGROUNDS",
    "BLUE",
    "GREY",
    "HATCHES",
    "HEAD_TO_TAIL",
    "HEAT",
    "LINES",
    "MARKERS",
    "METHODS",
    "class_colours",
    "class_ticks",
    "contrast",
    "luminance",
    "method_colours",
    "plain",
    "slant",
    "use",
]

BACKGROUNDS = ("#ffffff", "#121212", "#14181e")  # white, the usual dark grey, the dark theme of the book
GREY = "#7a7a7a"
HEAT = "cividis"  # values in a matrix: cells are opaque, so the whole range of luminance is free

HEAD_TO_TAIL = LinearSegmentedColormap.from_list(
    "head-to-tail",
    [
        "#833fd5",
        "#8253ce",
        "#8a5fc0",
        "#9566af",
        "#a16c9e",
        "#ad708b",
        "#ba7377",
        "#c5765f",
        "#d17942",
        "#da7d00",
    ],
)
"""Violet for the most frequent class to orange for the rarest, ever lighter, for every colour vision.

:meta hide-value:
"""

METHODS = {
    "gcl-official": "#c24173",
    "ldam-drw": "#3573da",
    "ce-mixup": "#768b09",
    "mislas": "#9846ab",
    "gcl-paper": "#da6b6e",
    "logit-adjustment": "#508ff9",
    "ce": "#5f6e24",
    "bbn": "#ad7eb8",
}
"""Recipe to colour; related methods have related colours."""

BLUE = METHODS["ldam-drw"]  # where colour tells nothing apart

# Characters: longer names leave a figure no room, beside its axes and below them.
LONG_NAME, LEANING_NAME = 60, 30

# Colour is never the only difference, neither between lines nor between bars that stand side by side.
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "oo", "++")
MARKERS = "osD^v<>P"
LINES = ("-", "--", "-.", ":", (0, (8, 2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)))  # widths of the line on, off

DEEP = (
    "4C72B0 DD8452 55A868 C44E52 8172B3 937860 DA8BC3 8C8C8C CCB974 64B5CD"  # seaborn's palette of that name
)

RC: dict[Any, Any] = {
    "figure.figsize": (6.4, 3.6),  # inches; about the width of the text, so that letters match it
    "figure.dpi": 144,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "patch.linewidth": 0,  # no rim around bars: it would be drawn for one background only
    # What else seaborn's style "ticks" says; to import seaborn itself takes a second on every page.
    "axes.linewidth": 1.25,
    "axes.prop_cycle": cycler(color=[f"#{hexadecimal}" for hexadecimal in DEEP.split()]),
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "grid.linewidth": 1.0,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    **{f"{axis}tick.{kind}.size": size for axis in "xy" for kind, size in (("major", 6.0), ("minor", 4.0))},
    **{
        f"{axis}tick.{kind}.width": width
        for axis in "xy"
        for kind, width in (("major", 1.25), ("minor", 1.0))
    },
    "svg.hashsalt": "gclib",  # the same figure gives the same bytes
}


def use() -> None:
    """Set the style of all figures drawn from now on; call it once, at the top of a notebook."""
    matplotlib.rcdefaults()  # nothing of a person's own matplotlibrc, such as text.usetex
    matplotlib.rcParams.update(RC)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 for black to 1 for white (WCAG 2.1)."""
    encoded = np.array(to_rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, 1 for none to 21 for black on white (WCAG 2.1)."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def class_colours(class_counts: PerClass) -> list[str]:
    r"""Return one colour a class, from head to tail.

    The place on the scale is :math:`(\log n_{\max} - \log n_j) / (\log n_{\max} - \log n_{\min})`, the
    relative cloud size of Eq. 9: classes with equal counts share a colour; where all counts are equal it is
    that of the head.

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.

    Returns
    -------
    list of str
        C colours as ``#rrggbb``.

    Raises
    ------
    UserError
        If a count is below 1.
    """
    counts = validated_counts(class_counts)
    rarity = np.log(counts.max()) - np.log(counts)
    return [to_hex(HEAD_TO_TAIL(place)) for place in rarity / (rarity.max() or 1.0)]


def method_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each method: the same on every page for the known ones, a free one for others.

    Parameters
    ----------
    names
        Names of recipes, or any labels.

    Returns
    -------
    dict
        Name to ``#rrggbb``, in the order of `names`.

    Raises
    ------
    UserError
        If there are more methods than colours.
    """
    wanted = list(dict.fromkeys(names))
    if len(wanted) > len(METHODS):
        raise UserError(f"{len(wanted)} methods in a figure; expected at most {len(METHODS)}, so draw two")
    free = (colour for name, colour in METHODS.items() if name not in wanted)
    return {name: METHODS[name] if name in METHODS else next(free) for name in wanted}


def class_ticks(axes: Axes, class_names: Iterable[str] | None, num_classes: int) -> None:
    """Label the x axis with the classes, head first: names where there is room, else indices."""
    axes.set_xlim(-0.6, num_classes - 0.4)
    if class_names is None or num_classes > 20:
        axes.set_xlabel("class index, head to tail")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    axes.set_xlabel("class, head to tail")
    names = [plain(name, LEANING_NAME) for name in class_names]
    axes.set_xticks(range(num_classes), names, **slant(names))


def plain(name: str, longest: int = LONG_NAME) -> str:
    """Return a name of a class or a recipe such that matplotlib shows it as it is, on one line, a long one shortened.

    To matplotlib, text between dollars is mathematics, and a label that begins with an underscore is hidden.
    """
    shown = without_middle(" ".join(name.split()), longest).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown


def slant(names: list[str]) -> dict[str, Any]:
    """Return how labels below an axis are turned: words lean, digits stand."""
    return {} if max(map(len, names)) <= 2 else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
