"""A recipe, by name and resolved for a data set and a scale: the thing that is run, hashed and recorded."""

import reprlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from gclib.data import IMAGE_BUDGET, NETWORKS, LongTailed, image_budget, planned_weights
from gclib.errors import UserError, require_one_of
from gclib.methods.photographs import on_photographs
from gclib.methods.settings import Definition, Settings, StageSettings
from gclib.recipes.overrides import USUAL_NETWORK, override, with_identified_weights

__all__ = ["NamedRecipe", "Recipe"]

# Below this many training images a batch of 64 or 128 would leave a handful of steps per epoch.
SMALL_DATA, SMALL_BATCH, SMALL_LEARNING_RATE = 2_000, 32, 0.05


class Recipe(Settings):
    """A fully resolved recipe: head, stages, and what was changed by hand.

    Attributes
    ----------
    name
        Name of the recipe it comes from.
    scale
        ``"smoke"``, ``"short"`` or ``"paper"``.
    head
        Classifier and, where it says so, the network with two tails; see `gclib.networks.make_network`.
    network
        One of `gclib.data.NETWORKS`.
    weights
        SHA-256 of the file with the weights that the embedding starts from; None for new ones.
    last_block
        Whether the embedding's last block starts from these weights, too, or is ``"new"``.
    stages
        Settings of each stage, in order.
    overrides
        What differs from the named recipe, by dotted path; empty for the recipe itself.
    """

    name: str
    scale: Literal["smoke", "short", "paper"]
    head: Literal["linear", "cosine", "two-tail-linear", "two-tail-multi-head"]
    network: str = USUAL_NETWORK
    weights: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    last_block: Literal["given", "new"] = "given"
    stages: tuple[StageSettings, ...]
    overrides: dict[str, Any] = Field(default_factory=dict)

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        require_one_of("network", name, NETWORKS)
        return name

    @model_validator(mode="after")
    def _a_new_block_is_one_of_given_ones(self) -> Self:
        if self.last_block == "new" and not self.weights:
            raise ValueError(
                "last_block new needs weights for the rest; expected weights, or last_block given"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The identities of runs are older than these fields.
        silent = {"network": USUAL_NETWORK, "weights": None, "last_block": "given"}
        return {k: v for k, v in plain(self).items() if k not in silent or v != silent[k]}

    @property
    def embedding(self) -> dict[str, str]:
        """Network and weights, where they are not those that every run had before there was a choice."""
        found = {"network": self.network, "weights": self.weights, "last_block": self.last_block}
        return {k: v for k, v in found.items() if v not in (USUAL_NETWORK, None, "given")}


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe by name, before a data set and a scale are known."""

    name: str
    definition: Definition

    def on(self, dataset: str) -> Definition:
        """Return the definition as it is for a data set of that name."""
        return on_photographs(self.name, self.definition, dataset)

    def resolve(self, data: LongTailed, scale: str = "paper", **overrides: Any) -> Recipe:
        """Resolve every setting.

        Parameters
        ----------
        data
            The data set; its size and class counts shape some settings.
        scale
            ``"paper"``: the full schedule. ``"short"``: at most 150,000 images in stage one, but an epoch. ``"smoke"``:
            8,000 of the size of the digits, or as many fewer as the images are larger.
        **overrides
            Changes by dotted path, for example ``**{"stage-one.loss.parameters.noise_scale": 1.0}``; a bare field
            name such as ``epochs`` means stage one. ``network`` and ``weights`` are the whole recipe's; weights by name
            or path, see `gclib.data.identify_weights`, of which the SHA-256 stays.

        Returns
        -------
        Recipe

        Raises
        ------
        UserError
            For an unknown scale or path, or a value of the wrong type or out of its range.
        """
        require_one_of("scale", scale, IMAGE_BUDGET)
        definition = self.on(data.name)
        stages = [_fit_to_data(stage, data) for stage in definition.stages(data)]
        budget = image_budget(scale, *data.train.images.shape[1:3])
        fraction = _share_of_epochs(stages[0].epochs, len(data.train), budget)
        resolved = Recipe(
            name=self.name,
            scale=scale,
            head=definition.head,
            network=definition.network,
            weights=planned_weights(definition.network, definition.weights),
            last_block=definition.last_block,
            stages=[s.model_copy(update={"epochs": _shorten(s.epochs, fraction)}) for s in stages],
        ).model_dump()
        overrides = with_identified_weights(overrides, definition.network, definition.weights != "new")
        for path in sorted(
            overrides, key=lambda path: path.split(".")[-1] != "method"
        ):  # before its parameters
            override(resolved, path, overrides[path])
        if not resolved.get("weights") and "last_block" not in overrides:
            resolved.pop("last_block", None)
        resolved["overrides"] = dict(overrides)
        try:
            recipe = Recipe.model_validate(resolved)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            raise UserError(
                f"recipe {self.name}: {where}: {what}; got {reprlib.repr(first['input'])}"
            ) from error
        if overrides:  # a recipe as it is named is tried by the tests, and is read without torch
            from gclib.methods.stage import Stage

            for stage in recipe.stages:
                Stage.check(stage, data, recipe.head)
            if not any(stage.epochs for stage in recipe.stages):
                raise UserError(
                    f"recipe {self.name}: no stage has an epoch; expected at least one that trains"
                )
        return recipe


def _fit_to_data(stage: StageSettings, data: LongTailed) -> StageSettings:
    if len(data.train) >= SMALL_DATA:
        return stage
    return stage.model_copy(
        update={
            "batch_size": min(stage.batch_size, SMALL_BATCH),
            "learning_rate": min(stage.learning_rate, SMALL_LEARNING_RATE),
        }
    )


def _share_of_epochs(epochs: int, images: int, budget: int | None) -> float:
    if budget is None:
        return 1.0
    return min(1.0, max(1, budget // images) / epochs)


def _shorten(epochs: int, fraction: float) -> int:
    return max(1, round(epochs * fraction)) if epochs else 0
