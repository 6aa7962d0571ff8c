"""Names of classes and recipes stand in figures as they are: no mathematics, no HTML, none is hidden."""

import html
import warnings

import matplotlib.pyplot as plt
import numpy as np
import plotly.io
import pytest
from factories import paper_run
from matplotlib.figure import Figure
from matplotlib.text import Text

from gclib.embeddings import Embedding
from gclib.figures import classes, derivation, embedding, rebalancing, results, style, training
from gclib.metrics import Reliability
from gclib.tables import Interval

NAMES = ["$x$", "a$", r"\alpha $\beta$", "_hidden", "<b>b</b>", "&lt;", "a\nb"]
COUNTS = np.array([90, 60, 40, 30, 20, 10, 5])
VALUES = {name: np.linspace(90, 10, len(NAMES)) for name in NAMES}


def embedded() -> Embedding:
    labels = np.repeat(np.arange(len(NAMES)), 2)
    plane = np.random.default_rng(0).normal(size=(len(labels), 2))
    return Embedding(
        features=plane,
        plane=plane,
        labels=labels,
        predicted=labels,
        test=np.ones(len(labels), bool),
        class_counts=COUNTS,
        class_names=tuple(NAMES),
        settings={},
    )


FIGURES = {
    "class_count_bars": lambda: classes.class_count_bars(COUNTS, NAMES),
    "class_images": lambda: classes.class_images(np.zeros((7, 2, 2, 3), np.uint8), np.arange(7), NAMES),
    "class_courses": lambda: training.class_courses(np.ones((3, 7)), COUNTS, NAMES, "loss"),
    "per_class_bars": lambda: classes.per_class_bars(VALUES, COUNTS, NAMES),
    "confusion_heatmap": lambda: classes.confusion_heatmap(np.eye(7), NAMES),
    "cloud_density": lambda: derivation.cloud_density(np.linspace(-1, 0, 7), np.eye(7), COUNTS, NAMES),
    "class_panels": lambda: results.class_panels(VALUES, COUNTS),
    "group_bars": lambda: results.group_bars(
        {name: dict.fromkeys(("many", "medium", "few", "all"), 50.0) for name in NAMES}
    ),
    "epoch_panels": lambda: embedding.epoch_panels({"run": [embedded()]}, [1]),
    "difference_plot": lambda: results.difference_plot(
        dict.fromkeys(NAMES, Interval(1.0, 2.0, 0.3)), "points"
    ),
    "reliability_panels": lambda: results.reliability_panels(
        dict.fromkeys(NAMES, Reliability(np.ones(2) / 2, np.ones(2) / 2, np.ones(2, int)))
    ),
    "probability_panels": lambda: results.probability_panels({name: {"$x$": np.ones(7)} for name in NAMES}),
    "cloud_size_lines": lambda: derivation.cloud_size_lines({"log": np.linspace(0, 1, 7)}, NAMES),
    "anchor_lines": lambda: rebalancing.anchor_lines({"cRT": np.ones(7)}, {"cRT": np.ones(7)}, NAMES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_matplotlib_shows_every_name_as_it_is(name: str) -> None:
    style.use()
    figure = FIGURES[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a character without a glyph, or a label that a legend leaves out
        figure.canvas.draw()
    shown = texts(figure)
    for wanted in NAMES:
        wanted = wanted.replace("\n", " ")
        assert any(
            text == wanted or text.startswith((f"{wanted} (", f"{wanted}, ", f"{wanted}\n")) for text in shown
        ), wanted
    plt.close(figure)


def texts(figure: Figure) -> list[str]:
    """What each text of a figure looks like; mathematics is none."""
    seen = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text) if text.get_visible()]
    return [text.lstrip("\N{ZERO WIDTH SPACE}") for text, is_mathematics in seen if not is_mathematics]


def test_a_very_long_name_leaves_a_figure_its_room() -> None:
    shown = style.plain("x" * 255)
    assert len(shown) < 70
    assert " ... " in shown


@pytest.mark.parametrize("figure", ["class_count_bars", "per_class_bars", "confusion_heatmap"])
def test_a_figure_with_very_long_names_has_room_for_its_data(
    figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "NAMES", ["x" * 255, *NAMES[1:]])
    style.use()
    drawn = FIGURES[figure]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib says where axes collapse
        drawn.canvas.draw()
    plt.close(drawn)


def test_the_names_of_recipes_in_the_course_of_training_are_text() -> None:
    run = paper_run("ce")
    run = run.model_copy(update={"recipe": {**run.recipe, "name": "$x$"}})
    figure = training.training_curves([run])
    assert "$x$" in texts(figure)
    plt.close(figure)


def test_plotly_shows_every_name_as_it_is() -> None:
    figure = embedding.epoch_animation({name: [embedded()] for name in NAMES[:2]})
    shown = [str(text) for trace in figure.data if trace.text is not None for text in trace.text]
    shown += [title.text for title in figure.layout.annotations]
    inner = [text.removeprefix("<b>").removesuffix("</b>") for text in shown]
    assert not [text for text in inner if "<" in text or "$" in text]
    assert {html.unescape(text) for text in inner} == set(NAMES)
    assert "<b>b" not in plotly.io.to_html(figure, include_plotlyjs=False), "nor can it end the script"
