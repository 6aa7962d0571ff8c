"""Logit adjustment as a loss and post hoc, as stages and recipes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib import recipes
from gclib.methods.stage import Batch
from gclib.train.making import make_stage

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_loss_in_its_pairwise_form() -> None:
    """Menon et al.: log(1 + sum over k != y of (pi_k / pi_y) ** tau * exp(z_k - z_y)); the test logits are plain."""
    for tau in (1.0, 0.5):
        resolved = recipe("logit-adjustment", **{"loss.parameters.tau": tau})
        one = make_stage(resolved.stages[0], "linear", few_digits(), 0, 0, None).double().eval()
        targets = torch.arange(12) % 10
        with torch.no_grad():
            z = one.network(IMAGES).numpy()
            assert torch.equal(one(IMAGES), one.network(IMAGES))
        n = few_digits().class_counts.astype(float)
        terms = [
            np.log1p(sum((n[k] / n[y]) ** tau * np.exp(row[k] - row[y]) for k in range(10) if k != y))
            for row, y in zip(z, targets.numpy(), strict=True)
        ]
        loss = one.loss(Batch(IMAGES, targets, None, None, None)).item()
        assert loss == pytest.approx(np.mean(terms), rel=1e-9)


def test_post_hoc_divides_the_posterior_by_the_prior() -> None:
    resolved = recipe("logit-adjustment-post-hoc")
    one = make_stage(resolved.stages[1], "linear", few_digits(), 0, 1, None).double().eval()
    with torch.no_grad():
        posterior = one.network(IMAGES).softmax(1).numpy() / few_digits().class_counts
        adjusted = one(IMAGES).softmax(1).numpy()
    np.testing.assert_allclose(adjusted, posterior / posterior.sum(1, keepdims=True), rtol=1e-9)
    assert not list(one.parameter_groups())


def test_the_recipes_take_the_settings_of_appendix_d() -> None:
    for name in ("logit-adjustment", "logit-adjustment-post-hoc"):
        first, *rest = recipes.get(name).resolve(few_digits()).stages
        assert (first.epochs, first.weight_decay, first.schedule.factors) == (200, 1e-4, (0.1, 0.01))
        assert [stage.epochs for stage in rest] == ([0] if "post-hoc" in name else [])


@pytest.mark.parametrize("name", ["logit-adjustment", "logit-adjustment-post-hoc"])
def test_it_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    assert_learns_and_keeps_the_tail(name, once)
