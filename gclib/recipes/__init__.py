"""Recipes by name: every file of `gclib.methods` has some. What one is stands in `gclib.recipes.recipe`."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gclib import methods
from gclib.data import LongTailed
from gclib.data.weights import told_weights
from gclib.errors import UserError, require_one_of
from gclib.methods.settings import Definition, StageSettings
from gclib.recipes.overrides import USUAL_NETWORK, parse_overrides
from gclib.recipes.recipe import NamedRecipe, Recipe
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
        Columns by name: ``"setting"``, the stages, ``"source"``. A cell is empty where the stage has no such setting,
        or its schedule does not use it.
        A value that differs from the recipe's at paper scale comes from an override, or from scale and data.
    """
    definition = get(recipe.name).on(data.name)
    # As published, mixup is on; a recipe leaves it out for data that do not bear it.
    bearing = replace(data, augmentation=replace(data.augmentation, mixup=True))
    published = {stage.name: _flat(stage.model_dump()) for stage in definition.stages(bearing)}
    stages = {stage.name: _flat(stage.model_dump(exclude=_unused(stage))) for stage in recipe.stages}
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


def _unused(stage: StageSettings) -> dict[str, Any]:
    """What a table leaves out: the name, which heads a column, and of the schedule what a cosine does not look at."""
    cosine = stage.schedule.kind == "cosine"
    return {"name": True, "schedule": {"warmup", "milestones", "factors"} if cosine else set()}


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


def _shown(value: object) -> str:
    """Six digits say enough of a fraction such as 5 epochs of 90."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return str(float(f"{value:.6g}")) if isinstance(value, float) else str(value)
