"""What is shown while a run goes on."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from training import fit, lean

from gclib.train.progress import EpochProgress


def progress(monkeypatch: pytest.MonkeyPatch, **console: Any) -> str:
    """Return what is printed while a stage goes through its epochs."""
    output = io.StringIO()
    monkeypatch.setattr("gclib.train.progress.Console", lambda: Console(file=output, width=120, **console))
    with EpochProgress("stage-one", 10, 2) as bar:
        bar.update(3, 1.2345, 56.78, None)
        bar.update(4, 0.9876, 67.89, 54.32)
    return output.getvalue()


def test_progress_shows_epoch_loss_accuracy_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCLIB_PROGRESS", "1")
    monkeypatch.setenv("TERM", "xterm")
    output = progress(monkeypatch, force_terminal=True)
    for part in ("stage-one", "4/10", "loss 0.988", "train 67.9%", "test 54.3%"):
        assert part in output, part
    assert "0:0" in output or "-:--" in output  # time left; unknown at first


def test_progress_is_quiet_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCLIB_PROGRESS", "1")
    assert progress(monkeypatch, force_terminal=False) == ""
    monkeypatch.setenv("GCLIB_PROGRESS", "0")
    assert progress(monkeypatch, force_terminal=True) == ""


@pytest.mark.parametrize("place", ["/nowhere/pts/1", "/dev/full"])
def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """One cannot be opened, the other not be written to, as one that was closed since."""
    monkeypatch.setenv("GCLIB_PROGRESS", place)
    monkeypatch.setattr(Console, "is_terminal", True)
    with EpochProgress("stage-one", 2, 0) as bar:
        bar.update(1, 1.0, 50.0, None)
    assert bar.terminal is None or bar.terminal.closed


@pytest.mark.parametrize(("seconds", "shown"), [(0.01, False), (0.5, True)])
def test_an_epoch_that_takes_long_shows_its_batches(
    monkeypatch: pytest.MonkeyPatch, seconds: float, shown: bool
) -> None:
    monkeypatch.setenv("GCLIB_PROGRESS", "1")
    monkeypatch.setenv("TERM", "xterm")
    output = io.StringIO()
    console = Console(file=output, width=140, force_terminal=True)
    monkeypatch.setattr("gclib.train.progress.Console", lambda: console)
    clock = iter(range(1000))
    monkeypatch.setattr("gclib.train.progress.time.monotonic", lambda: next(clock) * seconds)
    with EpochProgress("stage-one", 10, 2) as bar:
        bar.update(3, 1.2345, 56.78, None)
        for batch in range(1, 20):
            bar.step(batch, 1200)
        bar.bar.refresh()
    printed = output.getvalue()
    assert ("of 1,200" in printed) == shown
    assert "3/10" in printed
    assert "loss 1.23" in printed


def test_a_run_tells_each_of_its_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(EpochProgress, "step", lambda bar, done, steps: told.append((done, steps)))
    with lean():
        fit(tmp_path, "ce", epochs=2)
    steps = told[-1][1]
    assert told == 2 * [(step, steps) for step in range(1, steps + 1)]
