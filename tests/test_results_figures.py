"""Figures of the results pages: the numbers they are given, for one recipe, two and many."""

from collections.abc import Callable, Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gclib.data import class_counts
from gclib.figures import results, style
from gclib.metrics import Reliability
from gclib.tables import Interval

COUNTS = class_counts(5000, 10, 100)


@pytest.fixture(autouse=True)
def _one_style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use()
        yield
    plt.close("all")


def accuracies(number: int) -> dict[str, np.ndarray]:
    return {f"recipe {place}": np.linspace(90, place, 10) for place in range(number)}


def bins() -> Reliability:
    images = np.array([0, 10, 30, 0, 60])
    return Reliability(np.array([0, 0.3, 0.5, 0, 0.9]), np.array([0, 0.2, 0.6, 0, 0.7]), images)


FIGURES: dict[str, Callable[[int], Figure]] = {
    "classes": lambda number: results.class_panels(accuracies(number), COUNTS, "recipe 0"),
    "reliability": lambda number: results.reliability_panels(dict.fromkeys(accuracies(number), bins())),
    "probabilities": lambda number: results.probability_panels(
        {name: {"EN": values, "CBEN": values / 2} for name, values in accuracies(number).items()}
    ),
}


@pytest.mark.parametrize("number", [1, 2, 4, 24])
@pytest.mark.parametrize("name", FIGURES)
def test_every_recipe_has_its_panel_on_common_axes(name: str, number: int) -> None:
    figure = FIGURES[name](number)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title().split("\n")[0] for axes in panels] == list(accuracies(number))
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in panels}) == 1
    assert figure.get_supxlabel()
    assert figure.get_supylabel()
    assert figure.get_facecolor()[3] == 0
    for axes in panels:
        assert axes.has_data()
    figure.draw_without_rendering()
    lowest = {axes.get_position().x0: axes for axes in panels}  # the last of each column
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in lowest.values())


def test_classes_show_their_accuracies_and_the_reference() -> None:
    first, second = results.class_panels(accuracies(2), COUNTS, "recipe 0").axes
    assert [bar.get_height() for bar in second.patches] == accuracies(2)["recipe 1"].tolist()
    assert [to_hex(bar.get_facecolor()) for bar in second.patches] == style.class_colours(COUNTS)
    assert not first.lines
    assert second.lines[0].get_ydata().tolist() == accuracies(2)["recipe 0"].tolist()
    assert not any(axes.lines for axes in results.class_panels(accuracies(2), COUNTS, "another").axes)
    for reference in ("recipe 0", "recipe 1"):  # whose own panel has no line, first or last
        (legend,) = results.class_panels(accuracies(2), COUNTS, reference).legends
        assert [text.get_text() for text in legend.get_texts()] == [reference]


def test_groups_lie_beside_each_other_from_many_to_few() -> None:
    groups = {
        "ce": {"many": 90.0, "medium": 70.0, "few": 50.0, "all": 72.0},
        "bbn": {"many": 80.0, "medium": 75.0, "few": None, "all": 78.0},
    }
    figure = results.group_bars(groups)
    (axes,) = figure.axes
    many, medium, few = ([bar.get_width() for bar in group] for group in axes.containers)
    assert (many, medium, few[0]) == ([90, 80], [70, 75], 50)
    assert np.isnan(few[1])
    assert [(text.get_text(), text.get_position()[1]) for text in axes.texts] == [("no such class", 1.26)]
    assert list(axes.lines[0].get_xdata()) == [72, 78]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Cross-entropy", "BBN"]
    tops = [group[0].get_y() for group in axes.containers]
    assert tops == sorted(tops)
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first recipe is on top"
    assert figure.legends


def test_a_group_without_a_hit_says_zero() -> None:
    groups = {"ce": {"many": 90.0, "medium": 70.0, "few": 0.0, "all": 60.0}}
    assert [text.get_text() for text in results.group_bars(groups).axes[0].texts] == ["0"]


def test_a_difference_stands_in_the_middle_of_its_interval() -> None:
    differences = {"ce": Interval(1.9, 1.8, 0.04), "bbn": Interval(-2.4, 2.1, 0.03), "tde": None}
    (axes,) = results.difference_plot(differences, "points").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Cross-entropy", "BBN"]
    (container,) = axes.containers
    assert list(container.lines[0].get_xdata()) == [1.9, -2.4]
    ends = [segment[:, 0].round(6).tolist() for segment in container.lines[2][0].get_segments()]
    assert ends == [[0.1, 3.7], [-4.5, -0.3]]


def test_bins_stand_where_their_confidence_is() -> None:
    (axes,) = results.reliability_panels({"ce": bins()}).axes
    bars = axes.patches
    assert [round(bar.get_x() + bar.get_width() / 2, 6) for bar in bars] == [0.3, 0.5, 0.9]
    assert [bar.get_height() for bar in bars] == [0.2, 0.6, 0.7]
    assert [bar.get_alpha() for bar in bars] == sorted(bar.get_alpha() for bar in bars)
    assert axes.get_title() == f"Cross-entropy\nECE {100 * (0.1 * 10 + 0.1 * 30 + 0.2 * 60) / 100:.1f}"
