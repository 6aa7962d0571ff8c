"""The losses that GCL is compared with, each against a second derivation."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import COUNTS, EXTREME, batch, cross_entropies

from gclib.losses import (
    CrossEntropyLoss,
    FocalLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
)


def test_ldam_margins_to_three_decimals():
    printed = [0.158, 0.180, 0.204, 0.232, 0.264, 0.300, 0.341, 0.387, 0.440, 0.500]
    np.testing.assert_allclose(LDAMLoss(COUNTS).margins, printed, atol=5.1e-4)


@pytest.mark.parametrize("counts", [COUNTS, EXTREME])
@pytest.mark.parametrize("weighted", [False, True])
def test_ldam_follows_its_formula(counts, weighted):
    weight = np.linspace(0.2, 3, len(counts)) if weighted else np.ones(len(counts))
    cosine, target, _ = batch(len(counts), size=12)
    shifted = cosine.numpy().copy()
    largest = max(n**-0.25 for n in counts)
    for i, y in enumerate(target.tolist()):
        shifted[i, y] -= 0.4 * counts[y] ** -0.25 / largest
    per_image = cross_entropies(15 * shifted, target)
    expected = np.average(per_image, weights=weight[target])
    loss = LDAMLoss(counts, max_margin=0.4, scale=15, weight=weight if weighted else None)
    assert loss(cosine, target).item() == pytest.approx(expected, rel=1e-12)


def test_ldam_with_equal_counts_has_one_margin():
    cosine, target, _ = batch(4)
    loss = LDAMLoss([12] * 4)
    assert loss.margins.tolist() == [0.5] * 4
    margin = 0.5 * F.one_hot(target, 4)
    torch.testing.assert_close(loss(cosine, target), F.cross_entropy(30 * (cosine - margin), target))


def test_ldam_takes_new_weights_in_place():
    cosine, target, _ = batch(10)
    weight = np.linspace(1, 4, 10)
    loss = LDAMLoss(COUNTS, weight=np.ones(10))
    torch.testing.assert_close(loss(cosine, target), LDAMLoss(COUNTS)(cosine, target))
    loss.weight.copy_(torch.from_numpy(weight))
    torch.testing.assert_close(loss(cosine, target), LDAMLoss(COUNTS, weight=weight)(cosine, target))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_equals_its_pairwise_form(tau):
    cosine, target, _ = batch(10)
    z = 5 * cosine.numpy()
    prior = np.array(COUNTS) / sum(COUNTS)
    values = []
    for row, y in zip(z, target.tolist(), strict=True):
        others = [(prior[k] / prior[y]) ** tau * math.exp(row[k] - row[y]) for k in range(10) if k != y]
        values.append(math.log1p(sum(others)))
    assert LogitAdjustedLoss(COUNTS, tau)(5 * cosine, target).item() == pytest.approx(
        np.mean(values), rel=1e-12
    )


def test_logit_adjustment_with_a_uniform_prior_is_cross_entropy():
    logits, target, _ = batch(10)
    expected = CrossEntropyLoss()(logits, target)
    torch.testing.assert_close(LogitAdjustedLoss([77] * 10)(logits, target), expected)
    torch.testing.assert_close(LogitAdjustedLoss(COUNTS, tau=0)(logits, target), expected)
    assert expected.item() == pytest.approx(cross_entropies(logits.numpy(), target).mean(), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_follows_its_formula(gamma):
    logits, target, _ = batch(10)
    weight = np.linspace(0.5, 2, 10)
    entropy = cross_entropies(logits.numpy(), target)
    focal = (1 - np.exp(-entropy)) ** gamma * entropy
    assert FocalLoss(gamma)(logits, target).item() == pytest.approx(focal.mean(), rel=1e-12)
    expected = (weight[target] * focal).mean()
    assert FocalLoss(gamma, weight)(logits, target).item() == pytest.approx(expected, rel=1e-12)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    logits, target, _ = batch(10)
    torch.testing.assert_close(FocalLoss(0.0)(logits, target), F.cross_entropy(logits, target))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_focal_gradient_is_finite_where_the_loss_is_0(gamma, dtype):
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    FocalLoss(gamma)(logits, torch.tensor([0, 0])).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("head", "tail"), [(0.3, 0.0), (0.4, 0.1)])
@pytest.mark.parametrize("counts", [COUNTS, EXTREME])
def test_label_aware_smoothing_is_cross_entropy_against_soft_targets(head, tail, counts):
    logits, target, _ = batch(len(counts))
    low, high = min(counts), max(counts)
    num_classes = len(counts)
    soft = torch.zeros_like(logits)
    for i, y in enumerate(target.tolist()):
        epsilon = tail + (head - tail) * math.sin(math.pi * (counts[y] - low) / (2 * (high - low)))
        soft[i] = epsilon / num_classes
        soft[i, y] += 1 - epsilon
    loss = LabelAwareSmoothingLoss(counts, head, tail)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits, soft))
    assert loss.smoothing.max().item() == pytest.approx(head)
    assert loss.smoothing.min().item() == pytest.approx(tail)


def test_label_aware_smoothing_alike_for_all_classes_is_label_smoothing():
    logits, target, _ = batch(10)
    expected = F.cross_entropy(logits, target, label_smoothing=0.2)
    torch.testing.assert_close(LabelAwareSmoothingLoss(COUNTS, 0.2, 0.2)(logits, target), expected)
    # Equal counts: nothing is a head, so the tail's smoothing holds.
    torch.testing.assert_close(LabelAwareSmoothingLoss([8] * 10, 0.4, 0.2)(logits, target), expected)
