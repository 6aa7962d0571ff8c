"""Decision regions in the plane: borders in closed form against the largest cosine, and what the sliders hold."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gclib.data import class_counts
from gclib.errors import UserError
from gclib.figures import regions
from gclib.losses import GCLLoss, cloud_sizes

COUNTS = class_counts(5000, 10, 100)[[0, 5, 9]]


@pytest.mark.parametrize(
    ("anchors", "reductions"),
    [
        ([90, 210, 330], [0, 0.1, 0.2]),
        ([10, 100, 170, 290], [0.1, 0, 0.2, 0.05]),
        ([-30, 40, 120, 200, 280], [0, 0, 0.1, 0.2, 0.3]),
    ],
)
def test_borders_are_where_the_largest_lowered_cosine_changes(anchors: list, reductions: list) -> None:
    feature = np.arange(-180, 180, 0.01)
    cosines = np.cos(np.radians(feature[:, None] - np.array(anchors))) - reductions
    winner = cosines.argmax(1)
    changes = feature[1:][winner[1:] != winner[:-1]]
    found = np.sort((regions.borders(anchors, reductions) + 180) % 360 - 180)
    np.testing.assert_allclose(found, changes, atol=0.02)


@pytest.mark.parametrize("reductions", [[0, 0, 2], [0, 1.6, 0]])
def test_a_class_without_a_region_is_refused(reductions: list) -> None:
    with pytest.raises(UserError, match="no region"):
        regions.borders([90, 210, 330], reductions)


def test_the_sliders_hold_what_they_say() -> None:
    figure = regions.region_slider(COUNTS, [0, 0.5, 1])
    assert figure.layout.sliders[0].currentvalue.prefix == "κ = "
    (buttons,) = (menu.buttons for menu in figure.layout.updatemenus)
    shown = [[step["args"][0] for step in button.args[1]["sliders"][0]["steps"]] for button in buttons]
    for held, places in zip(("anchors", "ring"), shown, strict=True):
        rings, discs = (
            np.array([np.ravel(place["width"][part]) for place in places])
            for part in (slice(0, 3), slice(3, 6))
        )
        np.testing.assert_allclose(rings.sum(1), 360)
        np.testing.assert_allclose(discs.sum(1), 360)
        np.testing.assert_allclose([rings[0], discs[0]], 120)  # no cloud
        still, moving = (discs, rings) if held == "anchors" else (rings, discs)
        np.testing.assert_allclose(still, 120)
        tail = moving[:, 2]
        assert all(np.diff(tail) < 0) if held == "anchors" else all(np.diff(tail) > 0)
        for kappa, place, disc in zip((0, 0.5, 1), places, discs, strict=True):
            anchors = np.array([theta[0] for theta in place["theta"][6:]])
            lowered = kappa * GCLLoss(COUNTS).mean_noise * cloud_sizes(COUNTS).numpy()
            middle = np.array([theta[0] for theta in place["theta"][3:6]])
            tie = np.radians(middle[0] + disc[0] / 2)  # at test, of the first two classes
            assert np.cos(tie - np.radians(anchors[0])) == pytest.approx(np.cos(tie - np.radians(anchors[1])))
            middle, ring = place["theta"][0][0], place["width"][0][0]
            tie = np.radians(middle + ring / 2)  # in training
            first, second = np.cos(tie - np.radians(anchors[:2])) - lowered[:2]
            assert first == pytest.approx(second)


def test_the_still_twin_shows_both_sliders() -> None:
    figure = regions.region_panels(COUNTS, 0.5)
    assert [axes.get_title() for axes in figure.axes] == ["anchors held", "ring held"]
    widths = np.degrees([[bar.get_width() for bar in axes.patches] for axes in figure.axes])
    np.testing.assert_allclose(widths[0, 3:], 120)
    np.testing.assert_allclose(widths[1, :3], 120)
    assert widths[0, 2] < 120 < widths[1, 5]
    plt.close(figure)
