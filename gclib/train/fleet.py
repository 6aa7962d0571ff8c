"""Runs side by side in one process: they go on in turns, each on a CUDA stream of its own.

A run calls `pause` wherever others may go on: when its steps are in the GPU's queue, while numbers come back, while a
thread or a process works for it. One thread alone builds and launches, so a run among others is the run alone, to the
last bit; and a run that has none beside it is the same code, for which `pause` does nothing.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from gclib.errors import UserError

__all__ = [
    "Job",
    "Stopped",
    "Told",
    "arrived",
    "aside",
    "exact",
    "pause",
    "promised",
    "reached",
    "side_by_side",
    "tell",
    "together",
    "told",
]

T = TypeVar("T")

# For what the host does beside: draws, checkpoints, metrics; and, in processes, fingerprints.
THREADS, PROCESSES = 4, max(1, min(4, (os.cpu_count() or 1) // 4))
REST = 2e-5  # seconds after a round, in which the threads get the interpreter


class Stopped(Exception):
    """A run ended early because it was asked to; what it had done is saved. With a text: it was not begun."""


@dataclass(frozen=True)
class Job:
    """A piece of work by name.

    Attributes
    ----------
    name
        Of this job, as others wait for it.
    work
        Does it; what it returns is the outcome.
    after
        Names of the jobs that must have ended well before.
    """

    name: str
    work: Callable[[], Any]
    after: frozenset[str] = field(default_factory=frozenset)


@dataclass
class Told:
    """What a run among others tells of itself.

    Attributes
    ----------
    stage, epoch, epochs
        Which epoch of which stage has ended.
    accuracy
        Newest test accuracy in percent; None before the first.
    passes
        Images forward and backward that it has done.
    """

    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    passes: float = 0.0


@dataclass
class _Fleet:
    hub: Any  # the greenlet that gives turns
    threads: Executor
    processes: Executor
    promises: dict[str, Future] = field(default_factory=dict)
    stopping: bool = False
    turn: str = ""  # name of the job whose turn it is
    told: dict[str, Told] = field(default_factory=dict)
    passes: float = 0.0
    running: int = 1


_fleet: _Fleet | None = None


def exact() -> Any:
    """Return a context in which a GPU computes the same bits every time, so that a run can be gone on with."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def pause() -> bool:
    """Let others go on; return whether this run shall save what it has and stop, at the next good moment."""
    if _fleet is None:
        return False
    stream = torch.cuda.current_stream() if torch.cuda.is_initialized() else None
    with torch.set_grad_enabled(torch.is_grad_enabled()):  # both belong to the thread, and others share it
        _fleet.hub.switch()
    if stream is not None:
        torch.cuda.set_stream(stream)
    return _fleet.stopping


