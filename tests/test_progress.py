"""What is shown while a run goes on."""

import io
from typing import Any

import pytest
from rich.console import Console

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
