"""LDAM, deferred re-weighting, class-balanced and focal loss, as stages and recipes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib import recipes
from gclib.errors import UserError
from gclib.methods.stage import Batch, Stage
from gclib.train.making import make_stage


def stage(name: str, **overrides: object) -> Stage:
    resolved = recipe(name, epochs=10, **overrides)
    return make_stage(resolved.stages[0], resolved.head, few_digits(), 0, 0, None).double()


def batch() -> Batch:
    source = torch.Generator().manual_seed(0)
    images = torch.randn(12, 3, 8, 8, generator=source, dtype=torch.float64)
    return Batch(images, torch.arange(12) % 10, None, None, None)


def by_hand(name: str, one: Stage, weighted: bool) -> float:
    """The loss from its formula, image by image, in NumPy."""
    counts, targets = few_digits().class_counts.astype(float), np.arange(12) % 10
    with torch.no_grad():
        logits = one.network(batch().images).numpy()
    if name.startswith("ldam"):
        margins = counts**-0.25 / (counts**-0.25).max() * 0.5
        logits = 30 * (logits - margins * np.eye(10)[targets])
    p = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[np.arange(12), targets]
    losses = -np.log(p) * (1 - p if "focal" in name else 1)
    effective = (1 - 0.9999**counts) / (1 - 0.9999)
    weights = (1 / effective / (1 / effective).sum() * 10 if weighted else np.ones(10))[targets]
    # The focal loss divides by the batch size, the others by the sum of the weights.
    return (weights * losses).sum() / (len(targets) if "focal" in name else weights.sum())


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("ldam", 10),
        ("ldam-drw", 8),
        ("ce-drw", 8),
        ("class-balanced-ce", 0),
        ("focal", 10),
        ("class-balanced-focal", 0),
    ],
)
def test_the_loss_before_and_after_the_weights_set_in(name: str, start: int) -> None:
    one = stage(name)
    for epoch in range(10):
        one.begin_epoch(epoch)
        one.eval()
        expected = by_hand(name, one, epoch >= start)
        assert one.loss(batch()).item() == pytest.approx(expected, rel=1e-9), epoch
    if 0 < start < 10:
        assert by_hand(name, one, True) != pytest.approx(by_hand(name, one, False), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("ce-drw", {"loss.name": "gcl"}), ("class-balanced-ce", {"loss.name": "logit-adjusted"})]
    + [("disalign", {"stage-two.loss.name": loss}) for loss in ("gcl", "label-aware-smoothing")],
)
def test_a_loss_that_would_ignore_the_weights_is_refused(name: str, changes: dict[str, str]) -> None:
    with pytest.raises(UserError, match="which takes no class weights; expected one that does"):
        recipes.get(name).resolve(few_digits(), "smoke", **changes)


def test_the_weights_follow_beta_and_sum_to_the_number_of_classes() -> None:
    def weights(beta: float) -> torch.Tensor:
        one = stage("ldam-drw", **{"parameters.beta": beta})
        one.begin_epoch(9)
        return one.criterion.weight

    for beta in (0.9, 0.9999):
        assert weights(beta).sum().item() == pytest.approx(10)
        n = few_digits().class_counts.astype(float)
        ratio = (1 - beta ** n[0]) / (1 - beta ** n[-1])
        assert (weights(beta)[-1] / weights(beta)[0]).item() == pytest.approx(ratio)
    assert not stage("ldam-drw").state_dict().keys() & {"criterion.weight", "class_weights"}


def test_the_recipes_take_the_settings_of_the_ldam_code() -> None:
    for name in ("ldam", "ldam-drw", "ce-drw", "class-balanced-ce", "focal", "class-balanced-focal"):
        resolved = recipes.get(name).resolve(few_digits())
        (settings,) = resolved.stages
        assert (settings.epochs, settings.weight_decay, settings.mixup) == (200, 2e-4, 0)
        assert settings.schedule == recipes.get("ce").resolve(few_digits()).stages[0].schedule
        assert resolved.head == ("cosine" if "ldam" in name else "linear")


@pytest.mark.parametrize(
    "name", ["ldam", "ldam-drw", "ce-drw", "class-balanced-ce", "focal", "class-balanced-focal"]
)
def test_it_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    assert_learns_and_keeps_the_tail(name, once)
