"""Runs: a recipe's stages in order, their checkpoints, and the record at the end."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from gclib import records
from gclib.classifier import Card, classifier_bytes, classifier_of
from gclib.data import LongTailed
from gclib.data.photos import Photos, scaled_side
from gclib.errors import UserError
from gclib.files import home_expanded, write_atomically
from gclib.networks import read_weights
from gclib.recipes import Recipe
from gclib.train import fleet
from gclib.train.calibration import calibrate
from gclib.train.device import using_threads
from gclib.train.environment import environment
from gclib.train.fingerprint import fingerprint
from gclib.train.loop import Trainer
from gclib.train.plan import PlannedStage, stage_plan
from gclib.train.runner import Runner, network_weights

__all__ = ["command", "finish", "fit", "fit_first_stage", "network_weights"]


def fit(
    recipe: Recipe,
    data: LongTailed,
    *,
    seed: int,
    device: str = "auto",
    workdir: str | Path = "runs",
    resume: bool = True,
    threads: int | None = None,
) -> records.RunRecord:
    """Run every stage of a recipe and return its record.

    Parameters
    ----------
    recipe
        Resolved recipe; see `gclib.recipes.get`.
    data
        The long-tailed data set.
    seed
        Seed of the weights and of all draws, >= 0.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    workdir
        Where checkpoints (``stages/<hash>/``) and the record (``<identity>/record.json``) go. Runs that share it share
        their stages.
    resume
        Whether to go on from what `workdir` holds. False starts every stage anew.
    threads
        CPU threads for this run; None for torch's own number, which is one below `gcl`. Another number gives other last
        bits. Several runs side by side with one thread each get more done.

    Returns
    -------
    RunRecord
        Also written to ``<workdir>/<identity>/record.json``, with the last weights of stage one beside it, and the
        trained classifier for use elsewhere; see `gclib.load_classifier`.

    Raises
    ------
    UserError
        If the loss is not finite, another process runs the same stage, a checkpoint was made with another number of
        threads, or nothing can be written.
    """
    run, workdir = Runner.on(device, recipe, data, seed), home_expanded(workdir)
    described = recipe.model_dump(mode="json")
    # It takes a CPU seconds and another number of threads: nothing for a process that carries on other runs meanwhile.
    behaviour = fleet.promised(records.content_hash(described), fingerprint, recipe)
    with using_threads(threads):
        done = list(run.stages(workdir, resume))
    states = {planned.hash: state for planned, state in done}
    stages = [planned for planned, _ in done]
    kept = {
        name: value.half().contiguous()
        for name, value in network_weights(states[stages[0].hash], "last").items()
    }
    weights = safetensors_bytes(kept)
    made_on = environment(run.device, states.values())
    record = records.RunRecord(
        recipe=described,
        data=records.DataSummary.of(data),
        seed=seed,
        environment=made_on,
        command=command(recipe, data, seed, made_on.threads if made_on.device == "cpu" else 1),
        fingerprint=behaviour(),
        stages=[_stage_run(planned, states[planned.hash]) for planned in stages],
        weights=hashlib.sha256(weights).hexdigest(),
        class_names=data.class_names,
    )
    path = workdir / record.identity / records.RUN
    write_atomically(records.weights_path(path), weights)
    final = next(planned for planned in reversed(stages) if planned.start != "best")
    classifier = _classifier(record, recipe, run.data, run.device, states[final.hash]["weights"])
    write_atomically(path.with_name(records.CLASSIFIER), classifier)
    records.save(record, path, force=True)
    return record


def _classifier(
    record: records.RunRecord,
    recipe: Recipe,
    data: LongTailed,
    device: torch.device,
    weights: dict[str, Tensor],
) -> bytes:
    """Return the file that predicts elsewhere: the last stage after its last epoch, calibrated where that can be."""
    height, width = data.train.images.shape[1:3]
    card = Card(
        run=record.identity,
        seed=record.seed,
        recipe=recipe,
        data=data.name,
        class_names=data.class_names,
        class_counts=data.class_counts.tolist(),
        height=height,
        width=width,
        scaled=scaled_side(height) if isinstance(data.train.images, Photos) else None,
        mean=data.augmentation.mean,
        std=data.augmentation.std,
    )
    content = classifier_bytes(card, weights)
    if not all(stage.held_out for stage in recipe.stages):
        return content
    calibration = fleet.aside(calibrate, classifier_of(content), data, device)
    return classifier_bytes(card.model_copy(update={"calibration": calibration}), weights)


def fit_first_stage(
    recipe: Recipe,
    data: LongTailed,
    *,
    seed: int,
    device: str = "auto",
    workdir: str | Path = "runs",
    trainer: type[Trainer] = Trainer,
) -> dict[str, Any]:
    """Train the first stage of a recipe alone, so that the runs in `workdir` that share it find it done.

    Parameters
    ----------
    recipe, data, seed, device, workdir
        See `fit`; a checkpoint that is there is gone on from.
    trainer
        What trains: a subclass may measure more on the way, in a `workdir` of its own.

    Returns
    -------
    dict
        The state after the last epoch; see `gclib.train.loop.Trainer.state`.

    Raises
    ------
    UserError
        As `fit`.
    """
    first = stage_plan(recipe, data, seed)[0]
    folder = home_expanded(workdir) / "stages" / first.hash
    return Runner.on(device, recipe, data, seed, trainer).stage(first, None, folder, resume=True)


def finish(
    recipe: Recipe,
    data: LongTailed,
    weights: str | Path,
    *,
    seed: int,
    device: str = "auto",
    workdir: str | Path = "runs",
) -> records.StageRun:
    """Run the last stage of a two-stage recipe from saved weights of the first, without training the first.

    Parameters
    ----------
    recipe
        Resolved recipe of two stages.
    data
        The long-tailed data set.
    weights
        File with stage-one weights, as `keep` leaves it beside a record: fp16, so the outcome may differ from the
        record's in the last images.
    seed, device, workdir
        See `fit`.

    Returns
    -------
    StageRun
        Course and outcomes of the second stage.

    Raises
    ------
    UserError
        If the recipe has not two stages, or the file holds no weights for its network, or not those that the record
        beside it names.
    """
    if len(recipe.stages) != 2:
        raise UserError(
            f"{recipe.name} has {len(recipe.stages)} stages; expected two, to start from the first"
        )
    planned = stage_plan(recipe, data, seed)[1]
    records.check_weights(weights)
    start = read_weights(weights, data.num_classes, recipe.head, recipe.network)
    content = Path(weights).read_bytes()
    folder = (
        home_expanded(workdir)
        / "stages"
        / records.content_hash([planned.hash, hashlib.sha256(content).hexdigest()])
    )
    run = Runner.on(device, recipe, data, seed)
    return _stage_run(planned, run.stage(planned, start, folder, resume=False))


def _stage_run(planned: PlannedStage, state: dict[str, Any]) -> records.StageRun:
    choice = state["weights"].get("choice", torch.empty(0))  # of a stage that chooses a parameter
    return records.StageRun(
        name=planned.settings.name,
        start=planned.start,
        hash=planned.hash,
        course=records.Course(**state["course"]),
        last=records.Outcome(**state["last"]),
        best=records.Outcome(**state["best"]),
        choice=records.Choice(candidates=choice[0].tolist(), accuracy=choice[1].tolist())
        if choice.numel()
        else None,
    )


def command(recipe: Recipe, data: LongTailed, seed: int, threads: int = 1) -> str:
    """Return the command that makes the run again."""
    return records.command(recipe.name, data.name, data.ratio, seed, recipe.scale, recipe.overrides, threads)
