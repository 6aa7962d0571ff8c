"""Stages of a run one by one: locked, gone on with from a checkpoint where there is one, trained to the end."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from gclib.data import LongTailed, find_weights
from gclib.errors import UserError
from gclib.files import InUseError, lock
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import make_network, read_embedding
from gclib.recipes import Recipe
from gclib.records import DataSummary, content_hash
from gclib.train import checkpoints, fleet, world
from gclib.train.device import can_compile, choose_device, choose_precision, measure_precision
from gclib.train.environment import device_name, git_commit
from gclib.train.features import featured
from gclib.train.loop import DTYPES, Trainer
from gclib.train.making import draw_seed, make_stage, normalised_for, seeded, started
from gclib.train.plan import PlannedStage, stage_plan

__all__ = ["Runner", "network_weights"]


@dataclass(frozen=True)
class Runner:
    """Brings the stages of one run to their end: from their checkpoints, or by training.

    Attributes
    ----------
    recipe, data, seed
        What is run; see `gclib.train.fit`.
    device, precision
        Where and how it is computed; see `gclib.train.device`.
    compiled
        Whether stages that are begun go through `torch.compile`; one that is gone on with keeps to what it began with.
    trainer
        What trains a stage.
    """

    recipe: Recipe
    data: LongTailed
    seed: int
    device: torch.device
    precision: str
    compiled: bool
    trainer: type[Trainer]

    @classmethod
    def on(
        cls, device: str, recipe: Recipe, data: LongTailed, seed: int, trainer: type[Trainer] = Trainer
    ) -> Self:
        """Choose precision and compilation for a device by name.

        Raises
        ------
        UserError
            If there is no such device, or the seed is out of range.
        """
        if not 0 <= seed < 2**63:
            raise UserError(f"seed {seed}: expected an integer from 0 to 2**63 - 1; give another seed")
        git_commit()  # noted now, for the record
        chosen = choose_device(device)
        # Seconds to measure and half a minute to compile, which only a long run gets back.
        long = recipe.scale == "paper" and chosen.type == "cpu"
        if long:
            with world.after_the_first():
                measure_precision()
        precision = choose_precision(recipe.scale, chosen)
        taken = normalised_for(recipe.network, data)
        return cls(recipe, taken, seed, chosen, precision, long and can_compile(), trainer)

    def stages(
        self, workdir: Path, resume: bool, first_alone: bool = False
    ) -> Iterator[tuple[PlannedStage, dict[str, Any]]]:
        """Run all stages, or the first alone, to their end, as `stage` does; yield each with its state.

        Raises
        ------
        UserError
            As `stage`; or if the parts of a batch cannot be shared by the processes, or these do not run the same.
        """
        taken = 1 if first_alone else len(self.recipe.stages)
        self._check_processes(self.recipe.stages[:taken])
        states: dict[str, dict[str, Any]] = {}
        plan = stage_plan(self.recipe, self.data, self.seed)
        for planned in plan[:1] if first_alone else plan:
            start = network_weights(states[planned.parent.hash], planned.start) if planned.parent else None
            states[planned.hash] = self.stage(planned, start, workdir / "stages" / planned.hash, resume)
            yield planned, states[planned.hash]

    def _check_processes(self, stages: Sequence[StageSettings]) -> None:
        together = world.size()
        uneven = [s for s in stages if s.epochs and s.parts % together]
        if uneven:
            given = " and ".join(f"parts {s.parts} of {s.name}" for s in uneven)
            wanted = " ".join(f"{s.name}.parts={together}" for s in uneven)
            first = "" if stages[0] in uneven else ", --first-stage and the others with one process"
            raise UserError(
                f"{given} cannot be shared by {together} processes, which take as many each; "
                f"expected a number of processes that divides them{first}, or overrides such as {wanted}"
            )
        plan = [planned.hash for planned in stage_plan(self.recipe, self.data, self.seed)]
        computes = [self.device.type, self.precision, torch.get_num_threads(), torch.__version__]
        world.agree(content_hash([plan, computes]), "the run (recipe, data, seed, device, threads)")

    def stage(
        self, planned: PlannedStage, start: dict[str, Tensor] | None, folder: Path, resume: bool
    ) -> dict[str, Any]:
        """Run one stage to its end.

        Parameters
        ----------
        planned
            The stage.
        start
            Weights of the network that it starts from; None for those that the recipe starts from.
        folder
            Where its checkpoints lie. It is locked meanwhile, but a finished stage is read in any case.
        resume
            Whether to go on from the checkpoint there.

        Returns
        -------
        dict
            The state after the last epoch; see `gclib.train.loop.Trainer.state`.

        Raises
        ------
        InUseError
            If another process trains the stage.
        UserError
            If it diverges, cannot be saved, or was begun with another number of threads.
        """

        def saved() -> tuple[dict[str, Any] | None, bool]:
            state = checkpoints.load(folder) if resume else None
            finished = state is not None and state["epoch"] == planned.settings.epochs
            if state and finished:
                self._check(state, planned, folder)
            return state, finished

        busy = f"{folder} is in use by another run of the same stage; wait for it or choose another folder"
        try:
            with lock(folder, busy) if world.first() else nullcontext():
                world.meet()  # now the folder is held for all of them
                state, finished = saved()
                return state if state and finished else self._train(planned, start, folder, state)
        except InUseError:
            state, finished = saved()
            if state and finished:  # only to be read, so runs side by side share it
                world.meet()
                return state
            raise

    def _train(
        self,
        planned: PlannedStage,
        start: dict[str, Tensor] | None,
        folder: Path,
        state: dict[str, Any] | None,
    ) -> dict[str, Any]:
        settings = planned.settings
        featured_alone = Stage.methods[settings.method].on_features(settings)
        # A classifier alone trains in less time than it is compiled in.
        precision, compiled = self.precision, self.compiled and not featured_alone
        if state is not None:
            with checkpoints.understood(folder / checkpoints.NAME):
                _check_threads(state, folder)
                # It goes on as it was begun. What is compiled is the device's affair: on another it differs anyway.
                precision = state["precision"]
                if state["devices"][-1] == device_name(self.device):
                    compiled = state["compiled"]
            self._check(state, planned, folder)
        recipe, data = self.recipe, self.data
        if start is None and recipe.weights:
            whole = recipe.last_block == "given"
            start = read_embedding(find_weights(recipe.weights), recipe.network, whole)
        if featured_alone:
            with seeded(self.seed):
                network = started(recipe.network, recipe.head, data.num_classes, start)
            network.in_bfloat16 = precision == "bfloat16"
            kept = folder.parent.parent / "features"
            with world.after_the_first():
                data = fleet.aside(featured, network, data, self.device, DTYPES[precision], kept)
        # On a thread: some stages begin with a pass over all images.
        stage = fleet.aside(
            make_stage,
            settings,
            recipe.head,
            data,
            self.seed,
            planned.position,
            start,
            recipe.network,
            self.device,
        )
        seed = draw_seed(self.seed, planned.position)
        trainer = self.trainer(stage, data, self.device, precision, seed, compiled)
        return trainer.run(state, folder)

    def _check(self, state: dict[str, Any], planned: PlannedStage, folder: Path) -> None:
        with torch.device("meta"):  # shapes alone
            network = make_network(self.recipe.network, self.data.num_classes, self.recipe.head).state_dict()
        with checkpoints.understood(folder / checkpoints.NAME):
            seen = DataSummary.of(self.data)
            checkpoints.check(state, network, seen, planned.settings.epochs)


def network_weights(state: dict[str, Any], which: str) -> dict[str, Tensor]:
    """Weights of backbone and classifier in a stage's state, after its ``"last"`` or its ``"best"`` epoch."""
    weights = state["best_weights" if which == "best" else "weights"]
    prefix = "network."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _check_threads(state: dict[str, Any], folder: Path) -> None:
    now, before = torch.get_num_threads(), state["threads"]
    if type(before) is not int:
        raise TypeError("threads is no int")
    if before != now:
        raise UserError(
            f"{folder} was begun with threads {before} and would go on with {now}, which gives other numbers; "
            f"give threads={before} (gcl run training -p threads {before}), or start anew with resume off"
        )
