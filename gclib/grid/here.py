"""The open cells of a grid side by side in this process, on one device; without Snakemake, and without notebooks."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from gclib import data, recipes, records, train
from gclib.errors import UserError
from gclib.grid.bench.probe import report_path
from gclib.grid.budget import by_value, passes, why
from gclib.grid.cells import Cell, Progress, same_later_stages, shared_stages
from gclib.grid.engine import held, keep_trained
from gclib.grid.standing import Standing
from gclib.networks.variants import SWITCH
from gclib.train import fleet
from gclib.train.device import choose_device

__all__ = ["run"]

LEVELS = (4, 8, 12, 16)  # how many runs side by side are tried, as long as each more brings more
TRIED = 20.0  # seconds from the start in which that is found out
WATCH = 5.0  # seconds for which the pace is taken from then on
GAIN = 1.05
SPARE = 8.0  # seconds before the end in which what runs ends its epoch and is saved
LOOK = 1.0  # seconds between two looks at how it stands


class Pace:
    """How fast the fleet is, in images forward and backward a second, and how many side by side that takes."""

    def __init__(self, places: int | None) -> None:
        self.level, self.trying = places or LEVELS[0], places is None
        self.rate = 0.0
        self.begun = self.since = (
            time.monotonic()
        )  # since when: the level that is tried, or the pace that is taken
        self.done: float | None = (
            None  # passes at that time; not known as long as the first runs are recorded
        )
        self.before: tuple[int, float] | None = None  # the level below, and its rate
        self.ends: dict[
            str, list[tuple[float, float]]
        ] = {}  # of each run's epochs: when, and its passes then

    def places(self) -> int:
        """Look at the clock; return how many may run side by side now."""
        now, (total, runs) = time.monotonic(), fleet.told()
        if self.trying:
            self._try(now, total, runs)
        elif now - self.since >= WATCH:
            if self.done is not None:
                self.rate = (total - self.done) / (now - self.since)
            self.since, self.done = now, total
        return self.level

    def _try(self, now: float, total: float, runs: Mapping[str, fleet.Told]) -> None:
        rate, late = self._rate(now, runs), now >= self.begun + TRIED
        if rate is None and not late:
            return
        self.trying = False
        if self.before and (rate or 0.0) < GAIN * self.before[1]:
            self.level, self.rate = self.before  # more bring no more, or were not seen to
        else:
            self.rate = rate or 0.0
            higher = [level for level in LEVELS if level > self.level]
            if higher and now + (now - self.since) <= self.begun + TRIED:  # the next takes as long
                self.before, self.level, self.trying = (self.level, self.rate), higher[0], True
        self.since, self.done = now, total

    def _rate(self, now: float, runs: Mapping[str, fleet.Told]) -> float | None:
        """Passes a second in sum; None until all have gone through an epoch since the last of them was recorded."""
        for name, told in runs.items():
            ends = self.ends.setdefault(name, [])
            if told.passes > (ends[-1][1] if ends else 0.0):
                ends.append((now, told.passes))
        if len(runs) < self.level or not all(self.ends[name] for name in runs):
            return None
        settled = max(self.ends[name][0][0] for name in runs)
        seen = [[end for end in self.ends[name] if end[0] >= settled] for name in runs]
        if min(map(len, seen)) < 2:
            return None
        return sum((one[-1][1] - one[0][1]) / (one[-1][0] - one[0][0]) for one in seen)

    def seconds(self, cost: float) -> float:
        """How long a run of so many passes takes among the others; 0 while the pace is not known."""
        return cost * self.level / self.rate if self.rate else 0.0


def run(
    progress: Sequence[Progress],
    *,
    workdir: str | Path,
    root: str | Path,
    device: str = "auto",
    places: int | None = None,
    seconds: float | None = None,
    report: Callable[[str], None] = print,
    show: Callable[[Standing], None] = lambda standing: None,
) -> list[str]:
    """Run the open cells, several at a time, the most valuable first; first stages that several share before, once.

    Parameters
    ----------
    progress
        How far each cell is; only what is open is run.
    workdir, root
        Folders of runs and of the records that tables show; see `gclib.grid.survey`.
    device
        See `gclib.train.fit`.
    places
        How many go on side by side, >= 1; None takes what `gcl bench gpu` found best on this device, or else finds out
        while they run.
    seconds
        How long it may take. Nothing is begun that would not end in time at the pace of the others, and what still
        runs then ends its epoch, is saved, and goes on when it is run again. None: until all is done.
    report
        Takes a line for each cell that is wanted or ends.
    show
        Is told once a second how it stands.

    Returns
    -------
    list of str
        The cells that have no record, each with why.

    Raises
    ------
    UserError
        If another grid works in `workdir`, or it cannot be written.
    KeyboardInterrupt
        When interrupted or terminated, once what ran has ended its epoch and is saved.
    """
    # The default is 8 queues between host and GPU: more runs would wait for each other.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    if found := _probed(Path(root), device):
        os.environ.setdefault(SWITCH, found["variant"])
        places = places or found["places"]
    begun = time.monotonic()
    end = begun + seconds - SPARE if seconds else float("inf")
    workdir, root = Path(workdir).resolve(), Path(root)
    waiting = by_value(progress)
    jobs, costs = _jobs(waiting, workdir, root, device)
    pace, failed = Pace(places), dict[str, str]()
    cells, ended, looked = {one.cell.name for one in waiting}, set[str](), begun

    def admit(job: fleet.Job) -> bool:
        return time.monotonic() + pace.seconds(costs[job.name]) <= end

    def stop() -> bool:
        nonlocal looked
        now = time.monotonic()
        if now >= looked + LOOK:
            looked = now
            to_go = {name: cost for name, cost in costs.items() if name not in ended}
            show(_standing(now - begun, pace, to_go, len(cells & ended), len(cells), end - now))
        return bool(asked) or now >= end

    with held(workdir), _asked_to_stop() as asked:
        keep_trained(progress, workdir, root, report)
        for one in waiting:
            report(f"wanted: {one.cell.name} ({why(one)})")
        for job, outcome in fleet.together(jobs, pace.places, stop, admit):
            ended.add(job.name)
            if isinstance(outcome, fleet.Stopped):
                failed[job.name] = str(outcome) or "stopped; it goes on from its last epoch when run again"
            elif isinstance(outcome, Exception):
                failed[job.name] = str(outcome) if isinstance(outcome, UserError) else repr(outcome)
            if not (isinstance(outcome, fleet.Stopped) and outcome.args):  # those are named at the end
                report(f"{time.monotonic() - begun:.0f} s  {job.name}: {failed.get(job.name, 'done')}")
    if asked:
        raise KeyboardInterrupt
    return [f"{one.cell.name} ({failed[name]})" for one in waiting if (name := one.cell.name) in failed]


def _probed(root: Path, device: str) -> dict[str, Any] | None:
    """What the probe found fastest on this device, if it was tried."""
    chosen = choose_device(device)
    if chosen.type != "cuda":
        return None
    path = report_path(root / "bench" / "gpu", torch.cuda.get_device_name(chosen))
    try:
        fastest = json.loads(path.read_text())["fastest"]
        return fastest and {name: fastest[name] for name in ("variant", "places")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no report of gcl bench gpu ({error!r}); remove it") from error


def _jobs(
    waiting: Sequence[Progress], workdir: Path, root: Path, device: str
) -> tuple[list[fleet.Job], dict[str, float]]:
    """Lay out jobs in the order of the cells, a shared first stage before the first that needs it, and their costs."""
    load = cache(partial(data.load, download=False))  # one object each: runs share its images on the device

    def prepared(cell: Cell) -> tuple[recipes.Recipe, data.LongTailed, dict[str, Any]]:
        images = load(cell.data, cell.ratio or None, scale=cell.scale)
        recipe = recipes.get(cell.recipe).resolve(images, cell.scale)
        return recipe, images, {"seed": cell.seed, "device": device, "workdir": workdir}

    def first_stage(cell: Cell) -> Any:
        recipe, images, options = prepared(cell)
        return train.fit_first_stage(recipe, images, **options)

    def whole(cell: Cell) -> records.RunRecord:
        recipe, images, options = prepared(cell)
        record = train.fit(recipe, images, **options)
        if cell.kept:
            train.keep(record, workdir, root)
        return record

    shared = shared_stages(waiting)
    jobs: dict[str, fleet.Job] = {}
    names, costs = dict[str, str](), dict[str, float]()
    for one in waiting:
        first = [left for left in one.left if left.hash in shared]
        for left in first:
            stage = names.setdefault(left.hash, f"first stage of {one.cell.name}")
            jobs.setdefault(stage, fleet.Job(stage, partial(first_stage, one.cell)))
            costs[stage] = passes(left)
        name = one.cell.name
        before = {names[left.hash] for left in first} | {o.cell.name for o in same_later_stages(one, waiting)}
        jobs[name] = fleet.Job(name, partial(whole, one.cell), frozenset(before))
        costs[name] = sum(passes(left) for left in one.left if left not in first)
    return list(jobs.values()), costs


def _standing(
    seconds: float, pace: Pace, costs: dict[str, float], ended: int, cells: int, until_end: float
) -> Standing:
    """How it stands after so many seconds; `costs` are those of what has not ended."""
    runs = fleet.told()[1]
    left, to_go = None, dict[str, float]()
    if pace.rate:
        to_go = {name: pace.seconds(costs[name] - told.passes) for name, told in runs.items()}
        passes_left = sum(costs.values()) - sum(told.passes for told in runs.values())
        left = min(passes_left / pace.rate, until_end)
    return Standing(seconds, pace.rate, ended, cells, left, dict(runs), to_go)


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Note an interrupt or a termination instead of ending at once: what runs ends its epoch and is saved."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda received, _: asked.append(received))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
