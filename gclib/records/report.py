"""Run records for people: one as text, two side by side, one against the code as it is now."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from pydantic import JsonValue

from gclib.records.again import again
from gclib.records.schema import RunRecord

# Of a loss above 1 a share: CPUs agree in their digits, not in their decimals.
FINGERPRINT_TOLERANCE = 1e-6


class Difference(NamedTuple):
    """A row of `compare`: a field, its value in either record, and second minus first for outcomes."""

    field: str
    first: JsonValue
    second: JsonValue
    change: float | None = None


OUTCOME_NUMBERS = ("top1", "many", "medium", "few", "ece")


def compare(first: RunRecord, second: RunRecord) -> list[Difference]:
    """Return the settings in which two records differ, and then what came out of both.

    Returns
    -------
    list of Difference
        A row for each field of recipe, data, seed and environment that differs; one for the first
        loss of the fingerprints that differs (see `replay`); one for each number of both outcomes.
    """
    left, right = (
        dict(
            _leaves(
                "",
                record.model_dump(mode="json", include={"recipe", "data", "seed", "environment"}),
            )
        )
        for record in (first, second)
    )
    rows = [
        Difference(name, left.get(name), right.get(name))
        for name in sorted(left | right)
        if left.get(name) != right.get(name)
    ]
    gap = _first_gap(first.fingerprint, second.fingerprint)
    if gap:
        rows.append(Difference(f"fingerprint, stage {gap.stage}, step {gap.step}", gap.recorded, gap.now))
    for protocol in ("clean", "paper_style"):
        for name in OUTCOME_NUMBERS:
            a, b = (getattr(getattr(record, protocol), name) for record in (first, second))
            change = None if a is None or b is None else round(b - a, 6)
            rows.append(Difference(f"{protocol}.{name}", a, b, change))
    return rows


def _leaves(name: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """Yield dotted names and values; a list is one value unless it holds objects."""
    if isinstance(value, dict):
        inner: list[tuple[str, JsonValue]] = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield name, value
        return
    for key, item in inner:
        yield from _leaves(f"{name}.{key}" if name else key, item)


class Step(NamedTuple):
    """A step of two fingerprints: stage and step from 1, both losses (None where there is none), equal or not."""

    stage: int
    step: int
    recorded: float | None
    now: float | None
    equal: bool


def replay(recorded: Sequence[Sequence[float]], now: Sequence[Sequence[float]]) -> list[Step]:
    """Set two fingerprints side by side, step by step.

    Parameters
    ----------
    recorded, now
        A list of losses for each stage.

    Returns
    -------
    list of Step
        All steps that one of the two has; losses are equal within 1e-6, those above 1 within that share.
    """
    steps, tolerance = [], FINGERPRINT_TOLERANCE
    for stage, (old, new) in enumerate(zip_longest(recorded, now, fillvalue=()), 1):
        for step, (a, b) in enumerate(zip_longest(old, new), 1):
            equal = (
                a is not None and b is not None and math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
            )
            steps.append(Step(stage, step, a, b, equal))
    return steps


def verify(record: RunRecord, now: Sequence[Sequence[float]]) -> str | None:
    """Compare a record's fingerprint with how the code behaves now.

    Parameters
    ----------
    record
        Record to check.
    now
        Fingerprint of the record's recipe by the code of today, a list of losses for each stage.

    Returns
    -------
    str or None
        None where all losses are equal, see `replay`; else the first that is not, in one line.
    """
    gap = _first_gap(record.fingerprint, now)
    if gap is None:
        return None
    return f"stale: stage {gap.stage}, step {gap.step}: loss {gap.recorded} in the record, {gap.now} now"


def _first_gap(recorded: Sequence[Sequence[float]], now: Sequence[Sequence[float]]) -> Step | None:
    return next((step for step in replay(recorded, now) if not step.equal), None)


def show(record: RunRecord) -> str:
    """Return a record as text: what was run, where, what came out, and how to make it again."""
    ratio = "as it is" if record.data.ratio is None else f"ratio {record.data.ratio:.12g}"
    at, seconds = record.environment, sum(sum(run.course.seconds) for run in record.stages)
    beside = f", {at.side_by_side} side by side" if at.side_by_side > 1 else ""
    beside += f", network by {at.variant}" if at.variant else ""
    lines = [
        f"{record.name} on {record.data.name}, {ratio}, seed {record.seed}, scale {record.scale}",
        f"identity   {record.identity}, made {record.created} in {seconds:.0f} s",
        f"where      {at.device}, {at.cpu}, threads {at.threads}, {at.precision}, torch {at.torch}{beside}",
        f"{'':<11}{'top-1':>8}{'many':>8}{'medium':>8}{'few':>8}{'ECE':>8}{'epoch':>8}",
    ]
    for name, outcome in (("clean", record.clean), ("best", record.paper_style)):
        numbers = [outcome.top1, outcome.many, outcome.medium, outcome.few]
        cells = ["-" if number is None else f"{number:.2f}" for number in numbers]
        cells += [f"{outcome.ece:.3f}", str(outcome.epoch)]
        lines.append(f"{name:<11}" + "".join(f"{cell:>8}" for cell in cells))
    return "\n".join([*lines, f"again      {again(record)}"])
