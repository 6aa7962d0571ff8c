"""Valid things to test with: small run records, made from a few choices."""

from typing import Any

import numpy as np

from gclib.data import CIFAR, LongTailed, Split, class_counts
from gclib.metrics import group_accuracy
from gclib.recipes import Recipe
from gclib.records import (
    Course,
    DataSummary,
    Environment,
    Outcome,
    RunRecord,
    StageRun,
    command,
    content_hash,
)
from gclib.train.plan import stage_plan

ENVIRONMENT = Environment(
    device="cpu",
    driver=None,
    torch="2.15.0",
    python="3.11.2",
    package="0.1.0",
    commit="0123456789abcdef0123456789abcdef01234567",
    threads=1,
    precision="float64",
    compiled=False,
    platform="Linux x86_64",
    cpu="a processor",
)


def make_outcome(rng: np.random.Generator, data: DataSummary, epoch: int) -> Outcome:
    """Draw predictions for a test set, and make an outcome of them."""
    test_counts = np.array(data.test_counts)
    classes = len(test_counts)
    confusion = np.array([rng.multinomial(n, rng.dirichlet(np.ones(classes))) for n in test_counts])
    right = np.diag(confusion)
    per_class = 100 * right / test_counts
    images = rng.multinomial(test_counts.sum(), np.full(15, 1 / 15))
    confidence, accuracy = rng.uniform(0, 1, (2, 15)).round(6)
    return Outcome(
        epoch=epoch,
        top1=100 * right.sum() / test_counts.sum(),
        per_class=per_class.tolist(),
        **group_accuracy(per_class, data.class_counts, "thirds" if classes <= 10 else "counts"),
        ece=np.average(np.abs(confidence - accuracy), weights=images),
        reliability={
            "confidence": confidence.tolist(),
            "accuracy": accuracy.tolist(),
            "images": images.tolist(),
        },
        confusion=confusion.tolist() if classes <= 10 else None,
    )


def make_stage(rng: np.random.Generator, data: DataSummary, name: str, start: str, epochs: int) -> StageRun:
    """Draw the course of a stage, tested every fifth epoch and every epoch of the last fifth."""
    tested = [e for e in range(1, epochs + 1) if e % 5 == 0 or e > 0.8 * epochs]
    outcomes = [make_outcome(rng, data, epoch) for epoch in tested or [0]]
    return StageRun(
        name=name,
        start=start,
        hash=content_hash([name, start, epochs]),
        course=Course(
            loss=rng.uniform(0, 3, epochs).tolist(),
            learning_rate=rng.uniform(0, 0.1, epochs).tolist(),
            train_accuracy=rng.uniform(0, 100, epochs).tolist(),
            seconds=rng.uniform(0, 60, epochs).tolist(),
            test_epochs=tested,
            test_accuracy=[outcome.top1 for outcome in outcomes if epochs],
        ),
        last=outcomes[-1],
        best=max(outcomes, key=lambda outcome: outcome.top1),
    )


def make_record(
    *,
    recipe: str = "ce",
    dataset: str = "digits",
    scale: str = "smoke",
    ratio: float | None = 20.0,
    classes: int = 10,
    test_images: int = 74,
    epochs: tuple[int, ...] = (6,),
    seed: int = 0,
    weights: str | None = None,
) -> RunRecord:
    """Make a valid record of a run with a stage for each number of `epochs`, with drawn numbers."""
    rng = np.random.default_rng([seed, *recipe.encode()])  # recipes share no training
    counts = [100] * classes if ratio is None else class_counts(100, classes, ratio).tolist()
    data = DataSummary(
        name=dataset,
        ratio=ratio,
        class_counts=counts,
        test_counts=[test_images] * classes,
        digest=content_hash(counts) * 4,
    )
    names = [f"stage-{number}" for number in ("one", "two", "three")]
    starts = [("scratch",), *[("last", "best")] * (len(epochs) - 1)]
    return RunRecord(
        recipe={
            "name": recipe,
            "scale": scale,
            "stages": [
                {"name": name, "epochs": n, "rate": 0.1} for name, n in zip(names, epochs, strict=False)
            ],
        },
        data=data,
        seed=seed,
        environment=ENVIRONMENT,
        command=command(recipe, dataset, ratio, seed, scale),
        fingerprint=[rng.uniform(0, 3, 12 if n else 0).tolist() for n in epochs],
        stages=[
            make_stage(rng, data, name, start, n)
            for name, n, begin in zip(names, epochs, starts, strict=False)
            for start in begin
        ],
        weights=weights,
    )


def paper_run(recipe: str, seed: int = 0, **choices: Any) -> RunRecord:
    """Make a record at paper scale on CIFAR-10-LT at ratio 100; GCL's recipes have a second stage."""
    epochs = (8, 4) if recipe.startswith("gcl") else (8,)
    usual = {"dataset": "cifar10", "scale": "paper", "ratio": 100.0, "epochs": epochs}
    return make_record(recipe=recipe, seed=seed, **usual | choices)


def run_of(recipe: Recipe, data: LongTailed, seed: int = 0, /, **changes: Any) -> RunRecord:
    """Make a record of a run of today's code, with drawn numbers: all in it follows from recipe, data and seed."""
    rng, seen = np.random.default_rng(seed), DataSummary.of(data)
    stages = []
    for planned in stage_plan(recipe, data, seed):
        settings = planned.settings
        stage = make_stage(rng, seen, settings.name, planned.start, settings.epochs).model_dump()
        rates = [settings.schedule.factor(epoch, settings.epochs) for epoch in range(settings.epochs)]
        stage["course"]["learning_rate"] = [settings.learning_rate * rate for rate in rates]
        stages.append(stage | {"hash": planned.hash})
    fields = {
        "recipe": recipe.model_dump(mode="json"),
        "data": seen,
        "seed": seed,
        "environment": ENVIRONMENT,
        "command": command(recipe.name, data.name, data.ratio, seed, recipe.scale, recipe.overrides),
        "fingerprint": [rng.uniform(0, 3, 12 if s.epochs else 0).tolist() for s in recipe.stages],
        "stages": stages,
    }
    return RunRecord(**fields | changes)


RECORD = make_record(
    epochs=(10, 6), seed=34, weights="ab" * 32
)  # with this seed best and last differ in every stage


def black_cifar() -> LongTailed:
    """The numbers of CIFAR-10-LT at ratio 100, with black images of one pixel."""
    counts = class_counts(5000, 10, 100)
    train, test = (np.repeat(np.arange(10), n) for n in (counts, 1000))
    splits = [Split(np.zeros((len(labels), 1, 1, 3), np.uint8), labels) for labels in (train, test)]
    return LongTailed("cifar10", 100.0, *splits, counts, tuple("0123456789"), CIFAR, "0" * 64)
