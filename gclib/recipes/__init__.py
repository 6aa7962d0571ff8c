"""Named recipes, resolved for a data set and a scale into the thing that is run, hashed and recorded."""

import importlib
import pkgutil
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from gclib import methods
from gclib.data import IMAGE_BUDGET, NETWORKS, LongTailed, image_budget, planned_weights
from gclib.data.weights import told_weights
from gclib.errors import UserError, require_one_of
from gclib.methods.photographs import on_photographs
from gclib.methods.settings import Definition, Settings, StageSettings
from gclib.recipes.overrides import USUAL_NETWORK, override, parse_overrides, with_identified_weights
from gclib.recipes.unified import UNIFIED, unify

__all__ = [
    "UNIFIED",
    "USUAL_NETWORK",
    "NamedRecipe",
    "Recipe",
    "by_path",
    "get",
    "label",
    "names",
    "parse_overrides",
    "settings_table",
    "unify",
]

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
        for path, value in overrides.items():
            override(resolved, path, value)
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
                Stage.check(stage, data)
        return recipe


def _definitions() -> dict[str, Definition]:
    """Recipes of every file of `gclib.methods` and their twins, looked up anew: a file may have been added since."""
    found: dict[str, Definition] = {}
    for file in pkgutil.iter_modules(methods.__path__):
        if file.name in ("images", "stage", "stages"):  # what trains, with torch
            continue
        recipes = getattr(importlib.import_module(f"gclib.methods.{file.name}"), "RECIPES", {})
        if twice := sorted(recipes.keys() & found.keys()):
            raise UserError(
                f"recipe {twice[0]!r} in {file.name}.py stands in another file of gclib/methods too; "
                "give it a name of its own"
            )
        found |= recipes
    _known.clear()
    _known.update(found | {d.unified: unify(name, d) for name, d in found.items() if d.unified})
    return _known


_known: dict[str, Definition] = {}
# Now and not only when asked for: a recipe read from a record may need a loss that one of the files adds.
_definitions()


def names() -> list[str]:
    """Names of all recipes, found in the files of `gclib.methods`."""
    return sorted(_definitions())


def label(name: str) -> str:
    """Return what tables and figures call a recipe; its name where it has no label, or is not known any more."""
    definition = _known.get(name) or _definitions().get(name)
    return (definition.label if definition else "") or name


def get(name: str) -> NamedRecipe:
    """Return the recipe of that name.

    Raises
    ------
    UserError
        If there is none.
    """
    require_one_of("recipe", name, _known if name in _known else names())
    return NamedRecipe(name, _known[name])


def settings_table(recipe: Recipe, data: LongTailed) -> dict[str, list[str]]:
    """Lay out a resolved recipe: every setting, a column for each stage, and where the values come from.

    Parameters
    ----------
    recipe
        What `NamedRecipe.resolve` returned.
    data
        The data set that it was resolved for.

    Returns
    -------
    dict of str to list of str
        Columns by name: ``"setting"``, the stages, ``"source"``. A cell is empty where the stage has no such setting.
        A value that differs from the recipe's at paper scale comes from an override, or from scale and data.
    """
    definition = get(recipe.name).on(data.name)
    # As published, mixup is on; a recipe leaves it out for data that do not bear it.
    bearing = replace(data, augmentation=replace(data.augmentation, mixup=True))
    published = {stage.name: _flat(stage.model_dump()) for stage in definition.stages(bearing)}
    stages = {stage.name: _flat(stage.model_dump(exclude={"name"})) for stage in recipe.stages}
    first = recipe.stages[0].name  # what a path without a stage means
    changed = [p if p.partition(".")[0] in stages else f"{first}.{p}" for p in recipe.overrides]

    def source(stage: str, setting: str) -> str:
        if stages[stage][setting] == published.get(stage, {}).get(setting):
            return definition.source(f"{stage}.{setting}")
        by_hand = any(f"{stage}.{setting}.".startswith(f"{path}.") for path in changed)
        return "override" if by_hand else "scale and data"

    table: dict[str, list[str]] = {"setting": ["classifier"]}
    table |= {stage: [recipe.head] for stage in stages}
    table["source"] = [definition.source("classifier")]
    for setting, value in recipe.embedding.items():
        table["setting"].append(setting)
        for stage in stages:
            table[stage].append(told_weights(value))
        table["source"].append("override" if setting in recipe.overrides else definition.source(setting))
    for setting in dict.fromkeys(setting for stage in stages.values() for setting in stage):
        table["setting"].append(setting)
        for stage, values in stages.items():
            table[stage].append(_shown(values.get(setting, "")))
        places = [source(stage, setting) for stage, values in stages.items() if setting in values]
        table["source"].append("; ".join(dict.fromkeys(places)))
    return table


def by_path(stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings of stages by the dotted paths that overrides take.

    Examples
    --------
    >>> by_path([{"name": "stage-one", "schedule": {"kind": "steps", "factors": [0.1]}}])
    {'stage-one.name': 'stage-one', 'stage-one.schedule.kind': 'steps', 'stage-one.schedule.factors': [0.1]}
    """
    return {path: value for stage in stages for path, value in _flat(stage, f"{stage['name']}.").items()}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


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


def _shown(value: object) -> str:
    """Six digits say enough of a fraction such as 5 epochs of 90."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return str(float(f"{value:.6g}")) if isinstance(value, float) else str(value)
