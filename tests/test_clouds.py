"""From a clouded feature to the GCL loss (Eqs. 4 to 12): the steps between, and the figures."""

import math
from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.integrate import quad

from gclib.data import class_counts
from gclib.figures import clouds, projection, style
from gclib.losses import (
    CrossEntropyLoss,
    FocalLoss,
    GCLLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    cloud_sizes,
    clouded_logits,
    noise_on_anchors,
)

COUNTS = class_counts(5000, 10, 100)


@pytest.fixture(autouse=True)
def _one_style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use()
        yield
    plt.close("all")


def test_noise_on_a_feature_is_normal_on_each_anchor() -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(16, generator=generator, dtype=torch.float64)
    anchors = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    noise = torch.randn(40_000, 16, generator=generator, dtype=torch.float64) / 3
    moved = clouded_logits(feature, anchors, noise, 0.2) - F.linear(feature, anchors)
    expected = [
        0.2 * sum(map(math.prod, zip(noise[0].tolist(), row, strict=True))) for row in anchors.tolist()
    ]
    np.testing.assert_allclose(moved[0], expected, atol=1e-12)  # Eqs. 4 and 5
    covariance = noise_on_anchors(noise, anchors).T.cov()  # Eq. 7b
    cosines = F.cosine_similarity(anchors[:, None], anchors[None], dim=2)
    np.testing.assert_allclose(covariance, cosines / 9, atol=4 / 9 / math.sqrt(len(noise)))


def test_clouded_cosines_have_the_two_terms_of_equation_6() -> None:
    generator = torch.Generator().manual_seed(0)
    features, noise = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    anchors = 3 * torch.randn(4, 8, generator=generator, dtype=torch.float64)
    found = clouded_logits(features, anchors, noise, 0.3, scale=20)
    for f, epsilon, row in zip(features.numpy(), noise.numpy(), found, strict=True):
        for w, value in zip(anchors.numpy(), row, strict=True):
            lengths = math.sqrt(w @ w) * math.sqrt((f + 0.3 * epsilon) @ (f + 0.3 * epsilon))
            assert value == pytest.approx(20 * (w @ f / lengths + 0.3 * (w @ epsilon) / lengths))


def test_a_small_cloud_adds_the_noise_along_the_anchor_as_equation_7_says() -> None:
    generator = torch.Generator().manual_seed(0)
    features, noise = torch.randn(2, 50, 8, generator=generator, dtype=torch.float64)
    features = F.normalize(features)
    noise -= (noise * features).sum(1, keepdim=True) * features  # along f it only changes the length
    anchors = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    plain = clouded_logits(features, anchors, noise, 0.0, scale=1)
    for amplitude in (1e-2, 1e-3):
        approximate = plain + amplitude * noise_on_anchors(noise, anchors)
        error = (clouded_logits(features, anchors, noise, amplitude, scale=1) - approximate).abs().max()
        assert error < 20 * amplitude**2


@pytest.mark.parametrize("shared", [True, False])
def test_two_classes_differ_as_equation_10_says(shared: bool) -> None:
    loss = GCLLoss([40, 5], noise_scale=0.7)
    size = cloud_sizes([40, 5]).tolist()
    cosine = torch.tensor([[0.3, 0.1]], dtype=torch.float64)
    noise = torch.tensor([[0.4, 0.4 if shared else -0.2]], dtype=torch.float64)
    value = loss(cosine, torch.tensor([1]), noise).item()
    difference = (0.1 - 0.3) - 0.7 * (size[1] * abs(noise[0, 1]) - size[0] * abs(noise[0, 0])).item()
    assert -math.log(math.expm1(value)) / 30 == pytest.approx(difference)


@pytest.mark.parametrize("noise_scale", [0.5, 1.0])
@pytest.mark.parametrize("ratio", [10, 50, 100, 200])
def test_gcl_in_expectation_is_logit_adjustment(ratio: int, noise_scale: float) -> None:
    counts = class_counts(5000, 10, ratio)
    mean_noise = math.sqrt(2 / math.pi) / 3 * (1 - math.exp(-4.5)) + math.erfc(3 / math.sqrt(2))
    tau = 30 * noise_scale * mean_noise / math.log(ratio)
    generator = torch.Generator().manual_seed(0)
    cosine = 2 * torch.rand(20, 10, generator=generator, dtype=torch.float64) - 1
    target = torch.arange(20) % 10
    mean = GCLLoss(counts, noise_scale=noise_scale, noise="mean")(cosine, target)
    torch.testing.assert_close(mean, LogitAdjustedLoss(counts, tau)(30 * cosine, target))


@pytest.mark.parametrize("std", [0.02, 1 / 6])
def test_half_normal_is_the_density_of_the_cloud(std: float) -> None:
    low = -8 * std
    assert quad(lambda x: float(clouds.half_normal(x, std)), low, 0)[0] == pytest.approx(1)
    mean = quad(lambda x: x * float(clouds.half_normal(x, std)), low, 0)[0]
    assert mean == pytest.approx(-std * math.sqrt(2 / math.pi))
    draws = -np.abs(np.random.default_rng(0).normal(0, std, 100_000))
    share = quad(lambda x: float(clouds.half_normal(x, std)), low, -std)[0]
    assert np.mean(draws < -std) == pytest.approx(share, abs=0.006)
    assert clouds.half_normal([0.1, 1], std).tolist() == [0, 0]
    assert clouds.half_normal([-1, 0], 0).tolist() == [0, 0]


