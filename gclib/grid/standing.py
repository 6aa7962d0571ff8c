"""How a grid stands while it runs: a live table in a terminal, a line now and then elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gclib.train.fleet import Told

__all__ = ["Board", "Standing", "in_time"]

NEWS = 30.0  # seconds between two lines where there is no terminal


@dataclass(frozen=True)
class Standing:
    """How a grid stands.

    Attributes
    ----------
    seconds
        Since it began.
    rate
        Images forward and backward a second, in sum; 0 while it is not known.
    ended, cells
        How many cells have ended, of how many.
    left
        Seconds until all is done, or until it has to end; None while the rate is not known.
    runs
        What runs, by name.
    to_go
        Seconds that each of them takes yet, by name; what is not there is not known.
    """

    seconds: float
    rate: float
    ended: int
    cells: int
    left: float | None = None
    runs: Mapping[str, Told] = field(default_factory=dict)
    to_go: Mapping[str, float] = field(default_factory=dict)

    def head(self) -> str:
        """Say in one line how all of it stands."""
        rate = f"{self.rate:,.0f} images/s in sum" if self.rate else "images/s not known yet"
        left = "" if self.left is None else f", {in_time(self.left)} left"
        return (
            f"{in_time(self.seconds)}: {self.ended} of {self.cells} cells ended, {len(self.runs)} side by side, "
            f"{rate}{left}"
        )

    def line(self) -> str:
        """Say in one line what runs, too."""
        runs = [f"{name} {' '.join(filter(None, self._cells(name)))}" for name in self.runs]
        return f"{self.head()}; {'; '.join(runs)}" if runs else self.head()

    def table(self) -> Group:
        """Lay out what runs below that."""
        table = Table(box=None, pad_edge=False)
        for name in ("run", "stage", "epoch", "accuracy", "time left"):
            table.add_column(name, justify="left" if name in ("run", "stage") else "right")
        for name in self.runs:
            table.add_row(name, *self._cells(name))
        return Group(Text(self.head()), table)

    def _cells(self, name: str) -> tuple[str, str, str, str]:
        told = self.runs[name]
        return (
            told.stage,
            f"{told.epoch}/{told.epochs}" if told.epochs else "",
            "" if told.accuracy is None else f"{told.accuracy:.1f}%",
            in_time(self.to_go[name]) if name in self.to_go else "",
        )


def in_time(seconds: float) -> str:
    """Write seconds as a duration: ``"42 s"``, ``"3:07"`` or ``"1:02:03"``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if whole < 60:
        return f"{whole} s"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Board:
    """Shows how a grid stands, and lines of what happened: in a terminal the table stays below the lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        live = self.console.is_terminal
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if live else None
        self.shown = 0.0

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def report(self, line: str) -> None:
        """Print a line of what happened."""
        self.console.print(line, markup=False, soft_wrap=True)

    def show(self, standing: Standing) -> None:
        """Show how it stands; asked for once a second, say."""
        if self.live:
            self.live.update(standing.table(), refresh=True)
        elif standing.seconds - self.shown >= NEWS:
            self.shown = standing.seconds
            self.report(standing.line())
