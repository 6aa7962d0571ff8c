"""Processes that tests start, and how long they wait for what these do."""

import multiprocessing
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 240  # seconds: a machine may be busy, and what is waited for does come

# Each process is forked from one that has imported torch and trained nothing: a start costs no import.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["gclib.cli", "gclib.grid", "gclib.train.runs", "sklearn.datasets", "training"]
PRELOADED += ["torch._dynamo", "torch.distributed.launcher.api"]
PROCESSES.set_forkserver_preload(PRELOADED)


def until(condition: Callable[[], Found]) -> Found:
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found
