"""What a run record holds, and how its fields check each other."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, JsonValue, Strict, computed_field, model_validator

from gclib.data import LongTailed, class_counts
from gclib.errors import UserError
from gclib.metrics import SMALL, Reliability, group_rule, groups
from gclib.records.fields import (
    Count,
    Digest,
    Hash,
    Losses,
    Model,
    Natural,
    Numbers,
    Percent,
    Percents,
    Seconds,
    Share,
    Shares,
    Text,
    Time,
    content_hash,
    require,
)

ROUNDING = 2e-4  # percent: the sum of two accuracies' rounding to 4 decimals, and a little


def run_identity(recipe: dict[str, JsonValue], data: "DataSummary", seed: int) -> str:
    """Return what a run is, as a hash: resolved recipe, data and seed; neither device nor precision."""
    return content_hash({"recipe": recipe, "data": data, "seed": seed})


class Environment(Model):
    """Where a run was made. `precision` is what it trained in; `driver` is None on a CPU.

    `compiled` says whether training went through `torch.compile`. `variant` is how a GPU computed the network (see
    `gclib.networks.VARIANTS`), None for torch's own operations and where a record is older than the field; of a run
    that went on from a checkpoint older than the field it begins with ``"unknown"``. `side_by_side` is how many runs at
    most went on in turns in the process, as far as its checkpoints say: the seconds of a course are those among them.
    `processes` is how many at most trained together, each a share of the parts of a batch. `decoder` is what read
    images from their files during the training, None where they were in memory. These stand in a file only where they
    say something.
    """

    device: Text
    driver: Text | None
    torch: Text
    python: Text
    package: Text
    commit: Text | None
    threads: Count
    precision: Literal["float64", "float32", "bfloat16"]
    compiled: Annotated[bool, Strict()]
    platform: Text
    cpu: Text
    variant: Text | None = Field(default=None, exclude_if=lambda value: value is None)
    side_by_side: Count = Field(default=1, exclude_if=lambda value: value == 1)
    processes: Count = Field(default=1, exclude_if=lambda value: value == 1)
    decoder: Text | None = Field(default=None, exclude_if=lambda value: value is None)


class DataSummary(Model):
    """Which images a run saw: counts per class, and the SHA-256 of the chosen positions within each class."""

    name: Text
    ratio: Annotated[float, Strict(), Field(ge=1)] | None
    class_counts: Annotated[tuple[Count, ...], Field(min_length=1)]
    test_counts: Annotated[tuple[Count, ...], Field(min_length=1)]
    digest: Digest

    @classmethod
    def of(cls, data: LongTailed) -> Self:
        """Summarise a data set."""
        return cls(
            name=data.name,
            ratio=data.ratio,
            class_counts=data.class_counts.tolist(),
            test_counts=np.bincount(data.test.labels, minlength=data.num_classes).tolist(),
            digest=data.digest,
        )

    @model_validator(mode="after")
    def _counts_follow_from_ratio(self) -> Self:
        classes = len(self.class_counts)
        require(
            len(self.test_counts) == classes, f"test_counts: expected {classes} classes as in class_counts"
        )
        if self.ratio is not None:
            try:
                expected = class_counts(self.class_counts[0], classes, self.ratio).tolist()
            except UserError as error:
                raise ValueError(f"ratio: {error}") from None
            require(
                list(self.class_counts) == expected,
                f"class_counts: expected {expected} for ratio {self.ratio}",
            )
        return self


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

    def check(self, data: DataSummary) -> None:
        """Raise ValueError where the numbers contradict each other or the data."""
        classes = len(data.test_counts)
        require(len(self.per_class) == classes, f"per_class: expected {classes} classes as in data")
        per_class, tested = np.array(self.per_class), np.array(data.test_counts)
        expected: dict[str, float | None] = {"top1": float(per_class @ tested / sum(data.test_counts))}
        for group, of in _groups(data.class_counts).items():
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
            len(bins.confidence) == len(bins.accuracy) == len(images)
            and images.sum() == sum(data.test_counts),
            "reliability: expected columns of one length whose images add up to the test set's",
        )
        ece = Reliability(np.array(bins.confidence), np.array(bins.accuracy), images).ece
        require(abs(self.ece - ece) <= 1e-5, f"ece: expected {ece:.6f} from reliability, got {self.ece}")
        if self.confusion is not None:
            lengths, sums = {len(row) for row in self.confusion}, [sum(row) for row in self.confusion]
            require(lengths == {classes}, f"confusion: expected {classes} columns")
            require(sums == list(data.test_counts), "confusion: expected rows that sum to data.test_counts")
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


class RunRecord(Model):
    """A run: what was trained, where, how the code behaved, how it went, and what came out.

    `stages` holds the first stage, and for each further stage of the recipe two runs: from the last and from
    the best checkpoint of the stage before. `fingerprint` has a list of losses for each stage of the recipe,
    `weights` is the SHA-256 of the file with the last weights of stage one (see `gclib.records.weights_path`), None in
    records that have none; `class_names` are the names of the classes, None in records that are older: then neither
    the file nor `digest` holds the field. `digest` stands in the file, behind the fields, and is checked where the file
    is read; `command` makes the run again. `schema_version`, `identity` and `created` fill themselves.
    """

    schema_version: Literal[1] = 1
    recipe: dict[str, JsonValue]
    data: DataSummary
    seed: Natural
    identity: Hash = Field(default_factory=lambda run: run_identity(run["recipe"], run["data"], run["seed"]))
    environment: Environment
    created: Time = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    command: Text
    fingerprint: tuple[Losses, ...]
    stages: Annotated[tuple[StageRun, ...], Field(min_length=1)]
    weights: Digest | None = Field(default=None, exclude_if=lambda value: value is None)
    class_names: tuple[Text, ...] | None = Field(default=None, exclude_if=lambda value: value is None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> dict[str, str]:
        """The `content_hash` of each field that stands in the file."""
        return {name: content_hash(value) for name, value in self if _held(name, value)}

    @property
    def clean(self) -> Outcome:
        """Outcome of the last epoch that follows the last epoch of every stage before."""
        return next(run.last for run in reversed(self.stages) if run.start != "best")

    @property
    def paper_style(self) -> Outcome:
        """Outcome of the best epoch on test that follows the best epoch of every stage before."""
        return next(run.best for run in reversed(self.stages) if run.start != "last")

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe["name"])

    @property
    def scale(self) -> str:
        """Scale of the recipe, which is smoke, short or paper."""
        return str(self.recipe["scale"])

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        require(
            self.identity == run_identity(self.recipe, self.data, self.seed),
            "identity: expected the hash of recipe, data and seed",
        )
        names, classes = self.class_names, len(self.data.class_counts)
        require(
            names is None or len(names) == classes, f"class_names: expected {classes}, one for each class"
        )
        for key in ("name", "scale"):
            part = self.recipe.get(key)
            plain = isinstance(part, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", part)
            require(bool(plain), f"recipe.{key}: expected a plain name, got {part!r}")
        further, odd = divmod(len(self.stages) - 1, 2)
        starts = [run.start for run in self.stages]
        require(
            not odd and starts == ["scratch", *["last", "best"] * further],
            "stages: expected one from scratch and then pairs from last and from best",
        )
        require(
            len(self.fingerprint) == further + 1,
            f"fingerprint: expected {further + 1} lists, one for each stage",
        )
        for index, run in enumerate(self.stages):
            for name in ("last", "best"):
                try:
                    getattr(run, name).check(self.data)
                except ValueError as error:
                    raise ValueError(f"stages.{index}.{name}.{error}") from None
        return self


def _held(name: str, value: object) -> bool:
    """Whether a field of a record stands in its file: a field newer than the first records does not at its default."""
    left_out = RunRecord.model_fields[name].exclude_if
    return left_out is None or not left_out(value)
