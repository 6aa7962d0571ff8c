"""Small runs to test training with: a few digits, a few epochs, seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gclib import data, recipes, records, train
from gclib.data import LongTailed, Split
from gclib.networks import ResNet, TwoTailResNet, make_network
from gclib.networks.base import Network, TwoTails
from gclib.networks.casts import Convolution
from gclib.networks.norms import NormReLU
from gclib.networks.resnet import TWO_TAILS
from gclib.train import checkpoints, making, runner, runs
from gclib.train.loop import Trainer
from gclib.train.plan import stage_plan

EPOCHS = {"epochs": 3, "stage-two.epochs": 2}


@cache
def few_digits() -> LongTailed:
    """A third of the long-tailed training digits and an eighth of the test digits, every class among them."""
    digits = data.load("digits", 20)
    train, test = (
        Split(split.images[::step], split.labels[::step])
        for split, step in ((digits.train, 3), (digits.test, 8))
    )
    counts = np.bincount(train.labels, minlength=10)
    return replace(digits, ratio=None, train=train, test=test, class_counts=counts)


def recipe(name: str = "gcl-official", **overrides: Any) -> recipes.Recipe:
    """Resolve a recipe for `few_digits` at smoke scale: three epochs of stage one, two of stage two if it trains."""
    named = recipes.get(name)
    stages = named.definition.stages(few_digits())
    fitting = {path: n for (path, n), stage in zip(EPOCHS.items(), stages, strict=False) if stage.epochs}
    return named.resolve(few_digits(), "smoke", **{**fitting, **overrides})


def no_fingerprint(recipe: recipes.Recipe) -> list[list[float]]:
    """Stand in for the fingerprint, which takes longer than such a run and is tested by itself."""
    return [[1.0] * 12 if stage.epochs else [] for stage in recipe.stages]


def fit(
    workdir: Path, name: str = "ce", seed: int = 0, resume: bool = True, **overrides: Any
) -> records.RunRecord:
    """Run a recipe on `few_digits`."""
    return train.fit(
        recipe(name, **overrides), few_digits(), seed=seed, device="cpu", workdir=workdir, resume=resume
    )


def stage_folder(workdir: Path, name: str = "ce", position: int = 0, seed: int = 0, **overrides: Any) -> Path:
    """Where a stage of such a run has its checkpoints."""
    return workdir / "stages" / stage_plan(recipe(name, **overrides), few_digits(), seed)[position].hash


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the newest checkpoint."""
    state = checkpoints.load(folder)
    assert state is not None
    return state["weights"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@contextmanager
def lean() -> Iterator[None]:
    """Train in float32, with one test and one checkpoint, after the last epoch, and no fingerprint.

    When a stage is tested and saved, what its precision is and what its fingerprint, have tests of their own.
    """
    run, evaluate, save = Trainer.run, Trainer.evaluate, checkpoints.save

    def run_and_save(trainer: Trainer, state: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
        state = run(trainer, state, folder)
        save(folder, state)
        return state

    def evaluate_at_the_end(trainer: Trainer, epoch: int) -> float | None:
        return evaluate(trainer, epoch) if epoch == trainer.settings.epochs else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "fingerprint", no_fingerprint)
        patch.setattr(runner, "choose_precision", lambda scale, device: "float32")
        patch.setattr(checkpoints, "save", lambda folder, state: None)
        patch.setattr(Trainer, "run", run_and_save)
        patch.setattr(Trainer, "evaluate", evaluate_at_the_end)
        yield


class SmallNetwork(Network):
    """Two convolutions, each with its norm, of which the second one sees the whole map of a digit."""

    num_features = 64

    def __init__(self, num_classes: int, head: str) -> None:
        super().__init__()
        block = nn.Sequential(nn.Conv2d(32, 64, 4, bias=False), NormReLU(64))
        self.embedding = nn.Sequential(Convolution(3, 32, 2), NormReLU(32), block, nn.AdaptiveAvgPool2d(1))
        self.head = self.make_head(num_classes, head)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)


