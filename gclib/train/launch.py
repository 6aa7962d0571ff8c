"""Several processes started together by torch's own launcher: they end together, and say in one line why."""

import ctypes
import json
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from gclib.errors import UserError

__all__ = ["launch", "launched", "one_of_many"]

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # where the launcher reads why a process ended
LOST = "lost the others"  # what a process says that ends because another one did
GRACE = 5  # seconds that processes get to end by themselves
ON_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def launched() -> bool:
    """Whether ``torchrun``, or `launch`, has started this process."""
    return "LOCAL_RANK" in os.environ


def launch(command: Iterable[str], processes: int) -> None:
    """Start a Python command in several processes of this machine, as ``torchrun --standalone`` does, and wait.

    Parameters
    ----------
    command
        What Python is given.
    processes
        How many, >= 1.

    Raises
    ------
    UserError
        If one of them ends badly, with what it said; the others have ended then too.
    KeyboardInterrupt
        When interrupted or terminated, once all have ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # it tells at length what is said here in a line
    with TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="gclib",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            shutdown_timeout=GRACE,
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            raise UserError(_reason(error.failures, processes)) from None
        except SignalException:
            raise KeyboardInterrupt from None
        finally:
            logging.disable(logging.NOTSET)


def _reason(failures: Mapping[int, Any], processes: int) -> str:
    """Say why the processes ended: what one of them said, else the signal that ended one."""
    said = {}
    for rank, failure in failures.items():
        if isinstance(failure.message, dict) and "message" in failure.message:
            said[rank] = str(failure.message["message"])
    own = [text for text in said.values() if LOST not in text]
    if own:
        return own[0]
    silent = {rank: failure.exitcode for rank, failure in failures.items() if rank not in said}
    if not silent:
        return min(said.values())
    # What was told to end because another had ended is not the reason.
    rank, code = min(silent.items(), key=lambda one: (one[1] == -signal.SIGTERM, one[0]))
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
    return (
        f"process {rank} of {processes} {how}, and the others with it; "
        "what the last checkpoint has is kept: give the command again to go on"
    )


@contextmanager
def one_of_many() -> Iterator[None]:
    """Be one of the processes of `launch`, or of ``torchrun``: die with it, and tell it alone why this one ended."""
    # An interrupted process ends without a word: all that it writes is written whole or not at all.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(ON_DEATH_OF_PARENT, signal.SIGKILL)
    if os.environ.get("RANK", "0") != "0":
        warnings.simplefilter("ignore")  # the first process warns
    try:
        yield
    except UserError as error:
        _tell(str(error))
        raise SystemExit(2) from None


def _tell(message: str) -> None:
    if not os.environ.get(ERROR_FILE):
        print(message, file=sys.stderr)
        return
    told = {"message": message, "extraInfo": {"py_callstack": message, "timestamp": str(int(time.time()))}}
    with open(os.environ[ERROR_FILE], "w", encoding="utf-8") as file:
        json.dump({"message": told}, file)
