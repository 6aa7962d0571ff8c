"""What a record holds of each stage: its course epoch by epoch, and what came out of its last and its best epoch."""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from gclib.metrics import SMALL, Reliability, group_rule, groups
from gclib.records.fields import (
    Count,
    Hash,
    Model,
    Natural,
    Numbers,
    Percent,
    Percents,
    Seconds,
    Share,
    Shares,
    Text,
    require,
)

ROUNDING = 2e-4  # percent: the sum of two accuracies' rounding to 4 decimals, and a little


class Course(Model):
    """A stage epoch by epoch: columns of equal length, all empty for a post-hoc stage of zero epochs.

    `train_accuracy` and `test_accuracy` are in percent, `seconds` per epoch, `test_epochs` counted from 1.
    """

    loss: Numbers
    learning_rate: Numbers
    train_accuracy: Percents
    seconds: Seconds
    test_epochs: tuple[Count, ...]
    test_accuracy: Percents

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        epochs = len(self.loss)
        for name in ("learning_rate", "train_accuracy", "seconds"):
            require(len(getattr(self, name)) == epochs, f"{name}: expected {epochs} epochs as in loss")
        tested = self.test_epochs
        require(
            len(self.test_accuracy) == len(tested), f"test_accuracy: expected {len(tested)} as in test_epochs"
        )
        require(list(tested) == sorted(set(tested)), "test_epochs: expected rising epochs")
        require(
            tested[-1:] == ((epochs,) if epochs else ()), f"test_epochs: expected to end with epoch {epochs}"
        )
        return self

    @property
    def untimed(self) -> Self:
        """The course without its times; where it is equal, one device said the same thing again."""
        return self.model_copy(update={"seconds": ()})


class Bins(Model):
    """Confidence (0..1), accuracy (0..1) and images in bins of equal width, as `gclib.metrics.reliability` has them."""

    confidence: Shares
    accuracy: Shares
    images: tuple[Natural, ...]


class Outcome(Model):
    """What one checkpoint reaches on the test set.

    As `gclib.metrics.outcome` gives it: accuracies in percent, `ece` in 0..1, `many`, `medium` and `few` None
    where they have no class, `confusion` None above 10 classes. `epoch` counts from 1; 0 is a post-hoc stage.
    """

    epoch: Natural
    top1: Percent
    per_class: Annotated[Percents, Field(min_length=1)]
    many: Percent | None
    medium: Percent | None
    few: Percent | None
    ece: Share
    reliability: Bins
    confusion: tuple[tuple[Natural, ...], ...] | None

    def check(self, class_counts: tuple[int, ...], test_counts: tuple[int, ...]) -> None:
        """Raise ValueError where the numbers contradict each other, or the images of each class."""
        classes = len(test_counts)
        require(len(self.per_class) == classes, f"per_class: expected {classes} classes as in data")
        per_class, tested = np.array(self.per_class), np.array(test_counts)
        expected: dict[str, float | None] = {"top1": float(per_class @ tested / sum(test_counts))}
        for group, of in _groups(class_counts).items():
            expected[group] = float(per_class[of].sum() / len(of)) if len(of) else None
        for name, mean in expected.items():
            given = getattr(self, name)
            same = given == mean if given is None or mean is None else abs(given - mean) <= ROUNDING
            require(same, f"{name}: expected {mean} as the mean of per_class, got {given}")
        require(
            (self.confusion is None) == (classes > SMALL),
            f"confusion: expected a matrix up to {SMALL} classes and null above",
        )
        bins, images = self.reliability, np.array(self.reliability.images)
        require(
            len(bins.confidence) == len(bins.accuracy) == len(images) and images.sum() == sum(test_counts),
            "reliability: expected columns of one length whose images add up to the test set's",
        )
        ece = Reliability(np.array(bins.confidence), np.array(bins.accuracy), images).ece
        require(abs(self.ece - ece) <= 1e-5, f"ece: expected {ece:.6f} from reliability, got {self.ece}")
        if self.confusion is not None:
            lengths, sums = {len(row) for row in self.confusion}, [sum(row) for row in self.confusion]
            require(lengths == {classes}, f"confusion: expected {classes} columns")
            require(sums == list(test_counts), "confusion: expected rows that sum to data.test_counts")
            recall = 100 * np.diag(np.array(self.confusion)) / tested
            agrees = np.abs(recall - per_class).max() <= ROUNDING
            require(bool(agrees), "confusion: contradicts per_class")


@lru_cache(maxsize=64)  # the same for many outcomes
def _groups(class_counts: tuple[int, ...]) -> dict[str, np.ndarray]:
    return groups(class_counts, group_rule(len(class_counts)))


class Choice(Model):
    """A parameter that a stage chose on held-out training images: the candidates, and the accuracy (%) of each."""

    candidates: Annotated[Numbers, Field(min_length=1)]
    accuracy: Percents

    @property
    def chosen(self) -> float:
        """The candidate of the best accuracy, the first of equals."""
        return self.candidates[self.accuracy.index(max(self.accuracy))]

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        require(len(self.accuracy) == len(self.candidates), "accuracy: expected one for each of candidates")
        return self


class StageRun(Model):
    """One stage of a run: from which checkpoint of the stage before it started, its course and two outcomes.

    `last` is the end of the course, `best` its best epoch on the test set (the earliest among equals). `hash`
    is the content hash of the chain of stages up to this one. `choice` is None, and not in the file, where the stage
    chose nothing.
    """

    name: Text
    start: Literal["scratch", "last", "best"]
    hash: Hash
    course: Course
    last: Outcome
    best: Outcome
    choice: Choice | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _outcomes_follow_from_course(self) -> Self:
        if not self.course.test_epochs:
            require(self.last.epoch == 0, "last.epoch: expected 0, for the stage has no epochs")
            require(self.best == self.last, "best: expected to equal last, for the stage has no epochs")
            return self
        accuracy = self.course.test_accuracy
        for name, at in (("last", len(accuracy) - 1), ("best", accuracy.index(max(accuracy)))):
            outcome, epoch = getattr(self, name), self.course.test_epochs[at]
            require(
                outcome.epoch == epoch, f"{name}.epoch: expected {epoch} from the course, got {outcome.epoch}"
            )
            require(
                abs(outcome.top1 - accuracy[at]) <= ROUNDING,
                f"{name}.top1: expected {accuracy[at]} from the course, got {outcome.top1}",
            )
        return self
