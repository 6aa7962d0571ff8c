"""GCL's loss, its cloud sizes and softmax saturation against a second derivation: loops, SciPy, or a closed form."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from batches import COUNTS, EXTREME, batch, cross_entropies
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit

from gclib.errors import UserError
from gclib.figures.classes import class_count_bars
from gclib.figures.style import class_colours
from gclib.losses import (
    CLOUD_STRATEGIES,
    CrossEntropyLoss,
    GCLLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    cloud_sizes,
    target_gradient,
)
from gclib.metrics import groups
from gclib.sampling import class_probabilities, effective_number_weights

# ---------------------------------------------------------------------------------------------- cloud sizes

THREE_DECIMALS = {
    "cosine": [0, 0.589, 0.845, 0.943, 0.980, 0.993, 0.997, 0.999, 1, 1],
    "power-1/3": [0, 0.200, 0.369, 0.511, 0.631, 0.731, 0.817, 0.888, 0.949, 1],
    "power-1/4": [0, 0.176, 0.330, 0.466, 0.586, 0.691, 0.784, 0.865, 0.938, 1],
    "log": [0, 0.111, 0.222, 0.333, 0.445, 0.556, 0.667, 0.778, 0.890, 1],
}


@pytest.mark.parametrize("strategy", CLOUD_STRATEGIES)
def test_cloud_sizes_to_three_decimals(strategy):
    sizes = cloud_sizes(COUNTS, strategy)
    assert sizes.dtype == torch.float64
    np.testing.assert_allclose(sizes, THREE_DECIMALS[strategy], atol=5.1e-4)


@pytest.mark.parametrize("counts", [COUNTS, EXTREME, [7, 1000, 7, 31]])
def test_cloud_sizes_follow_their_formulas_class_by_class(counts):
    top = max(counts)
    formulas = {
        "log": lambda n: math.log(top / n),
        "power-1/3": lambda n: top ** (1 / 3) - n ** (1 / 3),
        "power-1/4": lambda n: math.sqrt(math.sqrt(top)) - math.sqrt(math.sqrt(n)),
        "cosine": lambda n: math.cos(math.pi / 2 * n / top),
    }
    assert set(formulas) == set(CLOUD_STRATEGIES)
    for strategy, formula in formulas.items():
        delta = [formula(n) for n in counts]
        np.testing.assert_allclose(cloud_sizes(counts, strategy), np.array(delta) / max(delta), atol=1e-13)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 10**6), min_size=1, max_size=12),
    strategy=st.sampled_from(list(CLOUD_STRATEGIES)),
    factor=st.integers(2, 50),
)
def test_cloud_sizes_lie_in_0_1_fall_with_the_count_and_ignore_its_unit(counts, strategy, factor):
    sizes = cloud_sizes(counts, strategy).numpy()
    ordered = sizes[np.argsort(counts, kind="stable")]
    assert np.all(np.diff(ordered) <= 0)
    assert sizes[np.argmax(counts)] == 0
    assert sizes[np.argmin(counts)] == (1 if min(counts) < max(counts) else 0)
    np.testing.assert_allclose(cloud_sizes(np.array(counts) * factor, strategy), sizes, atol=1e-9)


@pytest.mark.parametrize("strategy", CLOUD_STRATEGIES)
@pytest.mark.parametrize("counts", [[1], [50], [20, 20, 20], [10**6] * 4])
def test_equal_counts_have_no_cloud(strategy, counts):
    assert cloud_sizes(counts, strategy).tolist() == [0] * len(counts)


def test_class_counts_may_be_a_tensor_an_array_a_series_in_order_or_a_mapping():
    expected = cloud_sizes(COUNTS)
    labels = np.repeat(np.arange(10)[::-1], COUNTS[::-1])
    assert torch.equal(cloud_sizes(Counter(labels.tolist())), expected)
    assert torch.equal(cloud_sizes(pd.Series(labels).value_counts().sort_index()), expected)
    assert torch.equal(cloud_sizes(torch.tensor(COUNTS, dtype=torch.float64).requires_grad_()), expected)
    assert torch.equal(cloud_sizes(torch.tensor(COUNTS)), expected)
    assert torch.equal(cloud_sizes(np.array(COUNTS, dtype=np.int32)), expected)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([10, 0], "class 1 has 0 training images"),
        ([-3, 4], "class 0 has -3"),
        ([5, float("nan")], "class 1 has nan"),
        ([], "shape"),
        ([[1, 2]], "shape"),
        (["many", "few"], "not numbers"),
        ({1: 20, 2: 30}, "2 labels without label 0"),
        ({"cat": 20, "dog": 30}, "without label 0"),
        (pd.Series([1, 2, 2, 2, 0, 0]).value_counts(), "index 2, 0, 1, expected 0 to 2 in order; sort_index"),
        (
            pd.Series({"cat": 20, "dog": 30}),
            "index cat, dog, expected 0 to 1 in order; number the classes from 0",
        ),
        (pd.Series([1, 1, 0]).value_counts().sort_index(ascending=False), "index 1, 0, expected"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        cloud_sizes,
        GCLLoss,
        LDAMLoss,
        LogitAdjustedLoss,
        lambda counts: LabelAwareSmoothingLoss(counts, 0.1, 0.1),
        lambda counts: class_probabilities(counts, "class"),
        effective_number_weights,
        groups,
        class_colours,
        class_count_bars,
    ],
)
def test_impossible_counts_end_in_one_line(make, counts, words):
    with pytest.raises(UserError, match=words) as caught:
        make(counts)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------ GCL


@pytest.mark.parametrize("counts", [COUNTS, EXTREME, [30, 30, 30]])
@pytest.mark.parametrize("strategy", CLOUD_STRATEGIES)
@pytest.mark.parametrize(("margin", "gamma"), [(0.0, 0.0), (0.1, 0.0), (0.1, 1.0), (0.3, 2.0)])
def test_gcl_follows_its_formula_image_by_image_and_class_by_class(counts, strategy, margin, gamma):
    scale, kappa = 20.0, 0.5
    cosine, target, noise = batch(len(counts), size=12)
    sizes = cloud_sizes(counts, strategy).tolist()
    total = 0.0
    for i, y in enumerate(target.tolist()):
        u = []
        for j, size in enumerate(sizes):
            epsilon = min(max(noise[i, j].item(), -1), 1)
            u.append(scale * (cosine[i, j].item() - kappa * abs(epsilon) * size - margin * (j == y)))
        p = math.exp(u[y]) / sum(math.exp(v) for v in u)
        total += (1 - p) ** gamma * -math.log(p)
    loss = GCLLoss(counts, scale, margin, kappa, strategy=strategy, focal_gamma=gamma)
    assert loss(cosine, target, noise).item() == pytest.approx(total / len(target), rel=1e-10)


def test_gcl_without_noise_and_margin_is_scaled_cross_entropy():
    cosine, target, noise = batch(10)
    expected = F.cross_entropy(30 * cosine, target)
    silent = GCLLoss(COUNTS, noise_scale=0.0)
    assert not silent.stochastic
    torch.testing.assert_close(silent(cosine, target), expected)
    # Equal counts have no cloud, and without a draw there is nothing to take off.
    torch.testing.assert_close(GCLLoss([9] * 10)(cosine, target, noise), expected)
    torch.testing.assert_close(GCLLoss(COUNTS)(cosine, target, torch.zeros_like(noise)), expected)


@pytest.mark.parametrize("std", [0.05, 1 / 3, 1.0, 5.0])
def test_mean_noise_is_the_integral_of_the_clamped_half_normal(std):
    def density(x):
        return math.exp(-0.5 * (x / std) ** 2) / (std * math.sqrt(2 * math.pi))

    inside = 2 * quad(lambda x: x * density(x), 0, 1, epsabs=1e-13, points=[min(3 * std, 0.99)])[0]
    beyond = 1 - 2 * quad(density, 0, 1, epsabs=1e-13, points=[min(3 * std, 0.99)])[0]
    assert GCLLoss(COUNTS, noise_std=std).mean_noise == pytest.approx(inside + beyond, abs=1e-10)


def test_mean_noise_is_the_average_over_many_draws():
    loss, mean = GCLLoss(COUNTS), GCLLoss(COUNTS, noise="mean")
    draws = loss.draw((200_000,), torch.Generator().manual_seed(0)).double().clamp(-1, 1).abs()
    error = draws.std().item() / math.sqrt(len(draws))
    assert draws.mean().item() == pytest.approx(mean.mean_noise, abs=4 * error)
    assert mean.mean_noise == pytest.approx(0.2657, abs=5e-5)
    cosine, target, _ = batch(10)
    constant = torch.full_like(cosine, mean.mean_noise)
    torch.testing.assert_close(mean(cosine, target), loss(cosine, target, constant))
    # The rarest class's logit falls by 3.99 on average.
    assert mean.mean_noise * mean.reach.max().item() == pytest.approx(3.99, abs=5e-3)


def test_gcl_draws_what_draw_gives():
    loss = GCLLoss(COUNTS)
    assert loss.stochastic
    assert not GCLLoss(COUNTS, noise="mean").stochastic
    noise = loss.draw((8, 10), torch.Generator().manual_seed(5))
    assert (noise.dtype, noise.device.type, noise.shape) == (torch.float32, "cpu", (8, 10))
    assert torch.equal(noise, loss.draw((8, 10), torch.Generator().manual_seed(5)))
    cosine, target, _ = batch(10, dtype=torch.float32)
    torch.manual_seed(5)
    assert torch.equal(loss(cosine, target), loss(cosine, target, noise))
    assert loss(cosine, target) != loss(cosine, target)
    wide = loss.draw((100_000,), torch.Generator().manual_seed(1))
    assert wide.std().item() == pytest.approx(1 / 3, rel=0.01)
    assert wide.abs().max() > 1  # not clamped yet
    assert abs(wide.mean().item()) < 0.005  # nor folded


def test_gcl_in_evaluation_takes_the_expectation_and_draws_nothing():
    loss, (cosine, target, noise) = GCLLoss(COUNTS, margin=0.1), batch(10)
    state = torch.get_rng_state()
    value = loss.eval()(cosine, target)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(value, GCLLoss(COUNTS, margin=0.1, noise="mean")(cosine, target))
    assert torch.equal(
        loss(cosine, target, noise), loss.train()(cosine, target, noise)
    )  # noise given is noise taken
    assert loss(cosine, target) != loss(cosine, target)


def test_gcl_leaves_its_inputs_as_they_are_and_sends_no_gradient_to_the_noise():
    cosine, target, noise = batch(10)
    cosine.requires_grad_()
    noise.requires_grad_()
    before = cosine.detach().clone(), target.clone(), noise.detach().clone()
    GCLLoss(COUNTS, margin=0.1)(cosine, target, noise).backward()
    assert noise.grad is None
    for now, then in zip((cosine, target, noise), before, strict=True):
        assert torch.equal(now, then)


def test_focal_factor_of_gcl_carries_no_gradient():
    cosine, target, noise = batch(10)
    cosine.requires_grad_()
    (gradient,) = torch.autograd.grad(GCLLoss(COUNTS, focal_gamma=2)(cosine, target, noise), cosine)
    plain = GCLLoss(COUNTS)
    expected = torch.zeros_like(cosine)
    for i in range(len(target)):  # image by image, its factor a plain number
        value = plain(cosine[i : i + 1], target[i : i + 1], noise[i : i + 1])
        (slope,) = torch.autograd.grad(value, cosine)
        expected += (1 - math.exp(-value.item())) ** 2 * slope / len(target)
    torch.testing.assert_close(gradient, expected)


def test_focal_factor_of_gcl_is_a_constant_in_second_derivatives_as_well():
    cosine, target, noise = batch(3, size=1)
    cosine = (0.05 * cosine).requires_grad_()
    focal, plain = (GCLLoss([60, 9, 1], focal_gamma=gamma) for gamma in (2, 0))
    hessians = [
        torch.autograd.functional.hessian(lambda x, loss=loss: loss(x, target, noise), cosine)
        for loss in (focal, plain)
    ]
    factor = (1 - math.exp(-plain(cosine, target, noise).item())) ** 2
    torch.testing.assert_close(hessians[0], factor * hessians[1])
    assert hessians[0].abs().max() > 1e-3


# ------------------------------------------------------------------------------------- softmax saturation


def test_target_gradient_is_what_autograd_finds():
    logits, target, _ = batch(7)
    logits = (9 * logits).requires_grad_()
    slope = torch.autograd.grad(CrossEntropyLoss()(logits, target) * len(target), logits)[0]
    pull = target_gradient(logits.detach(), target)
    torch.testing.assert_close(pull, -slope[torch.arange(len(target)), target])
    # Eq. 2: what the target gains the other classes lose.
    torch.testing.assert_close(slope.sum(1), torch.zeros(len(target), dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_target_gradient_of_two_classes_falls_with_the_logit_difference_only(dtype):
    difference = np.arange(-80, 81, 5.0)
    logits = torch.stack([torch.from_numpy(difference) + 4, torch.full((len(difference),), 4.0)], 1).to(dtype)
    pull = target_gradient(logits, torch.zeros(len(difference), dtype=torch.int64)).double()
    # Eq. 3. Above 36 the subtraction 1 - p_y would give 0 even in float64.
    np.testing.assert_allclose(pull, expit(-difference), rtol=1e-5)


def test_cross_entropy_is_minus_the_logarithm_of_the_softmax():
    logits, target, _ = batch(7)
    expected = cross_entropies(9 * logits.numpy(), target.tolist()).mean()  # Eq. 1
    assert CrossEntropyLoss()(9 * logits, target).item() == pytest.approx(expected)