class SmallTwoTailNetwork(TwoTails, SmallNetwork):
    """The same with its second convolution twice."""

    def __init__(self, num_classes: int, head: str) -> None:
        super().__init__(num_classes, head)
        self.add_tail(num_classes, head)


def small_network(name: str, num_classes: int, head: str) -> Network:
    """Two convolutions instead of ResNet-32's 31.

    What holds for a network of any size holds for this one. It learns the digits better in the same epochs, in a
    fifteenth of the time: from 335 images ResNet-32 learns so little that a broken method could hardly be worse.
    """
    network = SmallTwoTailNetwork if head.startswith(TWO_TAILS) else SmallNetwork
    return network(num_classes, head.removeprefix(TWO_TAILS))


def resnet8(name: str, num_classes: int, head: str) -> Network:
    """ResNet-8 instead of ResNet-32, or ResNet-14 where a block is there twice: of the same parts."""
    if name != "resnet32":
        return make_network(name, num_classes, head)
    if head.startswith(TWO_TAILS):
        return TwoTailResNet(2, num_classes, head.removeprefix(TWO_TAILS))
    return ResNet(1, num_classes, head)


@cache
def smoke_runs(name: str, once: Callable, **overrides: Any) -> list[records.RunRecord]:
    """Run a recipe on the digits at smoke scale with three seeds and a small network.

    All tests of a session share the first stages that are equal, whatever process they run in.
    """
    digits = data.load("digits", 20)
    recipe = recipes.get(name).resolve(digits, "smoke", **overrides)

    def run(seed: int) -> records.RunRecord:
        options: dict[str, Any] = {"seed": seed, "device": "cpu"}
        first = stage_plan(recipe, digits, seed)[0].hash
        shared = once(
            f"smoke-{first}", lambda folder: train.fit_first_stage(recipe, digits, **options, workdir=folder)
        )
        return train.fit(recipe, digits, **options, workdir=shared)

    with lean(), pytest.MonkeyPatch.context() as patch:
        for module in (making, runner):
            patch.setattr(module, "make_network", small_network)
        return [run(seed) for seed in range(3)]


def few_shot_accuracy(found: list[records.RunRecord], stage: int = -1) -> float:
    """Mean accuracy of the rarest classes after the last epoch, or after that of another stage, in percent."""
    ends = [record.clean if stage == -1 else record.stages[stage].last for record in found]
    return float(np.mean([end.few for end in ends]))


def assert_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    """Each stage's loss falls, where it has epochs to fall over, and the tail does not suffer.

    A second stage does no worse there than the first one that it starts from, a single one not 10 points worse than
    cross-entropy with the same classifier: of LDAM that is the loss without its margins. Margins take time: in a usual
    smoke run they cost the tail nearly twenty points, over ten seeds, and at 60 epochs a few.
    """
    longer = {"epochs": 60} if "ldam" in name else {}
    found = smoke_runs(name, once, **longer)
    stages = len(found[0].recipe["stages"])
    for stage in range(stages):
        courses = np.array([record.stages[stage].course.loss for record in found])
        if courses.shape[1] > 1:
            assert courses[:, -1].mean() < courses[:, 0].mean(), f"stage {stage + 1}"
    if stages > 1:
        bar = few_shot_accuracy(found, 0)
    elif "ldam" in name:
        bar = (
            few_shot_accuracy(smoke_runs("ldam", once, **longer, **{"loss.parameters.max_margin": 0.0})) - 10
        )
    else:
        bar = few_shot_accuracy(smoke_runs("ce", once)) - 10
    assert few_shot_accuracy(found) >= bar


def outcome(state: dict[str, Any]) -> dict[str, Any]:
    """Course and outcomes of a stage's state, without the seconds."""
    course = {name: values for name, values in state["course"].items() if name != "seconds"}
    return {"course": course, "last": state["last"], "best": state["best"]}


def assert_same(first: Any, second: Any, where: str) -> None:
    """Compare bit for bit, whatever is nested in whatever."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, where
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}.{index}")
    else:
        assert first == second, where