def aside(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function on a thread while others go on; where there are none, call it at once."""
    return function(*arguments) if _fleet is None else _result(_fleet.threads.submit(function, *arguments))


def promised(key: str, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
    """Return what gives the result of a call: begun now, in another process, where others go on beside this run.

    It is made once for each `key`. Where there are no others it is made when it is asked for.
    """
    if _fleet is None:
        return lambda: function(*arguments)
    if key not in _fleet.promises:
        _fleet.promises[key] = _fleet.processes.submit(function, *arguments)
    return partial(_result, _fleet.promises[key])


def _result(call: Future[T]) -> T:
    while not call.done():
        pause()
    return call.result()


def reached(event: torch.cuda.Event) -> None:
    """Wait for an event on the GPU; others go on meanwhile."""
    if _fleet is None:
        event.synchronize()
    while not event.query():
        pause()


def arrived(values: Tensor) -> Tensor:
    """Bring a tensor to the CPU, others going on meanwhile; one that is there comes back as it is."""
    if values.device.type != "cuda":
        return values
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    reached(torch.cuda.current_stream().record_event())
    return host


def side_by_side() -> int:
    """Return how many runs go on in turns, this one included."""
    return 1 if _fleet is None else _fleet.running


def told() -> tuple[float, dict[str, Told]]:
    """Return what the fleet has done, in images forward and backward, and what its runs tell, by name of their job."""
    return (0.0, {}) if _fleet is None else (_fleet.passes, _fleet.told)


def tell(passes: float = 0.0, **news: Any) -> bool:
    """Tell how far this run is: images forward and backward since it told last, and what `Told` has.

    Returns
    -------
    bool
        False where it has none beside it, and nobody listens.
    """
    if _fleet is None:
        return False
    mine = _fleet.told.setdefault(_fleet.turn, Told())
    _fleet.passes += passes
    mine.passes += passes
    for name, value in news.items():
        setattr(mine, name, value)
    return True


def together(
    jobs: Iterable[Job],
    places: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
    admit: Callable[[Job], bool] = lambda job: True,
) -> Iterator[tuple[Job, Any]]:
    """Carry jobs on in turns, and yield each with its outcome as it ends.

    Parameters
    ----------
    jobs
        In the order in which they are begun, as far as what they wait for allows.
    places
        Says how many go on side by side, >= 1; asked once a round.
    stop
        Asked once a round; once it says so nothing more is begun, and what runs stops at its next good moment.
    admit
        Asked before a job is begun; one that it refuses is asked for again later.

    Yields
    ------
    job, outcome
        What the work returned; or the exception that ended it, which stops no other: `Stopped` where it was asked to.
    """
    from greenlet import greenlet

    waiting, ended = list(jobs), set[str]()
    running: list[tuple[Job, Any]] = []
    with _begun() as fleet, exact():
        while waiting or running:
            fleet.stopping = fleet.stopping or stop()
            most = places()
            while len(running) < most and not fleet.stopping and (ready := _first(waiting, ended, admit)):
                waiting.remove(ready)
                running.append((ready, greenlet(_outcome, fleet.hub)))
            fleet.running = len(running)
            if not running:
                late = set[str]()  # what waits for these failed no more than they
                for job in waiting:
                    if job.after - ended - late and not fleet.stopping:
                        yield job, _unmet(job, ended | late)
                    else:
                        late.add(job.name)
                        yield job, Stopped("not begun, for want of time")
                return
            done = []
            for job, turns in running:
                fleet.turn = job.name
                outcome = turns.switch(job.work) if not turns else turns.switch()
                if turns.dead:
                    done.append((job, turns, outcome))
            for job, turns, outcome in done:
                running.remove((job, turns))
                fleet.told.pop(job.name, None)
                if not isinstance(outcome, Exception):
                    ended.add(job.name)
                yield job, outcome
            time.sleep(REST)


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        with torch.enable_grad():  # not the mode in which another run paused
            return work()
    except Exception as error:  # whatever it is, it is this run's own
        return error


@contextmanager
def _begun() -> Iterator[_Fleet]:
    from greenlet import getcurrent

    global _fleet
    if _fleet is not None:
        raise RuntimeError("a fleet is on its way already in this process")
    spawned = multiprocessing.get_context(
        "spawn"
    )  # a fork would inherit the GPU's state, which no child can use
    with (
        ThreadPoolExecutor(THREADS) as threads,
        ProcessPoolExecutor(PROCESSES, mp_context=spawned) as processes,
    ):
        _fleet = _Fleet(getcurrent(), threads, processes)
        try:
            yield _fleet
        finally:
            _fleet = None
            processes.shutdown(wait=False, cancel_futures=True)  # nobody waits for them any more
            if torch.cuda.is_initialized():
                torch.cuda.set_stream(torch.cuda.default_stream())


def _first(waiting: list[Job], ended: set[str], admit: Callable[[Job], bool]) -> Job | None:
    return next((job for job in waiting if job.after <= ended and admit(job)), None)


def _unmet(job: Job, ended: set[str]) -> UserError:
    return UserError(f"not begun, for {', '.join(sorted(job.after - ended))} did not end well")
