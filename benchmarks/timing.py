"""Timings that may be compared: the contestants take turns in one process, so that all see the same machine."""

import time
from collections.abc import Callable, Mapping

__all__ = ["interleave"]


def interleave(
    contestants: Mapping[str, Callable[[], object]], repeats: int, per: int = 1
) -> dict[str, list[float]]:
    """Seconds of each contestant, A B C A B C ..., after one turn each that is not counted.

    `per` is the number of steps or calls in one turn; the seconds are those of one of them.
    """
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - begun) / per)
    return seconds
