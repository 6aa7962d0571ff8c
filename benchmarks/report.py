"""What was measured, with which bars: worked out from the raw timings, kept with them as one JSON file."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.methods import PASSES
from gclib.files import write_atomically
from gclib.records import Environment

__all__ = ["Report", "Row"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Model):
    """One line of the table. Without a bar it is only told, and `holds` is None."""

    what: str
    measured: float
    unit: str
    bar: str = ""
    holds: bool | None = None


class Report(_Model):
    """A run of all benchmarks.

    `timings` are seconds of one step or call: by contest, by contestant, one number for each turn. `rows` follow
    from them and fill themselves.
    """

    date: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    environment: Environment
    quick: bool
    images: str
    batch_size: int = Field(gt=0)
    timings: dict[str, dict[str, list[float]]]
    memory_mb: float
    compile_seconds: float | None  # None: there was nothing to compile with
    rows: list[Row] = Field(default_factory=lambda report: _rows(report))

    @model_validator(mode="after")
    def _rows_follow_from_timings(self) -> Self:
        if self.rows != _rows(self.__dict__):
            raise ValueError("rows: do not follow from the timings")
        return self

    @property
    def holds(self) -> bool:
        """Whether no bar is missed."""
        return all(row.holds is not False for row in self.rows)

    def file_name(self) -> str:
        """One file for each kind of CPU; virtual machines give one name to CPUs with and without AMX."""
        suffix = " amx" if self.environment.precision == "bfloat16" else ""
        return re.sub(r"[^a-z0-9]+", "-", (self.environment.cpu + suffix).lower()).strip("-") + ".json"

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file_name()
        write_atomically(path, self.model_dump_json(indent=1).encode() + b"\n")
        return path


def _row(
    what: str, measured: float, unit: str = "x", at_least: float | None = None, at_most: float | None = None
) -> Row:
    shown = float(f"{measured:.4g}")
    if at_least is not None:
        return Row(
            what=what,
            measured=shown,
            unit=unit,
            bar=f"at least {at_least:g} {unit}",
            holds=measured >= at_least,
        )
    if at_most is not None:
        return Row(
            what=what, measured=shown, unit=unit, bar=f"at most {at_most:g} {unit}", holds=measured <= at_most
        )
    return Row(what=what, measured=shown, unit=unit)


def _rows(report: dict) -> list[Row]:
    best = {
        contest: {name: min(seconds) for name, seconds in contestants.items()}
        for contest, contestants in report["timings"].items()
    }
    batch, fast = report["batch_size"], report["environment"].precision == "bfloat16"
    step, ten, many = best["training step"], best["loss, 10 classes"], best["loss, 8142 classes"]
    ours, usual = step["gclib"], min(step["usual, 0 workers"], step["usual, 2 workers"])
    entropy = many["cross-entropy"]
    statistics, epoch = best["class statistics"], best["indices of an epoch"]
    loss, labels = "GCL loss, 8,142 classes", "437,513 labels"
    rows = [
        _row("stage one: images/s, ours to the usual loop's", usual / ours, at_least=2.2 if fast else 1.3),
        _row("stage one: images/s, ours to the bare step's", step["bare"] / ours, at_least=0.9),
        _row("stage one: ours", batch / ours, "images/s"),
        _row("stage one: the usual loop", batch / usual, "images/s"),
        _row(
            "GCL loss, 10 classes, twice for mixup, with its draws: part of a step",
            100 * ten["GCL, a step's two"] / ours,
            "%",
            at_most=3,
        ),
        _row(f"{loss}, noise given: time, to cross-entropy's", many["GCL, noise given"] / entropy, at_most=2),
        _row(f"{loss}, with its draw: time, to cross-entropy's", many["GCL, with its draw"] / entropy),
        _row(f"{loss}, the usual way: time, to cross-entropy's", many["GCL, usual"] / entropy),
        _row(f"{labels}: statistics ready", statistics["gclib"], "s", at_most=0.05),
        _row(f"{labels}: statistics, the usual way", statistics["usual"], "s"),
        _row(f"{labels}: indices of an epoch", epoch["gclib"], "s", at_most=0.05),
        _row(f"{labels}: indices, the usual way", epoch["usual"], "s"),
        _row(f"{labels}: memory at the peak", report["memory_mb"], "MB", at_most=100),
    ]
    if "method steps" in best:  # reports from before this contest stay valid
        rows += _method_rows(best["method steps"])
    if "photos" in best:
        rows += _photo_rows(best["photos"], best.get("photo step"))
    if report["compile_seconds"] is not None:
        compiled = best["compiled step"]
        rows += [
            _row("torch.compile of network and loss: gain", compiled["gclib"] / compiled["compiled"]),
            _row("torch.compile: until the first step is done", report["compile_seconds"], "s"),
        ]
    return rows


def _photo_rows(decoding: dict[str, float], step: dict[str, float] | None) -> list[Row]:
    """Photos of 500 x 375 pixels brought to 224 x 224, and what the loop adds to a step of ResNet-50."""
    one, two = decoding["read by 1"], decoding["read by 2"]
    rows = [
        _row(
            "photos: images/s of a core, ours to the usual PIL pipeline's",
            decoding["usual"] / decoding["gclib"],
            at_least=1.4,
        ),
        _row("photos: two processes, to one", one / two, at_least=1.8),
        _row("photos: ours, on one core", 1 / decoding["gclib"], "images/s"),
    ]
    if step:
        rows.append(
            _row(
                "ResNet-50 on photos: images/s, ours to the bare step's",
                step["bare"] / step["gclib"],
                at_least=0.95,
            )
        )
    return rows


def _method_rows(best: dict[str, float]) -> list[Row]:
    """Each method's step, to the passes of cross-entropy that it is made of."""
    return [
        _row(
            f"step of {name}, stage {stage}: time, to that of its passes",
            best[f"{name}, stage {stage}"] / (both * best["both ways"] + forward * best["forward"]),
            at_most=1.15,
        )
        for (name, stage), (both, forward) in PASSES.items()
    ]
