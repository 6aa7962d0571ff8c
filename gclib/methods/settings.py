"""What a recipe says: settings of each stage, where each value comes from, and its twin in the unified protocol."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gclib.data import LongTailed
from gclib.errors import UserError, nearest, require_one_of

__all__ = [
    "CODE",
    "OURS",
    "PAPER",
    "Definition",
    "LossSettings",
    "SamplerSettings",
    "Schedule",
    "StageSettings",
    "require_in_range",
    "require_same_kind",
]

# Where a value comes from: the method's own paper, its released code, or neither.
PAPER, CODE, OURS = "paper", "official code", "chosen here"


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


def _of_some_size(parameters: dict) -> dict:
    for name, value in parameters.items():
        if isinstance(value, float) and not abs(value) <= 1e6:
            raise ValueError(f"{name}: expected a number in [-1e6, 1e6]")
    return parameters


# Ranges are wide: they refuse what is no such thing, or would fill a disk or a memory, not what is unwise.
Epochs = Annotated[int, BeforeValidator(_no_switch), Field(ge=0, le=100_000)]
BatchSize = Annotated[int, BeforeValidator(_no_switch), Field(ge=1, le=65_536)]
Share = Annotated[float, BeforeValidator(_no_switch), Field(ge=0, le=1)]
Momentum = Annotated[float, BeforeValidator(_no_switch), Field(ge=0, lt=1)]
Size = Annotated[float, BeforeValidator(_no_switch), Field(ge=0, le=1e6)]
Rate = Annotated[float, BeforeValidator(_no_switch), Field(gt=0, le=1e6)]
Number = Annotated[float, BeforeValidator(_no_switch)]


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LossSettings(Settings):
    """Which loss, and its parameters."""

    name: str
    parameters: Annotated[dict[str, Number | str], AfterValidator(_of_some_size)] = {}


class SamplerSettings(Settings):
    """Which sampler (`gclib.sampling.class_probabilities`), and its parameters."""

    strategy: str = "instance"
    parameters: Annotated[dict[str, Number], AfterValidator(_of_some_size)] = {}


class Schedule(Settings):
    """Learning rate over a stage, as a factor of the base rate.

    ``"steps"``: linear warm-up from 1/w in the first of its w epochs to 1 in the last, then `factors` from the
    `milestones` on (fractions of the epochs, so that a short run keeps the shape). ``"steps-from-third"``: the same,
    but the warm-up starts at 1/3 and ends with 1 in the first epoch behind it (Zhou et al., CVPR 2020). ``"cosine"``:
    half a cosine from 1 to 0 (Zhong et al., CVPR 2021).
    """

    kind: Literal["steps", "steps-from-third", "cosine"] = "steps"
    warmup: Share = 0.025
    milestones: tuple[Share, ...] = (0.8, 0.9)
    factors: tuple[Size, ...] = (0.01, 0.0001)

    @model_validator(mode="after")
    def _a_factor_for_each_milestone(self) -> Self:
        if len(self.milestones) != len(self.factors):
            raise ValueError("expected as many milestones as factors")
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError("expected milestones in rising order")
        return self

    def factor(self, epoch: int, epochs: int) -> float:
        """Factor >= 0 for the 0-based `epoch` of `epochs`."""
        if self.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        warmup = math.ceil(self.warmup * epochs)
        if epoch < warmup:
            return (1 + 2 * epoch / warmup) / 3 if self.kind == "steps-from-third" else (epoch + 1) / warmup
        reached = [
            f for m, f in zip(self.milestones, self.factors, strict=True) if epoch >= round(m * epochs)
        ]
        return reached[-1] if reached else 1.0


class StageSettings(Settings):
    """Everything that a stage needs to be run again.

    `test_every` is how many epochs lie between two tests in the first four fifths of a stage; None is 5 in a first
    stage and 1 in a later one, whose tests are cheap. After that each epoch is tested.

    `held_out` is the share of each class's training images that the stage does not train on; see
    `gclib.data.held_out`. A post-hoc stage chooses its parameter on them.

    `trains` is what learns of what the method trains: ``"all"``, the ``"last-block"`` of the embedding and the
    classifier, or the ``"head"``, which is the classifier; what does not learn keeps its batch-norm statistics too.
    Without `augment` images are taken as they are; where the embedding does not learn either, its features are then
    computed once.

    `parts` is into how many parts each batch is cut: a part is one batch-norm batch and one mixup group. Processes that
    train together take whole parts, so what comes out does not depend on their number.
    """

    name: str
    method: str
    epochs: Epochs
    batch_size: BatchSize = 128
    learning_rate: Rate = 0.1
    momentum: Momentum = 0.9
    weight_decay: Size = 2e-4
    nesterov: bool = False
    schedule: Schedule = Schedule()
    loss: LossSettings = LossSettings(name="cross-entropy")
    sampler: SamplerSettings = SamplerSettings()
    mixup: Size = 0.0
    parameters: Annotated[dict[str, float | str | bool], AfterValidator(_of_some_size)] = {}
    test_every: Annotated[int, BeforeValidator(_no_switch), Field(ge=1, le=100_000)] | None = None
    held_out: Annotated[float, BeforeValidator(_no_switch), Field(ge=0, le=0.5)] = 0.0
    trains: Literal["all", "last-block", "head"] = "all"
    augment: bool = True
    parts: BatchSize = 1

    def bounds(self, images: int) -> list[tuple[int, int]]:
        """Start and stop of the parts of a batch of so many images; fewer parts where there are fewer images."""
        edges = [images * k // self.parts for k in range(self.parts + 1)]
        return [(start, stop) for start, stop in pairwise(edges) if start < stop]

    def tested(self, epoch: int, first: bool) -> bool:
        """Whether the stage is tested after an epoch, counted from 1; `first` says whether it is a recipe's first."""
        every = self.test_every or (5 if first else 1)
        # Each epoch of the last fifth, where published numbers are picked, and before it now and then.
        return epoch % every == 0 or epoch - 1 >= 0.8 * self.epochs or epoch == self.epochs

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Not there where they say nothing: the identities of runs are older than these fields.
        silent = {"test_every": None, "held_out": 0.0, "trains": "all", "augment": True, "parts": 1}
        return {k: v for k, v in plain(self).items() if k not in silent or v != silent[k]}

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0; expected one, or nesterov false")
        return self

    @model_validator(mode="after")
    def _a_part_has_an_image(self) -> Self:
        if self.parts > self.batch_size:
            raise ValueError(
                f"{self.parts} parts of a batch of {self.batch_size}; expected at most one for each image"
            )
        return self

    @model_validator(mode="after")
    def _images_as_they_are_are_not_mixed(self) -> Self:
        if self.mixup and not self.augment:
            raise ValueError(f"mixup {self.mixup:g} without augment; expected augment true, or mixup 0")
        return self


