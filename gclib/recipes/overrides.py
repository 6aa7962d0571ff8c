"""Changes to a recipe by hand: how they are written, and what each reaches."""

import json
import re
from typing import Any

from gclib.data import NETWORKS, identify_weights
from gclib.errors import UserError, nearest, require_one_of
from gclib.methods.settings import StageSettings

__all__ = ["USUAL_NETWORK", "override", "parse_overrides", "with_identified_weights"]

USUAL_NETWORK = "resnet32"
# Of the whole recipe, where other settings are a stage's.
OF_ALL_STAGES = ("network", "weights", "last_block")
WORD = re.compile(r'(?:"[^"]*"|\[[^]]*\]|\S)+')  # blanks part words, but not within quotes or brackets


def parse_overrides(text: str) -> dict[str, Any]:
    """Read overrides written as ``"path=value path=value"``; values are JSON, or else plain words.

    What holds a blank stands in double quotes, as ``weights="my folder/a.pth"``.

    Raises
    ------
    UserError
        If a word is no such pair, or names what is no setting.

    Examples
    --------
    >>> parse_overrides("epochs=10 stage-two.sampler.strategy=cben")
    {'epochs': 10, 'stage-two.sampler.strategy': 'cben'}
    >>> parse_overrides("schedule.milestones=[0.5, 0.9]")
    {'schedule.milestones': [0.5, 0.9]}
    """
    overrides = {}
    for word in WORD.findall(text):
        path, equals, value = word.partition("=")
        if not (path and equals and value):
            raise UserError(f"override {word!r}: expected path=value, for example epochs=10")
        if path in ("self", "data", "scale"):  # arguments of `NamedRecipe.resolve`
            raise UserError(f"override {word!r}: no setting of a recipe; expected one, for example epochs=10")
        try:
            overrides[path] = json.loads(value)
        except json.JSONDecodeError:
            overrides[path] = value
    return overrides


def with_identified_weights(
    overrides: dict[str, Any], network: str = USUAL_NETWORK, weighted: bool = False
) -> dict[str, Any]:
    """Put the SHA-256 of the weights in the place of their name or path; new weights are no change.

    Parameters
    ----------
    overrides
        By path.
    network, weighted
        Network of the recipe, and whether it starts from weights: another network does not start from these.
    """
    wanted, chosen = overrides.get("weights"), str(overrides.get("network", network))
    if weighted and wanted is None and chosen != network:
        wanted = "new"
    if not isinstance(wanted, str):
        return overrides
    require_one_of("network", chosen, NETWORKS)
    found = identify_weights(chosen, wanted)
    rest = {path: value for path, value in overrides.items() if path != "weights"}
    return rest | ({"weights": found} if found or weighted else {})


def override(resolved: dict[str, Any], path: str, value: Any) -> None:
    """Change one setting of a recipe's dump, by its dotted path; another `method` drops the parameters of the last.

    Raises
    ------
    UserError
        If there is no such setting.
    """
    if path in OF_ALL_STAGES:
        resolved[path] = value
        return
    stages = {stage["name"]: stage for stage in resolved["stages"]}
    first, *rest = path.split(".")
    node, keys = (stages[first], rest) if first in stages else (resolved["stages"][0], [first, *rest])
    for key in keys[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    # What takes parameters may take some that the recipe leaves at their defaults. A stage keeps its name.
    open_ended = keys[-2:-1] == ["parameters"]
    # So may a stage take a setting that says nothing in the recipe.
    open_ended |= len(keys) == 1 and keys[0] in StageSettings.model_fields
    if not keys:
        raise UserError(f"override {path!r}: a stage; name a setting of it, such as {path}.epochs=10")
    if not isinstance(node, dict) or keys == ["name"] or not (keys[-1] in node or open_ended):
        options = [*stages, *OF_ALL_STAGES, *(node if isinstance(node, dict) else resolved["stages"][0])]
        if len(keys) == 1:
            options += [name for name in StageSettings.model_fields if name not in options]
        hint = nearest(keys[-1], options)
        raise UserError(
            f"override {path!r}: no such setting; expected one of {', '.join(map(str, options))}{hint}"
        )
    now, plain = node.get(keys[-1]), isinstance(value, str | int | float)
    if plain and isinstance(now, dict):
        raise UserError(
            f"override {path!r}: has settings of its own; name one: {', '.join(f'{path}.{k}' for k in now)}"
        )
    if plain and isinstance(now, list | tuple):
        raise UserError(
            f"override {path!r}: expected a list, such as {path}={json.dumps(list(now)).replace(' ', '')}"
        )
    node[keys[-1]] = value
    if keys == ["method"] and value != now:
        node["parameters"] = {}  # those of the method before are no settings of another
