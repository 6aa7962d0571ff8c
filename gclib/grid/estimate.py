"""How long the open cells of a grid will take, from the records of runs like them."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from gclib.grid.cells import Cell, Progress, StageLeft, shared_stages
from gclib.records import Environment, RunRecord
from gclib.train.environment import Machine

CIFAR = {"cifar10", "cifar100"}

__all__ = ["Estimate", "Speeds", "estimate", "makespan", "speeds"]


@dataclass(frozen=True)
class Speeds:
    """Seconds of a training image in an epoch, test of the network included.

    Attributes
    ----------
    own
        By recipe and position of the stage: median over records.
    typical
        For first stages (True) and later ones (False): median over the recipes and positions in `own`.
    basis
        In words, which records these are.
    """

    own: Mapping[tuple[str, int], float]
    typical: Mapping[bool, float]
    basis: str

    def seconds(self, stage: StageLeft) -> float:
        """Seconds that are left of a stage; from other recipes where this one has no record."""
        first = stage.position == 0
        # A later stage trains no more than a first one, so that one's speed is on the safe side.
        elsewhere = self.typical.get(first, self.typical.get(not first, 0.0))
        return stage.images * self.own.get((stage.recipe, stage.position), elsewhere)


def speeds(found: Iterable[RunRecord], here: Machine | Environment, data: str, scale: str) -> Speeds | None:
    """Measure how fast runs were: on this device in this precision, or else on other CPUs or GPUs, whichever it is.

    Parameters
    ----------
    found
        Records; one that is there twice counts once.
    here
        Device and precision that the runs to come would have.
    data, scale
        Data set of the runs to come, and their scale. Of other data only the other CIFAR counts, and only where it was
        run on this device: other images may be larger.

    Returns
    -------
    Speeds or None
        None if no record is of use.
    """
    unique = {(record.identity, record.created): record for record in found}.values()
    equal = CIFAR if data in CIFAR else {data}  # with images of one size
    alike = [r for r in unique if r.data.name in equal and _machine(r.environment) == _machine(here)]
    own_data = [record for record in alike if record.data.name == data]
    others = [record for record in unique if record.data.name == data and record.scale == scale]
    others = [record for record in others if _kinds(record.environment) == _kinds(here)] or others
    for records, of, where in (
        (own_data, data, f"on this device ({in_words(here)})"),
        (alike, "other images of this size", f"on this device ({in_words(here)})"),
        (others, data, f"on other devices ({_listed(others)}), so this is only a rough guide"),
    ):
        measured: dict[tuple[str, int], list[float]] = {}
        for record in records:
            for place, seconds in _measured(record):
                measured.setdefault(place, []).append(seconds)
        if measured:
            own = {place: median(values) for place, values in measured.items()}
            by_kind = {
                first: [value for (_, position), value in own.items() if (position == 0) == first]
                for first in (True, False)
            }
            typical = {first: median(values) for first, values in by_kind.items() if values}
            count = f"{len(records)} record{'s' * (len(records) > 1)}"
            return Speeds(own, typical, f"the speed of {count} of {of} made {where}")
    return None


def _machine(environment: Machine | Environment) -> tuple[str, str, str]:
    """What a speed depends on: the processor counts only where it is the device."""
    cpu = environment.cpu if environment.device == "cpu" else ""
    return environment.device, cpu, environment.precision


def _kinds(environment: Machine | Environment) -> set[bool]:
    """Whether it is a CPU; of a run that went on on another device, both may be."""
    return {device == "cpu" for device in environment.device.split(", then ")}


def in_words(environment: Machine | Environment) -> str:
    """Device and precision, such as ``Intel Xeon, bfloat16``."""
    device = environment.cpu if environment.device == "cpu" else environment.device
    return f"{device}, {environment.precision}"


def _listed(records: Sequence[RunRecord]) -> str:
    return "; ".join(sorted({in_words(record.environment) for record in records}))


def _measured(record: RunRecord) -> list[tuple[tuple[str, int], float]]:
    images = sum(record.data.class_counts)
    return [
        ((record.name, (index + 1) // 2), sum(run.course.seconds) / (images * len(run.course.seconds)))
        for index, run in enumerate(record.stages)
        if run.course.seconds
    ]


@dataclass(frozen=True)
class Estimate:
    """Seconds of training that are left.

    Attributes
    ----------
    stages
        Of each shared first stage, by hash.
    cells
        Of what else each open cell has to train.
    total, span
        All of it one after another, and with the jobs side by side.
    basis
        In words, what it rests on.
    """

    stages: dict[str, float]
    cells: dict[Cell, float]
    total: float
    span: float
    basis: str


def estimate(progress: Sequence[Progress], measured: Speeds, jobs: int) -> Estimate:
    """Estimate the time of what is open; a first stage that several cells share counts once.

    Parameters
    ----------
    progress
        How far each cell is.
    measured
        Speeds of runs like them.
    jobs
        How many run side by side, each as fast as the records say; >= 1.
    """
    shared = shared_stages(progress)
    stages = {stage: measured.seconds(group[0].left[0]) for stage, group in shared.items()}
    own: dict[Cell, float] = {}
    needs: dict[Cell, str | None] = {}
    unmeasured = set()
    for one in (one for one in progress if one.open):
        own[one.cell] = sum(measured.seconds(stage) for stage in one.left if stage.hash not in shared)
        needs[one.cell] = next((stage.hash for stage in one.left if stage.hash in shared), None)
        if any((stage.recipe, stage.position) not in measured.own for stage in one.left if stage.images):
            unmeasured.add(one.cell.recipe)
    basis = measured.basis
    if unmeasured:
        few = (
            "1 recipe without such a record is"
            if len(unmeasured) == 1
            else f"{len(unmeasured)} recipes without such a record are"
        )
        basis += f"; {few} taken to be as fast as the others"
    return Estimate(
        stages,
        own,
        total=sum(stages.values()) + sum(own.values()),
        span=makespan(stages, [(seconds, needs[cell]) for cell, seconds in own.items()], jobs),
        basis=basis,
    )


def makespan(stages: Mapping[str, float], cells: Iterable[tuple[float, str | None]], jobs: int) -> float:
    """Return when the last job ends, if each starts as soon as one of `jobs` places is free.

    Parameters
    ----------
    stages
        Seconds of the shared first stages, which start first.
    cells
        Seconds of each cell, and the shared stage that it waits for or None.
    jobs
        Number of places, >= 1.

    Examples
    --------
    >>> makespan({"a": 5.0}, [(1.0, "a"), (2.0, "a"), (4.0, None)], jobs=2)
    7.0
    """
    free = [0.0] * jobs
    done: dict[str | None, float] = {None: 0.0}
    for stage, seconds in stages.items():
        done[stage] = heapq.heappop(free) + seconds
        heapq.heappush(free, done[stage])
    for seconds, needed in sorted(cells, key=lambda cell: done[cell[1]]):
        heapq.heappush(free, max(heapq.heappop(free), done[needed]) + seconds)
    return max(free)