@dataclass(frozen=True)
class Definition:
    """A named recipe before it is resolved for a data set and a scale.

    Attributes
    ----------
    summary
        One sentence.
    head
        Classifier, and whether the network has two tails; see `gclib.networks.make_network`.
    stages
        Settings of each stage for a data set, at paper scale.
    reference
        Whose method and settings these are.
    sources
        Where the values come from: `PAPER`, `CODE` or `OURS` by dotted setting (``"stage-two.mixup"``) or by what it
        begins with; the longest wins, ``""`` is all others.
    unified
        Name of the same method in the unified protocol (`gclib.recipes.UNIFIED`); empty for none.
    label
        What tables and figures call it, the method first; empty for the recipe's name.
    network, weights, last_block
        Network, which weights it starts from (see `gclib.data.identify_weights`), and whether its last block does so
        too; see `gclib.recipes.Recipe`.
    """

    summary: str
    head: Literal["linear", "cosine", "two-tail-linear", "two-tail-multi-head"]
    stages: Callable[[LongTailed], tuple[StageSettings, ...]]
    reference: str = "this companion"
    sources: Mapping[str, str] = field(default_factory=lambda: {"": OURS})
    unified: str = ""
    label: str = ""
    network: str = "resnet32"
    weights: str = "new"
    last_block: Literal["given", "new"] = "given"

    def source(self, setting: str) -> str:
        """Where the value of a dotted setting comes from."""
        parts = setting.split(".")
        for length in range(len(parts), 0, -1):
            if found := self.sources.get(".".join(parts[:length])):
                return found
        return self.sources[""]


def require_same_kind(owner: str, name: str, value: object, default: object) -> None:
    """Raise a UserError where a number, a text or a switch was expected and another of these was given."""
    kinds = [
        bool if isinstance(one, bool) else str if isinstance(one, str) else float for one in (value, default)
    ]
    if kinds[0] != kinds[1]:
        raise UserError(f"parameter {name!r} of {owner} is {value!r}; expected something like {default!r}")


def require_known(owner: str, name: str, known: Collection[str]) -> None:
    """Raise a UserError for a parameter that is none of those known."""
    if name not in known:
        expected = f"one of {', '.join(known)}" if known else "none"
        raise UserError(f"unknown parameter {name!r} of {owner}; expected {expected}{nearest(name, known)}")


def require_in_range(owner: str, name: str, value: Any, allowed: tuple) -> None:
    """Raise a UserError for a word that is none of those allowed, or a number outside of an interval."""
    if isinstance(value, str):
        require_one_of(name, value, allowed)
    elif allowed and not allowed[0] <= value <= allowed[1]:
        low, high = allowed
        raise UserError(
            f"parameter {name!r} of {owner} is {value:.12g}; expected a number in [{low:.12g}, {high:.12g}]"
        )
