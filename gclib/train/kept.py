"""What of a run goes to the results, where the book looks for it, and how a later run finds it there."""

import hashlib
import warnings
from pathlib import Path
from typing import Literal

from gclib import recipes, records
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.files import home_expanded, write_atomically
from gclib.recipes import Recipe
from gclib.train.plan import stage_plan
from gclib.train.runs import command

__all__ = ["KEPT_WEIGHTS", "keep", "require_keepable", "stage_one_weights"]

# Stage-one weights that later pages and recipes start from without training.
KEPT_WEIGHTS = ("ce", "ce-mixup", "gcl-official", "gcl-paper")


def keep(
    record: records.RunRecord,
    workdir: str | Path,
    root: str | Path = "results",
    how: Literal["new", "replace", "repeat"] = "new",
) -> Path:
    """Put a run's record where the book finds it, with its stage-one weights where others build on them.

    Parameters
    ----------
    record
        Record that `fit` returned.
    workdir
        The folder that `fit` used.
    root
        Folder of the records.
    how
        ``"new"``: it is the first of its seed; ``"replace"``: one that is there may be replaced; ``"repeat"``: it goes
        beside the first as a run made again (see `gclib.records.repeat_path`). Nothing builds on a repeat, so its
        weights stay behind.

    Returns
    -------
    Path
        Where the record now lies; see `gclib.records.results_path` and `gclib.records.repeat_path`.

    Raises
    ------
    UserError
        If the recipe was changed by overrides, its weights are missing or not those that the record names, a new
        record is there already, or for a repeat the first is missing, or one with the same numbers is there.
    """
    _require_unchanged(record.name, record.recipe["overrides"], root)
    path = _place(records.results_path(record, root), how)
    if how == "repeat" and _measured(record) in map(_measured, _of_its_seed(record, root)):
        raise UserError(
            f"it repeats a record beside {path} to the last digit, which says nothing new; run it on another device "
            "or with other threads, in another workdir"
        )
    if record.environment.commit is None:
        warnings.warn(f"{path} names no commit: made outside of a git checkout, or without git", stacklevel=2)
    weights = None
    # Also where weights lie beside the record that is replaced: they would be those of another run.
    if (record.name in KEPT_WEIGHTS or records.weights_path(path).exists()) and how != "repeat":
        source = home_expanded(workdir) / record.identity / records.RUN_WEIGHTS
        try:
            weights = source.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the weights {source}: {error.strerror}; run it again") from error
        if hashlib.sha256(weights).hexdigest() != record.weights:
            raise UserError(f"{source} holds other weights than the record names; run it again")
    if weights:  # first: a record without its weights would look complete
        write_atomically(records.weights_path(path), weights)
    records.save(record, path, force=how == "replace")
    return path


def require_keepable(
    recipe: Recipe,
    data: LongTailed,
    seed: int,
    root: str | Path = "results",
    how: Literal["new", "replace", "repeat"] = "new",
) -> None:
    """Raise the UserError of `keep` before a run whose record could not be kept: it was changed, or one is there."""
    _require_unchanged(recipe.name, recipe.overrides, root)
    _place(Path(root, records.place(recipe.scale, data.name, data.ratio, recipe.name, seed)), how)


def _place(first: Path, how: str) -> Path:
    if how != "repeat":
        records.require_room(first, force=how == "replace")
        return first
    if not first.exists():
        raise UserError(f"no {first} that it could be a repeat of; keep it as a new one")
    return records.repeat_path(first)


def _measured(record: records.RunRecord) -> list[records.StageRun]:
    """What a run measured, but for the time that it took."""
    return [stage.model_copy(update={"course": stage.course.untimed}) for stage in record.stages]


def _of_its_seed(record: records.RunRecord, root: str | Path) -> list[records.RunRecord]:
    folder = records.results_path(record, root).parent
    return records.find(folder, seed=record.seed, repeats=True)


def _require_unchanged(name: str, overrides: object, root: str | Path) -> None:
    if overrides:
        raise UserError(f"{name} was changed by overrides; only unchanged recipes are kept in {root}")


def stage_one_weights(recipe: Recipe, data: LongTailed, seed: int, root: str | Path = "results") -> Path:
    """Find the kept weights of a recipe's first stage: beside the record of any recipe that shares this stage.

    Raises
    ------
    UserError
        If the recipe has not two stages; if no record under `root` has this first stage and its weights, with the
        command that makes them if there is one; or if the weights are not those that it names.
    """
    if len(recipe.stages) != 2:
        raise UserError(f"{recipe.name} has no second stage to start from weights; name another recipe")
    wanted = stage_plan(recipe, data, seed)[0].hash
    for record in records.find(root, scale=recipe.scale, dataset=data.name, ratio=data.ratio, seed=seed):
        path = records.weights_path(records.results_path(record, root))
        if record.stages[0].hash == wanted and path.exists():
            records.check_weights(path)
            return path
    keepers = [recipes.get(name).resolve(data, recipe.scale) for name in KEPT_WEIGHTS]
    keeper = next((one for one in keepers if stage_plan(one, data, seed)[0].hash == wanted), None)
    advice = f"those of {', '.join(KEPT_WEIGHTS)} are kept, and it shares none of their first stages"
    if keeper:
        place = records.place(recipe.scale, data.name, data.ratio, keeper.name, seed)
        how = "replace" if Path(root, place).exists() else "new"
        advice = f"train them: {command(keeper, data, seed)} -p keep {how}"
    raise UserError(
        f"no stage-one weights of {recipe.name} on {data.name}, seed {seed}, under {root}; {advice}"
    )
