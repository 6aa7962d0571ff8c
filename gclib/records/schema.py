"""What a run record holds, and how its fields check each other."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, JsonValue, Strict, computed_field, model_validator

from gclib.data import LongTailed, class_counts
from gclib.errors import UserError
from gclib.records.fields import (
    Count,
    Digest,
    Hash,
    Losses,
    Model,
    Natural,
    Text,
    Time,
    content_hash,
    require,
)
from gclib.records.stages import Outcome, StageRun


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
                    getattr(run, name).check(self.data.class_counts, self.data.test_counts)
                except ValueError as error:
                    raise ValueError(f"stages.{index}.{name}.{error}") from None
        return self


def _held(name: str, value: object) -> bool:
    """Whether a field of a record stands in its file: a field newer than the first records does not at its default."""
    left_out = RunRecord.model_fields[name].exclude_if
    return left_out is None or not left_out(value)
