"""Second stages of the compared methods: NCM, MisLAS and DisAlign, each derived a second way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib import data, recipes
from gclib.data.augment import normalise
from gclib.methods.stage import Batch, Stage
from gclib.train.loop import Trainer
from gclib.train.making import make_stage

pytestmark = pytest.mark.usefixtures("small_networks")

CPU = torch.device("cpu")
IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(12) % 10


def start() -> dict[str, torch.Tensor]:
    """Weights and batch-norm statistics as after some training."""
    first = make_stage(recipe("ce").stages[0], "linear", few_digits(), 0, 0, None)
    Trainer(first, few_digits(), CPU, "float64", 0).train_epoch(0)
    return {name: value.float() for name, value in first.network.state_dict().items()}


def second(name: str, **overrides: Any) -> Stage:
    resolved = recipe(name, **overrides)
    return make_stage(resolved.stages[1], resolved.head, few_digits(), 0, 1, start())


def test_ncm_is_the_nearest_mean_of_centred_unit_features() -> None:
    one = second("ce-mixup-ncm", **{"stage-two.epochs": 0}).double().eval()
    train = few_digits().train
    with torch.no_grad():
        pixels = normalise(torch.from_numpy(train.images), few_digits().augmentation, torch.float64)
        f, x = one.network.features(pixels).numpy(), one.network.features(IMAGES).numpy()
        unit = lambda v: (v - f.mean(0)) / np.linalg.norm(v - f.mean(0), axis=1, keepdims=True)  # noqa: E731
        means = np.stack([unit(f)[train.labels == c].mean(0) for c in range(10)])
        distances = np.linalg.norm(unit(x)[:, None] - means, axis=2)
        assert (one(IMAGES).numpy().argmax(1) == distances.argmin(1)).all()
        np.testing.assert_allclose(one(IMAGES).numpy(), -(distances**2), atol=1e-5)
    assert not list(one.parameter_groups())
    assert {"center", "means"} <= one.state_dict().keys(), "a checkpoint holds what it predicts with"


def test_ncm_takes_its_means_without_the_held_out_images() -> None:
    one = second("ce-mixup-ncm", **{"stage-two.epochs": 0, "stage-two.held_out": 0.3}).eval()
    seen, labels = one.seen.numpy(), few_digits().train.labels
    with torch.no_grad():
        pixels = normalise(
            torch.from_numpy(few_digits().train.images[seen]), few_digits().augmentation, torch.float32
        )
        f = one.network.features(pixels)
    unit = torch.nn.functional.normalize(f - f.mean(0)).numpy()
    means = np.stack([unit[labels[seen] == c].mean(0) for c in range(10)])
    assert len(seen) < len(labels)
    np.testing.assert_allclose(one.center.numpy(), f.mean(0).numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.means.numpy(), means, rtol=1e-4, atol=1e-6)


def test_mislas_loss_and_its_two_learning_rates() -> None:
    one = second("mislas").double()
    with torch.no_grad():
        one.scales.copy_(torch.linspace(0.5, 2, 10))
    one.eval()
    head, tail = (one.settings.loss.parameters[k] for k in ("head", "tail"))
    n = few_digits().class_counts.astype(float)
    smoothing = tail + (head - tail) * np.sin(np.pi * (n - n.min()) / (2 * (n.max() - n.min())))
    with torch.no_grad():
        f = one.network.features(IMAGES).numpy()
        w, b = (p.detach().numpy() for p in one.network.head.parameters())
        z = one.scales.numpy() * (f @ w.T + b)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    e = smoothing[TARGETS.numpy()]
    mass = e[:, None] / 10 + (1 - e)[:, None] * np.eye(10)[TARGETS.numpy()]
    loss = one.loss(Batch(IMAGES, TARGETS, None, None, None)).item()
    assert loss == pytest.approx(-(mass * log_p).sum(1).mean(), rel=1e-9)

    stage = second("mislas")
    trainer = Trainer(stage, few_digits(), CPU, "float64", 0)
    trainer.train_epoch(0)
    scales, head_rate = (group["lr"].item() for group in trainer.optimizer.param_groups)
    assert scales == pytest.approx(stage.settings.learning_rate)
    assert head_rate == pytest.approx(float(stage.settings.parameters["factor"]) * scales)
    # A resumed stage keeps both.
    trainer.evaluate(1)
    again = Trainer(second("mislas"), few_digits(), CPU, "float64", 0)
    again.restore(trainer.state(1))
    again.train_epoch(1)
    rates = [group["lr"].item() for group in again.optimizer.param_groups]
    assert rates[1] == pytest.approx(float(stage.settings.parameters["factor"]) * rates[0])


@pytest.mark.parametrize("shift", [False, True])
def test_mislas_moves_statistics_only_where_they_shift(shift: bool) -> None:
    before = start()
    stage = second("mislas", **{"stage-two.parameters.shift": shift})
    Trainer(stage, few_digits(), CPU, "float64", 0).train_epoch(0)
    moved = {
        name
        for name, value in stage.network.state_dict().items()
        if not torch.equal(value, before[name].to(value.dtype))
    }
    assert {"head.weight", "head.bias"} <= moved
    rest = {name for name in moved if not name.startswith("head.")}
    assert bool(rest) == shift
    assert all("running" in name for name in rest)


def test_mislas_takes_the_released_setting_of_the_nearest_ratio() -> None:
    for ratio, head, factor in ((100, 0.3, 0.5), (80, 0.3, 0.5), (50, 0.2, 0.2), (12, 0.1, 0.2)):
        two = recipes.get("mislas").resolve(data.load("digits", ratio)).stages[1]
        assert (two.loss.parameters, two.parameters["factor"]) == ({"head": head, "tail": 0.0}, factor)
        assert two.epochs == 10


def test_disalign_calibration_and_weights() -> None:
    one = second("disalign").double().eval()
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in one.parameter_groups():
            parameter.copy_(torch.randn(parameter.shape, generator=source, dtype=torch.float64))
        z, f = one.network(IMAGES).numpy(), one.network.features(IMAGES).numpy()
        alpha, beta, v, c = (p.numpy() for p in one.parameter_groups())
    confidence = 1 / (1 + np.exp(-(f @ v.T + c)))
    logits = z + confidence * (alpha * z + beta)
    with torch.no_grad():
        np.testing.assert_allclose(one(IMAGES).numpy(), logits, rtol=1e-9)
    rarity = few_digits().class_counts ** -1.2
    weights = rarity[TARGETS.numpy()]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(12), TARGETS.numpy()]
    expected = (weights * losses).sum() / weights.sum()
    loss = one.loss(Batch(IMAGES, TARGETS, None, None, None)).item()
    assert loss == pytest.approx(expected, rel=1e-9)
    assert one.criterion.weight.sum().item() == pytest.approx(10)


@pytest.mark.parametrize("name", ["disalign", "ce-mixup-lws"])
def test_they_leave_the_network_as_it_was(name: str) -> None:
    before, stage = start(), second(name)
    Trainer(stage, few_digits(), CPU, "float64", 0).train_epoch(0)
    for key, value in stage.network.state_dict().items():
        assert torch.equal(value, before[key].to(value.dtype)), key


def test_they_share_the_first_stage_of_what_they_start_from() -> None:
    from gclib.train.plan import stage_plan

    digits = few_digits()
    for base, names in (
        ("ce-mixup", ["ce-mixup-crt", "ce-mixup-lws", "ce-mixup-tau", "ce-mixup-ncm", "mislas"]),
        ("ce", ["disalign"]),
    ):
        first = stage_plan(recipes.get(base).resolve(digits), digits, 0)[0].hash
        for name in names:
            assert stage_plan(recipes.get(name).resolve(digits), digits, 0)[0].hash == first, name


@pytest.mark.parametrize(
    "name", ["ce-mixup-crt", "ce-mixup-lws", "ce-mixup-tau", "ce-mixup-ncm", "mislas", "disalign"]
)
def test_it_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    assert_learns_and_keeps_the_tail(name, once)
