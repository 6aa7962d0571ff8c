"""The one training loop: one stage of any method, on any device, resumable at any moment."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gclib.data import LongTailed
from gclib.data.photos import Photos
from gclib.data.views import decoder_name
from gclib.methods.images import Draws, Images
from gclib.methods.stage import Stage
from gclib.networks import choose_variant, usable, use
from gclib.train import checkpoints, fleet, world
from gclib.train.environment import device_name
from gclib.train.evaluation import DivergedError, evaluated
from gclib.train.features import images_of
from gclib.train.optimizer import make_optimizer
from gclib.train.progress import EpochProgress
from gclib.train.steps import Steps

__all__ = ["DivergedError", "Trainer"]

# Seconds from one checkpoint to the next at least. On a CPU an epoch takes longer, and each is saved; of a few images,
# or of a classifier alone, one takes less than its checkpoint, which holds the whole network.
BETWEEN_CHECKPOINTS = {"cpu": 1.0, "cuda": 10.0}
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
"""Precision to the dtype of weights and inputs; with bfloat16 only the embedding computes in it, by autocast."""


def _in_turn(before: list[str], now: list[str]) -> list[str]:
    return before if before[-1:] == now else before + now


class Trainer:
    """Trains one stage, epoch by epoch, and saves all that the next epoch depends on.

    Parameters
    ----------
    stage
        The stage; it is moved to the device and the precision's dtype.
    data
        The data set; training and test split become resident on the device.
    device, precision
        Where and how to compute; see `gclib.train.device`.
    seed
        Seed of the stage's draws.
    compiled
        Whether whole training batches go through `torch.compile`; other last bits come out.
    """

    def __init__(
        self,
        stage: Stage,
        data: LongTailed,
        device: torch.device,
        precision: str,
        seed: int,
        compiled: bool = False,
    ) -> None:
        self.settings, self.data = stage.settings, data
        self.device, self.precision, self.compiled = device, precision, compiled
        # What a GPU computes for this stage is put in a queue of its own: others go on beside it.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with self.on_stream():
            self.stage = stage.to(device, DTYPES[precision]).to(memory_format=torch.channels_last)
            self.stage.network.in_bfloat16 = precision == "bfloat16"
            self.variants = [choose_variant(device)]
            use(self.stage.network, self.variants[-1])
            self.train_set = images_of(data, "train", device, DTYPES[precision])
            self.test_set = images_of(data, "test", device, DTYPES[precision])
            self.optimizer = make_optimizer(self.stage, device)
            self.steps = Steps(self.stage, self.optimizer, self.train_set, self.test_set, compiled)
        self.generator = torch.Generator().manual_seed(seed)
        self.course: dict[str, list[float]] = {
            name: []
            for name in ("loss", "learning_rate", "train_accuracy", "seconds", "test_epochs", "test_accuracy")
        }
        self.step_losses: list[float] = []
        self.devices, self.side_by_side, self.processes = [device_name(device)], 1, world.size()
        self.decoders = [decoder_name()] if isinstance(data.train.images, Photos) else []
        self.last: dict[str, Any] = {}
        self.best: dict[str, Any] = {}
        self.best_weights: dict[str, Tensor] = {}

    def on_stream(self) -> AbstractContextManager:
        """Put what is computed in this context into the stage's own queue on a GPU."""
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    def run(self, state: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
        """Train from `state` (None: from the start) to the last epoch; return the state then.

        Raises
        ------
        DivergedError
            If a loss is not finite: with the epoch, the step and what to try.
        Stopped
            If it was asked to stop; what it had done is saved.
        """
        with fleet.exact(), self.on_stream():
            try:
                return self._run(state, folder)
            finally:
                self.steps.release()

    def _run(self, state: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
        epochs = self.settings.epochs
        done = 0
        if state:
            with checkpoints.understood(folder / checkpoints.NAME):
                done = self.restore(state)
        if not epochs:
            self.evaluate(0)
        with EpochProgress(self.settings.name, epochs, done) as progress:
            begun = saved = time.perf_counter()
            self.steps.report = progress.step
            between = BETWEEN_CHECKPOINTS[self.device.type]
            for epoch in range(done, epochs):
                loss = self.train_epoch(epoch)
                accuracy = None
                if self.settings.tested(epoch + 1, self.stage.first):
                    accuracy = self.evaluate(epoch + 1)
                stopping = fleet.pause()
                now = time.perf_counter()  # what it takes to save an epoch counts with the next
                self.course["seconds"].append(round(now - begun, 3))
                begun = now
                due = stopping or now - saved >= between
                if epoch + 1 < epochs and due and world.first():
                    fleet.aside(checkpoints.save, folder, self.state(epoch + 1))
                    saved = now
                progress.update(epoch + 1, loss, self.course["train_accuracy"][-1], accuracy)
                if stopping and epoch + 1 < epochs:
                    raise fleet.Stopped
        state = self.state(epochs)
        if world.first():
            fleet.aside(checkpoints.save, folder, state)
        return state

    def train_epoch(self, epoch: int) -> float:
        """Train one epoch and enter it in the course; return its mean loss."""
        stage, settings = self.stage, self.settings
        draws = fleet.aside(self._draw)
        self.side_by_side = max(self.side_by_side, fleet.side_by_side())
        with self.on_stream():
            stage.train()
            stage.begin_epoch(epoch)
            rate = settings.learning_rate * settings.schedule.factor(epoch, settings.epochs)
            assert self.optimizer is not None
            for group in self.optimizer.param_groups:
                group["lr"].fill_(rate * group.get("factor", 1.0))
            stage.correct.zero_()
            losses, sizes = self.steps.epoch(draws)
            correct = float(fleet.arrived(stage.correct))
        self.step_losses = losses.tolist()
        if not losses.isfinite().all():
            step = int((~losses.isfinite()).nonzero()[0])
            raise DivergedError(
                f"{settings.name}: the loss is {losses[step]} in epoch {epoch + 1}, batch {step + 1} of {len(sizes)}; "
                f"lower the learning rate (now {rate:g}) or the scale of the loss, and start again"
            )
        fleet.tell(passes=stage.passes(settings) * float(sizes.sum()))
        mean = float((losses * sizes).sum() / sizes.sum())
        self.course["loss"].append(mean)
        self.course["learning_rate"].append(rate)
        self.course["train_accuracy"].append(100 * correct / float(sizes.sum()))
        return mean

    def _draw(self) -> Draws:
        world.agree(self.generator.get_state().numpy().tobytes(), "the random state")
        draws = self.stage.draw(self.generator)
        return draws.pinned() if self.device.type == "cuda" else draws

    def logits(self, images: Images) -> Tensor:
        """Test-time logits of images without augmentation, float64 on the CPU, shape ``(N, C)``."""
        found = torch.zeros(len(images.labels), self.stage.num_classes, dtype=torch.float64)
        for place, logits in self._logits(images):
            found[place] = logits
        world.add([found])
        return found

    def test_logits(self) -> Tensor:
        """Test-time logits of the whole test split, float64 on the CPU, shape ``(N, C)``."""
        return self.logits(self.test_set)

    def _logits(self, images: Images) -> Iterator[tuple[slice, Tensor]]:
        self.stage.eval()
        with self.on_stream():
            yield from self.steps.test() if images is self.test_set else self.steps.logits(images)

    def evaluate(self, epoch: int) -> float:
        """Enter the test accuracy after the 1-based `epoch`; keep the weights if it is the best so far."""
        outcome = evaluated(self._logits(self.test_set), self.data, self.settings.name, epoch)
        self.last = {"epoch": epoch, **outcome}
        if epoch:
            self.course["test_epochs"].append(epoch)
            self.course["test_accuracy"].append(self.last["top1"])
        if not self.best or self.last["top1"] > self.best["top1"]:
            self.best = self.last
            with self.on_stream():
                self.best_weights = {name: value.clone() for name, value in self.stage.state_dict().items()}
        return self.last["top1"]

    def state(self, epoch: int) -> dict[str, Any]:
        """All that the rest of the stage depends on, and its outcomes so far, on the CPU."""
        state = {
            "epoch": epoch,
            "precision": self.precision,
            "compiled": self.compiled,
            "threads": torch.get_num_threads(),
            "devices": self.devices,
            "variants": self.variants,
            "side_by_side": self.side_by_side,
            "weights": self.stage.state_dict(),
            "best_weights": self.best_weights,
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            "generator": self.generator.get_state(),
            "course": self.course,
            "last": self.last,
            "best": self.best,
        }
        if self.processes > 1:  # checkpoints are older than processes
            state["processes"] = self.processes
        if self.decoders:
            state["decoders"] = self.decoders
        with self.on_stream():
            return checkpoints.on_host(state)

    def restore(self, state: dict[str, Any]) -> int:
        """Go back to a saved state; return the number of epochs done."""
        self.stage.load_state_dict(state["weights"])
        assert self.optimizer is not None
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            if (momentum := kept.get("momentum_buffer")) is None:
                continue
            if momentum.shape != parameter.shape:
                raise ValueError("optimizer: a momentum of another shape")
            kept["momentum_buffer"] = momentum.clone()  # of a GPU's it is a part of one large tensor
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"].to(self.device)  # torch leaves it where the checkpoint was loaded
        self.generator.set_state(state["generator"])
        self.course, self.last, self.best = state["course"], state["last"], state["best"]
        before, ways = ([str(name) for name in state[kind]] for kind in ("devices", "variants"))
        # On the device that it was begun on it goes on as it was begun; another differs in the last bits anyway.
        if before[-1:] == self.devices and usable(self.device, ways[-1]):
            self.variants = ways[-1:]
            use(self.stage.network, ways[-1])
        self.devices, self.variants = _in_turn(before, self.devices), _in_turn(ways, self.variants)
        self.decoders = _in_turn([str(name) for name in state.get("decoders", ())], self.decoders)
        self.side_by_side = int(state["side_by_side"])
        self.processes = max(self.processes, int(state.get("processes", 1)))
        self.best_weights = {
            name: value.to(self.device, copy=True) for name, value in state["best_weights"].items()
        }
        return int(state["epoch"])
