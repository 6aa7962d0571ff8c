"""The command that makes a run again, as it follows from what was run."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from gclib.records.schema import RunRecord

__all__ = ["again", "command"]


def command(
    recipe: str,
    data: str,
    ratio: float | None,
    seed: int,
    scale: str,
    overrides: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> str:
    """Return the command that makes a run.

    Parameters
    ----------
    recipe, data, ratio, seed, scale
        Names and numbers as `gclib.recipes.get` and `gclib.data.load` take them; no ratio leaves the training
        split as it is.
    overrides
        Changes to the recipe by dotted path.
    threads
        CPU threads; other numbers give other last digits.

    Examples
    --------
    >>> command("ce", "digits", 20.0, 1, "smoke", {"epochs": 5})
    'gcl run training -p data digits -p ratio 20 -p recipe ce -p seed 1 -p overrides epochs=5 --scale smoke'
    >>> command("ce", "folder:birds", None, 0, "paper")
    'gcl run training -p data folder:birds -p ratio 0 -p recipe ce -p seed 0 --scale paper'
    """
    words = ["gcl", "run", "training", "-p", "data", data, "-p", "ratio", f"{ratio or 0:.12g}"]
    words += ["-p", "recipe", recipe, "-p", "seed", str(seed)]
    if overrides:
        # No space within a value: spaces part the overrides.
        pairs = (f"{path}={json.dumps(value, separators=(',', ':'))}" for path, value in overrides.items())
        words += ["-p", "overrides", " ".join(pairs)]
    if threads > 1:
        words += ["-p", "threads", str(threads)]
    return shlex.join([*words, "--scale", scale])


def again(record: RunRecord) -> str:
    """Return the command that makes a record's run again: from recipe, data, seed and threads, not read from the file.

    A record's own `command` says what was run at the time. Anybody can write another and make its digest anew, so it is
    compared with this one and not shown.
    """
    overrides = record.recipe.get("overrides")
    changes = overrides if isinstance(overrides, dict) else {}
    threads = record.environment.threads if record.environment.device == "cpu" else 1
    return command(
        record.name, record.data.name, record.data.ratio, record.seed, record.scale, changes, threads
    )
