"""Where a run is made: device, driver, versions, commit."""

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gclib
from gclib import ROOT, records
from gclib.train.device import choose_device, choose_precision, has_gpu_driver, processor

if TYPE_CHECKING:
    import torch

__all__ = ["Machine", "device_name", "environment", "git_commit", "machine"]

GIT = "GCLIB_GIT"  # names the git directory, where that of the checkout is not what its files came with
OF_A_HOOK = ("GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY")


class Machine(NamedTuple):
    """What the speed of a run depends on, as in its record: device, processor and precision."""

    device: str
    cpu: str
    precision: str


def machine(scale: str) -> Machine:
    """Describe what a run of this scale would be made on here; torch is loaded only where there may be a GPU."""
    device = choose_device() if has_gpu_driver() else None
    return Machine(device_name(device), processor(), choose_precision(scale, device))


def environment(device: "torch.device", states: Iterable[dict[str, Any]]) -> records.Environment:
    """Describe where a run was made.

    Parameters
    ----------
    device
        What its last stage computed on.
    states
        Of its stages in order: ``"devices"``, and if they are there ``"variants"`` and ``"decoders"``, named one after
        another where there was more than one, and the largest ``"side_by_side"`` and ``"processes"``; of the first
        ``"threads"``, ``"precision"`` and ``"compiled"``. See `gclib.train.loop.Trainer.state`.
    """
    import torch

    states = list(states)
    state = states[0]
    variant, decoder = (
        _in_turn(name for each in states for name in each.get(kind, ())) for kind in ("variants", "decoders")
    )
    return records.Environment(
        device=_in_turn(name for each in states for name in each["devices"]),
        driver=_driver() if device.type == "cuda" else None,
        torch=torch.__version__,
        python=platform.python_version(),
        package=gclib.__version__,
        commit=git_commit(),
        threads=state["threads"],
        precision=state["precision"],
        compiled=state["compiled"],
        platform=platform.platform(),
        cpu=processor(),
        variant=None if variant in ("", "plain") else variant,
        side_by_side=max(each.get("side_by_side", 1) for each in states),
        processes=max(each.get("processes", 1) for each in states),
        decoder=decoder or None,
    )


def _in_turn(names: Iterable[str]) -> str:
    return ", then ".join(dict.fromkeys(names))


def device_name(device: "torch.device | None") -> str:
    """``"cpu"``, also for None, or the name of the GPU."""
    if device is None or device.type != "cuda":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)


@cache
def _driver() -> str | None:
    """Version of the NVIDIA driver, as nvidia-smi reports it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


@cache  # asked for where a run begins: what is committed while it runs is none of its code
def git_commit() -> str | None:
    """Commit of the checkout, with ``-dirty`` where a tracked file was changed after it; None outside a checkout."""
    folder = Path(os.environ.get(GIT) or ROOT / ".git")
    if not folder.exists():  # installed below a repository of somebody's own
        return None
    # Named outright, the repository is not refused for its owner, nor replaced by that of a hook around us.
    command = ["git", f"--git-dir={folder}", f"--work-tree={ROOT}"]
    command += ["describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    own = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}
    try:
        run = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
