"""Figures: colours that can be told apart on any page, labelled axes, the same bytes for the same input."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn
from factories import make_record
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from gclib.data import class_counts
from gclib.errors import UserError
from gclib.figures import classes, derivation, style, training
from gclib.losses import CLOUD_STRATEGIES, cloud_sizes
from gclib.records import Outcome

NAMES = tuple(f"class {index}" for index in range(10))
COUNTS, MANY_COUNTS = class_counts(5000, 10, 100), class_counts(500, 100, 100)
SCALE = [style.HEAD_TO_TAIL(place)[:3] for place in np.linspace(0, 1, 101)]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB: what people with a colour deficiency see.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.fixture(autouse=True)
def _one_style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use()
        yield
    plt.close("all")


def seen(colours: list, deficiency: str) -> np.ndarray:
    """Linear RGB of colours as they are seen, shape (N, 3)."""
    encoded = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.clip(linear @ np.transpose(DEFICIENCIES[deficiency]), 0, 1)


def oklab(linear: np.ndarray) -> np.ndarray:
    """OKLab (Ottosson 2020), in which equal distances look equal."""
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones.append([0.0883024619, 0.2817188376, 0.6299787005])
    axes = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099]]
    axes.append([0.0259040371, 0.7827717662, -0.808675766])
    return np.cbrt(linear @ np.transpose(cones)) @ np.transpose(axes)


@pytest.mark.parametrize("background", style.BACKGROUNDS)
def test_every_colour_stands_out_from_every_page(background: str) -> None:
    assert min(style.contrast(to_hex(colour), background) for colour in SCALE) >= 3
    assert min(style.contrast(colour, background) for colour in style.METHODS.values()) >= 3
    assert style.contrast(style.GREY, background) >= 4


def test_contrast_is_that_of_the_web() -> None:
    assert style.contrast("black", "white") == pytest.approx(21)
    assert style.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_scale_gets_lighter_from_head_to_tail(deficiency: str) -> None:
    assert (np.diff(seen(SCALE, deficiency) @ [0.2126, 0.7152, 0.0722]) > 0).all()


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_ten_classes_can_be_told_apart(deficiency: str) -> None:
    places = oklab(seen(style.class_colours(COUNTS), deficiency))
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.min() > 0.02  # twice what an eye tells apart, side by side
    if deficiency == "none":
        assert steps.max() < 1.2 * steps.min()


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_methods_can_be_told_apart(deficiency: str) -> None:
    places = oklab(seen(list(style.METHODS.values()), deficiency))
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 0.08


def test_class_colours_follow_the_counts() -> None:
    ends = [to_hex(style.HEAD_TO_TAIL(0.0)), to_hex(style.HEAD_TO_TAIL(1.0))]
    colours = style.class_colours(COUNTS)
    assert [colours[0], colours[-1]] == ends
    assert all(style.luminance(a) < style.luminance(b) for a, b in pairwise(colours))
    assert style.class_colours(COUNTS[::-1]) == colours[::-1]
    assert style.class_colours([7, 7, 7]) == [ends[0]] * 3
    assert style.class_colours([9, 1, 9]) == [ends[0], ends[1], ends[0]]


@pytest.mark.parametrize(("counts", "words"), [([], "shape"), ([5, 0], "at least 1"), ([[1, 2]], "shape")])
def test_counts_without_a_colour(counts: list, words: str) -> None:
    with pytest.raises(UserError, match=words):
        style.class_colours(counts)


def test_a_method_has_one_colour_on_every_page() -> None:
    alone, together = style.method_colours(["ce"]), style.method_colours(["mine", "gcl-paper", "ce", "yours"])
    assert alone["ce"] == together["ce"] == style.METHODS["ce"]
    assert list(together) == ["mine", "gcl-paper", "ce", "yours"]
    assert len(set(together.values())) == 4
    with pytest.raises(UserError, match="so draw two"):
        style.method_colours(map(str, range(9)))


def densities() -> np.ndarray:
    sizes, x = cloud_sizes(COUNTS).numpy()[1:, None] / 6, np.linspace(-0.5, 0, 50)
    return np.vstack([np.zeros(50), np.sqrt(2 / np.pi) / sizes * np.exp(-(x**2) / (2 * sizes**2))])


def outcomes() -> dict[str, Outcome]:
    return {name: make_record(recipe=name, seed=seed).clean for seed, name in enumerate(["ce", "bbn"])}


FIGURES: dict[str, Callable[[], Figure]] = {
    "class counts": lambda: classes.class_count_bars(COUNTS, NAMES),
    "100 class counts": lambda: classes.class_count_bars(MANY_COUNTS),
    "curves": lambda: training.training_curves(
        [make_record(), make_record(recipe="gcl-official", epochs=(6, 4))]
    ),
    "classes of one": lambda: classes.per_class_bars({"ce": outcomes()["ce"].per_class}, COUNTS, NAMES),
    "classes of two": lambda: classes.per_class_bars(
        {name: outcome.per_class for name, outcome in outcomes().items()}, COUNTS, NAMES
    ),
    "100 classes of two": lambda: classes.per_class_bars(
        {"ce": MANY_COUNTS / 5, "bbn": MANY_COUNTS / 9}, MANY_COUNTS
    ),
    "images": lambda: classes.class_images(np.full((6, 2, 2, 3), 9, np.uint8), [0, 0, 0, 1, 1, 2], "abc"),
    "courses": lambda: training.class_courses(np.ones((4, 10)), COUNTS, NAMES, "share"),
    "confusion": lambda: classes.confusion_heatmap(outcomes()["ce"].confusion, NAMES),
    "confusion of 12": lambda: classes.confusion_heatmap(np.eye(12), [str(index) for index in range(12)]),
    "saturation": lambda: derivation.saturation(np.linspace(-4, 4, 9), {"ce": np.linspace(1, 0, 9)}),
    "cloud": lambda: derivation.cloud_density(np.linspace(-0.5, 0, 50), densities(), COUNTS, NAMES),
    "cloud sizes": lambda: derivation.cloud_size_lines(
        {name: cloud_sizes(COUNTS, name).numpy() for name in CLOUD_STRATEGIES}, NAMES
    ),
    "probabilities": lambda: derivation.probability_lines(
        {"instance": COUNTS / COUNTS.sum(), "class": [0.1] * 10}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_say_what_they_show(name: str) -> None:
    figure = FIGURES[name]()
    assert figure.get_facecolor()[3] == 0
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    for axes in panels:
        assert axes.has_data()
        assert axes.get_ylabel()
        assert axes.get_facecolor()[3] == 0
    assert panels[-1].get_xlabel()
    if len(panels[0].get_legend_handles_labels()[1]) > 1:
        assert figure.legends or panels[0].get_legend()


@pytest.mark.parametrize("name", ["confusion", "cloud"])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(name: str, kind: str) -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        FIGURES[name]().savefig(file, format=kind, dpi=50, metadata={"Date": None} if kind == "svg" else None)
    assert files[0].getvalue() == files[1].getvalue()


def test_figures_show_the_numbers_they_are_given() -> None:
    bars = classes.class_count_bars(COUNTS, NAMES).axes[0]
    assert [bar.get_height() for bar in bars.patches] == COUNTS.tolist()
    assert [to_hex(bar.get_facecolor()) for bar in bars.patches] == style.class_colours(COUNTS)
    assert bars.get_yscale() == "log"

    matrix = np.array(outcomes()["ce"].confusion)
    heat = classes.confusion_heatmap(matrix, NAMES).axes[0]
    shares = 100 * matrix / matrix.sum(1, keepdims=True)
    assert [text.get_text() for text in heat.texts] == [f"{share:.0f}" for share in shares.flat]


def test_images_stand_in_the_row_of_their_class() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    canvas = classes.class_images(images, [1, 0, 0, 2, 0, 2], "abc", most=2).axes[0].images[0].get_array()
    assert canvas[::3, ::3, 0].tolist() == [[1, 2], [0, 0], [3, 5]]
    assert canvas[::3, ::3, 3].tolist() == [[255, 255], [255, 0], [255, 255]]
    assert not canvas[2::3, :, 3].any()  # neighbours do not touch
    assert not canvas[:, 2::3, 3].any()


def test_courses_have_the_colours_of_their_classes() -> None:
    values = np.arange(20.0).reshape(2, 10)
    thirds, lines = np.split(training.class_courses(values, COUNTS, NAMES, "share", top=1).axes[0].lines, [3])
    assert [to_hex(line.get_color()) for line in lines] == style.class_colours(COUNTS)
    assert [line.get_ydata().tolist() for line in lines] == values.T.tolist()
    assert [line.get_ydata()[0] for line in thirds] == [1.0, 4.5, 8.0]  # classes 0 to 2, 3 to 6, 7 to 9
    assert lines[0].get_xdata().tolist() == [1, 2]
    every_fifth = training.class_courses(values, COUNTS, NAMES, "share", epochs=[5, 10]).axes[0].lines
    assert every_fifth[0].get_xdata().tolist() == [5, 10]


def test_numbers_in_a_confusion_matrix_can_be_read() -> None:
    heat = classes.confusion_heatmap(np.diag(np.linspace(10, 100, 10)) + 10, NAMES).axes[0]
    cells = [to_hex(tuple(colour)) for colour in heat.collections[0].get_facecolor()]
    assert (
        min(style.contrast(text.get_color(), cell) for text, cell in zip(heat.texts, cells, strict=True))
        >= 4.5
    )


def test_curves_follow_the_stages_of_the_clean_run() -> None:
    record = make_record(recipe="gcl-official", epochs=(6, 4))
    loss, accuracy, _ = training.training_curves([record]).axes
    first, second = (line.get_xdata().tolist() for line in loss.lines[:2])
    assert (first, second) == ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10])
    last = record.stages[1]
    assert last.start == "last"
    drawn = [line.get_ydata() for line in accuracy.lines if list(line.get_ydata())]
    assert any(np.array_equal(line, last.course.test_accuracy) for line in drawn)
    assert not any(np.array_equal(line, record.stages[2].course.test_accuracy) for line in drawn)
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["test", "train"]
    assert not loss.get_legend()


def test_a_run_without_epochs_has_no_curves() -> None:
    with pytest.raises(UserError, match="no epoch to draw"):
        training.training_curves([])


def test_the_style_is_seaborn_s_ticks_without_its_import() -> None:
    with matplotlib.rc_context():
        style.use()
        ours = dict(matplotlib.rcParams)
        matplotlib.rcdefaults()
        seaborn.set_theme(style="ticks", rc=style.RC)
        theirs = dict(matplotlib.rcParams)
    assert {name for name in theirs if ours[name] != theirs[name]} == {"image.cmap"}
    code = (
        "import sys; from gclib.figures import classes, style; style.use(); print('seaborn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
