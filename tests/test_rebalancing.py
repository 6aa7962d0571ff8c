"""Classifier re-balancing: what each way leaves as it was, and the figures of its chapter."""

from collections.abc import Iterator
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gclib.data import LongTailed, class_counts
from gclib.data.augment import normalise
from gclib.figures import rebalancing
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.methods.stages.rebalance import LearnableWeightScaling, RetrainClassifier, TauNormalisation
from gclib.networks import ResNet
from gclib.sampling import class_probabilities
from gclib.train.resident import Resident

IMAGES = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(autouse=True)
def _no_open_figures() -> Iterator[None]:
    yield
    plt.close("all")


def stage(
    digits: LongTailed, method: type[Stage], head: str, held_out: float = 0.0, **parameters: float | bool
) -> Any:
    torch.manual_seed(0)
    network = ResNet(1, digits.num_classes, head)
    with torch.no_grad():  # as after training: rare classes have short anchors
        network.head.weight.mul_(torch.linspace(2, 0.5, digits.num_classes)[:, None])
    settings = StageSettings(
        name="stage-two", method=method.__name__, epochs=0, parameters=parameters, held_out=held_out
    )
    return method(settings, network, digits).double().eval()


@torch.no_grad()
def test_tau_1_leaves_the_predictions_of_a_cosine_classifier(digits: LongTailed) -> None:
    normalised = stage(digits, TauNormalisation, "cosine", tau=1.0)
    cosines = normalised.network(IMAGES)
    length = normalised.network.features(IMAGES).norm(dim=1, keepdim=True)
    torch.testing.assert_close(normalised(IMAGES), length * cosines)
    half = stage(digits, TauNormalisation, "cosine", tau=0.5)
    by_norm = torch.linspace(2, 0.5, digits.num_classes, dtype=torch.float64).sqrt()
    torch.testing.assert_close(half(IMAGES), length * by_norm * cosines, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_tau_is_the_best_on_images_that_stage_one_does_not_see(digits: LongTailed, head: str) -> None:
    chosen = stage(digits, TauNormalisation, head, held_out=0.2)
    marked = digits.held_out(0.2)
    # A classifier that tells something: the mean features of the classes, head anchors the longest.
    every = normalise(torch.from_numpy(digits.train.images), digits.augmentation, torch.float64)
    with torch.no_grad():
        features = chosen.embed(every) - chosen.embed(every).mean(0)
        means = torch.stack([features[digits.train.labels == label].mean(0) for label in range(10)])
        anchors = means / means.norm(dim=1, keepdim=True) * torch.linspace(2, 0.5, 10)[:, None]
        chosen.network.head.weight.copy_(anchors)
    chosen.measure(Resident(digits.train, digits.augmentation, torch.device("cpu"), torch.float64))
    assert np.bincount(digits.train.labels[marked]).tolist() == [int(0.2 * n) for n in digits.class_counts]
    images = normalise(torch.from_numpy(digits.train.images[marked]), digits.augmentation, torch.float64)
    labels = digits.train.labels[marked]
    curve = []
    for tau in np.arange(21) / 10:
        with torch.no_grad():
            fixed = stage(digits, TauNormalisation, head, tau=tau)
            fixed.network.head.weight.copy_(anchors)
            right = fixed(images).argmax(1).numpy() == labels
        curve.append(100 * np.mean([right[labels == label].mean() for label in np.unique(labels)]))
    assert len(set(curve)) > 1
    np.testing.assert_allclose(chosen.choice[1].numpy(), curve, atol=1e-4)
    assert chosen.tau.item() == pytest.approx(np.argmax(curve) / 10)
    trains = stage(digits, Stage, head, held_out=0.2)
    seen = trains.draw(torch.Generator().manual_seed(0)).indices
    assert sorted(seen.tolist()) == np.flatnonzero(~marked).tolist()


@torch.no_grad()
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_weight_scaling_without_bias_contains_tau_normalisation(digits: LongTailed, tau: float) -> None:
    scaled, normalised = (
        stage(digits, LearnableWeightScaling, "linear"),
        stage(digits, TauNormalisation, "linear", tau=tau),
    )
    scaled.network.head.bias.zero_()
    scaled.scales.copy_(scaled.network.head.weight.norm(dim=1) ** -tau)
    torch.testing.assert_close(scaled(IMAGES), normalised(IMAGES))


@pytest.mark.parametrize(
    ("method", "trained"),
    [(RetrainClassifier, {"network.head.weight", "network.head.bias"}), (LearnableWeightScaling, {"scales"})],
)
def test_a_step_changes_what_the_method_trains_and_nothing_else(
    digits: LongTailed, method: type[Stage], trained: set
) -> None:
    two = stage(digits, method, "linear").train()
    before = {name: value.clone() for name, value in two.state_dict().items()}
    torch.nn.functional.cross_entropy(two.logits(IMAGES), torch.arange(20) % 10).backward()
    torch.optim.SGD(two.parameter_groups(), lr=0.1).step()
    after = two.state_dict()
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} == trained


