"""A live progress bar in a terminal or a notebook, and silence elsewhere."""

import os
import time
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gclib.train import fleet, world

__all__ = ["EpochProgress"]

BETWEEN_LINES = (
    1.0  # seconds from one line within an epoch to the next, and from the epoch's begin to its first
)


class EpochProgress:
    """Progress over the epochs of a stage: epoch, loss, accuracies, time left.

    Quiet where the output is neither a terminal nor a notebook, and where ``GCLIB_PROGRESS=0``. Where it names a
    terminal, such as ``/dev/pts/1``, progress goes there: so `gcl run` shows what happens in its kernel. A
    terminal that was closed meanwhile stops no run.
    """

    def __init__(self, name: str, epochs: int, done: int) -> None:
        place = os.environ.get("GCLIB_PROGRESS", "")
        elsewhere = place.startswith("/")
        self.terminal = None
        with suppress(OSError):
            self.terminal = open(place, "w") if elsewhere else None  # noqa: SIM115
        console = Console(file=self.terminal, force_jupyter=False) if self.terminal else Console()
        lost = elsewhere and self.terminal is None
        hidden = fleet.tell(stage=name, epoch=done, epochs=epochs)  # who carries the runs shows them all
        shown = (
            (console.is_terminal or console.is_jupyter)
            and place != "0"
            and not lost
            and not hidden
            and world.first()
        )
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown,
        )
        self.task = self.bar.add_task(name, total=epochs, completed=done, status="")
        self.epoch, self.status, self.told = done, "", time.monotonic()

    def __enter__(self) -> "EpochProgress":
        with suppress(OSError):
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.bar.stop()
        with suppress(OSError):
            if self.terminal:
                self.terminal.close()

    def update(self, epoch: int, loss: float, train_accuracy: float, test_accuracy: float | None) -> None:
        """Show the state after the 1-based `epoch`; accuracies in percent."""
        fleet.tell(epoch=epoch, **({} if test_accuracy is None else {"accuracy": test_accuracy}))
        status = f"loss {loss:.3f}  train {train_accuracy:.1f}%"
        if test_accuracy is not None:
            status += f"  test {test_accuracy:.1f}%"
        self.epoch, self.status, self.told = epoch, status + "  ", time.monotonic()
        self.bar.update(self.task, completed=epoch, status=status)

    def step(self, done: int, steps: int) -> None:
        """Show how many of its `steps` an epoch has done, if it takes more than a second."""
        if self.bar.disable or time.monotonic() - self.told < BETWEEN_LINES:
            return
        self.told = time.monotonic()
        status = f"{self.status}batch {done:,} of {steps:,}"
        self.bar.update(self.task, completed=self.epoch + done / steps, status=status)