@pytest.mark.parametrize("of", [0, 3, 9])
@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (CrossEntropyLoss(), 8.0),
        (FocalLoss(2.0), 8.0),
        (LDAMLoss(COUNTS, scale=8), 1.0),
        (LogitAdjustedLoss(COUNTS), 8.0),
        (GCLLoss(COUNTS, scale=8), 1.0),
    ],
)
def test_logit_gradient_is_that_of_finite_differences(loss: torch.nn.Module, factor: float, of: int) -> None:
    noise = GCLLoss(COUNTS).draw((30, 10), torch.Generator().manual_seed(0)) if loss.stochastic else None
    found = clouds.logit_gradient(loss, [-0.1, 0.2], 9, of, 10, noise, factor)

    def value(cosine: torch.Tensor) -> float:
        rows = [noise[i : i + 1] for i in range(30)] if loss.stochastic else [None]
        target = torch.tensor([9])
        each = [loss(factor * cosine, target, *(() if row is None else (row,))).item() for row in rows]
        return sum(each) / len(each)

    for difference, size in zip([-0.1, 0.2], found, strict=True):
        cosine, step = torch.zeros(1, 10, dtype=torch.float64), torch.zeros(1, 10, dtype=torch.float64)
        cosine[0, 9], step[0, of] = difference, 1e-5
        slope = (value(cosine + step) - value(cosine - step)) / 2e-5
        assert size == pytest.approx(abs(slope), rel=1e-6)


def test_the_sliders_show_the_cloud_and_its_mean_gradient() -> None:
    places = {"noise scale": [0, 0.5, 1], "difference": [0, 0.2], "scale s": [10, 30]}
    figure = clouds.cloud_slider(COUNTS, places, plain=0.2)
    (buttons,) = (menu.buttons for menu in figure.layout.updatemenus)
    assert [button.label for button in buttons] == list(places)
    draws = np.abs(np.random.default_rng(0).normal(0, 1 / 3, 100_000))
    for button in buttons:
        (slider,) = button.args[1]["sliders"]
        assert [step["label"] for step in slider["steps"]] == [f"{place:g}" for place in places[button.label]]
        for step, place in zip(slider["steps"], places[button.label], strict=True):
            values = {"noise scale": 0.5, "difference": 0.2, "scale s": 30} | {button.label: place}
            kappa, plain, s = values.values()
            shown = step["args"][0]
            curve = shown["x0"][0] + shown["dx"][0] * np.arange(len(figure.data[0].y))
            np.testing.assert_allclose(figure.data[0].y, 1 / (1 + np.exp(s * curve)))
            for number, target in enumerate((0, 5, 9), start=1):
                spread = kappa * cloud_sizes(COUNTS)[target].item()
                found = shown["x0"][number] + shown["dx"][number] * np.arange(len(figure.data[number].y))
                assert found[-1] == pytest.approx(plain, abs=1e-6)
                height = np.exp(-(((found - plain) / (spread / 3 or 1)) ** 2) / 2)
                if spread:
                    np.testing.assert_allclose(figure.data[number].y, height, atol=1e-9)
                else:  # a spike
                    assert np.ptp(found) < 1e-6
                expected = np.mean(1 / (1 + np.exp(s * (plain - spread * draws))))
                assert float(shown["name"][number].split()[-1]) == pytest.approx(expected, rel=0.05)


def test_two_classes_make_two_clouds() -> None:
    assert len(clouds.cloud_slider([100, 10], {"noise scale": [0.5]}).data) == 3


def figures() -> dict[str, Figure]:
    curves = {"gcl": [1, 0.5, 0], "ce": [1, 0.2, 0]}
    return {
        "difference": clouds.difference_cloud(COUNTS, 0.5),
        "gradients": clouds.gradient_panels([0, 0.1, 0.2], {"head": curves, "tail": curves}, "gradient"),
        "picture": projection.projection_picture([1, 0.5], np.ones((9, 2)) / 3, [[1, 0], [2, 2]], 1 / 3),
        "projection": projection.projection_panels(
            {2: (0.33, 0.01), 8: (0.34, 0.01)}, 1 / 3, [0, 1], {"Eq. 7": [1, 1], "simulated": [1, 0.5]}
        ),
    }


@pytest.mark.parametrize("name", ["difference", "gradients", "picture", "projection"])
def test_axes_say_what_they_show(name: str) -> None:
    figure = figures()[name]
    assert figure.axes[0].get_ylabel()
    assert all(axes.get_xlabel() and axes.has_data() for axes in figure.axes)
    assert figure.legends or all(axes.get_legend() for axes in figure.axes)