def test_the_volume_slider_shows_the_probabilities_of_its_place() -> None:
    counts, volumes = [1000, 100, 10], [1, 100, 10_000]
    figure = rebalancing.volume_slider(counts, volumes, spread=10)
    assert [line.name for line in figure.data] == ["IB", "CB", "EN", "CBEN"]
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["1", "100", "10,000"]
    for step, volume in zip(slider.steps, volumes, strict=True):
        shown = step.args[0]["y"]
        np.testing.assert_allclose(shown[0], np.array(counts) / 1110)
        np.testing.assert_allclose(shown[1], 1 / 3)
        expected = class_probabilities(counts, "effective", beta=1 - 1 / volume)
        np.testing.assert_allclose(shown[2], expected)
        expected = class_probabilities(counts, "cben", a=1 - 1 / volume, b=0.9 / volume)
        np.testing.assert_allclose(shown[3], expected)
    at_first = [list(line.y) for line in figure.data]
    np.testing.assert_allclose(at_first, slider.steps[slider.active].args[0]["y"])


def test_the_ratio_slider_shows_probabilities_and_repeats() -> None:
    figure = rebalancing.ratio_slider(5000, 10, [10, 100, 1000], a=0.9999, b=1e-5, start=120)
    (slider,) = figure.layout.sliders
    assert slider.active == 1
    assert [step.label for step in slider.steps] == ["10", "100", "1000"]
    for step, ratio in zip(slider.steps, (10, 100, 1000), strict=True):
        counts = class_counts(5000, 10, ratio)
        above, below = np.array(step.args[0]["y"][:4]), np.array(step.args[0]["y"][4:])
        np.testing.assert_allclose(above.sum(1), 1)
        np.testing.assert_allclose(below @ counts, counts.sum())  # an epoch has as many draws as images
        np.testing.assert_allclose(below[0], 1)  # IB
        assert below[1, -1] / below[1, 0] == pytest.approx(counts[0] / counts[-1])  # CB
        for axis, values in ((figure.layout.yaxis, above), (figure.layout.yaxis2, below)):
            assert axis.range[0] < np.log10(values.min()) < np.log10(values.max()) < axis.range[1]


def test_anchor_lines_show_norms_by_their_mean_and_angles() -> None:
    figure = rebalancing.anchor_lines({"stage one": [3.0, 2, 1], "cRT": [1.0, 1, 1]}, {"cRT": [10.0, 20, 30]})
    left, right = figure.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[1.5, 1.0, 0.5], [1.0, 1.0, 1.0]]
    assert [line.get_ydata().tolist() for line in right.lines] == [[10.0, 20.0, 30.0]]
    assert right.lines[0].get_color() == left.lines[1].get_color()
    assert all([left.get_ylabel(), right.get_ylabel(), left.get_xlabel(), right.get_xlabel()])
    assert figure.legends
