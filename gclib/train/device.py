"""Where and how to compute: device, precision, compilation. Torch is loaded only where it is asked."""

import ctypes
import json
import os
import platform
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gclib.errors import UserError
from gclib.files import cache_folder, write_atomically

if TYPE_CHECKING:
    import torch

__all__ = [
    "can_compile",
    "choose_device",
    "choose_precision",
    "has_gpu_driver",
    "measure_precision",
    "using_threads",
]


def has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is there; without it torch finds no GPU, and need not be loaded to say so."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(name: str = "auto") -> "torch.device":
    """Return the device: ``"auto"`` takes CUDA where there is one.

    Raises
    ------
    UserError
        If CUDA is asked for where there is none, or the name is no device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device {name!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not (
        torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    ):
        raise UserError(
            f"device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    return device


def choose_precision(scale: str, device: "torch.device | None" = None) -> str:
    """Return what to train in: ``"float64"``, ``"float32"`` or ``"bfloat16"``, by the scale of a recipe and the device.

    None is the CPU.
    float64 at smoke scale, so that every CPU prints the same; else bfloat16 where it is fast, or float32. A CPU with
    matrix instructions (AMX) is fast in it; another is where `measure_precision` found it so, for runs of paper
    scale only.
    """
    if scale == "smoke":
        return "float64"
    if device is not None and device.type == "cuda":
        import torch

        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = _has_amx() or (scale == "paper" and _measured().get(_how()) == "bfloat16")
    return "bfloat16" if fast else "float32"


def measure_precision() -> None:
    """Find out whether training steps on this CPU take less time in bfloat16 or in float32, once for all.

    A second of each, compiled where runs are, which takes a minute more: the casts of bfloat16 then cost little. The
    faster one is kept in the cache of the user, by the name of the CPU and whether it was compiled, so that a run that
    goes on finds what it began with.
    """
    found = _measured()
    if _has_amx() or _how() in found:
        return
    steps = {
        precision: _training_step(precision == "bfloat16", can_compile())
        for precision in ("float32", "bfloat16")
    }
    least = dict.fromkeys(steps, float("inf"))
    end = time.perf_counter() + 2
    while float("inf") in least.values() or time.perf_counter() < end:
        for precision, step in steps.items():  # in turns, so that a busy machine slows both
            begun = time.process_time()
            step()
            least[precision] = min(least[precision], time.process_time() - begun)
    faster = min(least, key=lambda precision: least[precision])
    with suppress(RuntimeError, UserError):  # no home, or one that cannot be written to: float32 stays
        write_atomically(_cache(), json.dumps(found | {_how(): faster}).encode())


def _training_step(in_bfloat16: bool, compiled: bool) -> Callable[[], None]:
    """Forward and backward pass of a batch."""
    import torch

    from gclib.networks import resnet32

    with torch.random.fork_rng(devices=[]):
        network = resnet32(10, "linear").to(memory_format=torch.channels_last)
        images = torch.randn(64, 3, 32, 32).to(memory_format=torch.channels_last)
    network.in_bfloat16 = in_bfloat16
    forward = torch.compile(network, dynamic=False) if compiled else network

    def step() -> None:
        forward(images).square().mean().backward()

    step()
    return step


def _cache() -> Path:
    return cache_folder() / "precision.json"


def _measured() -> dict[str, str]:
    """What `_how` names to the precision that was found faster; nothing where the file is not what we wrote."""
    try:
        found = json.loads(_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def _how() -> str:
    return processor() + (", compiled" if can_compile() else "")


def processor() -> str:
    """Name of the processor."""
    names = [line for line in _cpu_information().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _has_amx() -> bool:
    return " amx_tile " in _cpu_information()


def _cpu_information() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Compute with so many CPU threads; None leaves torch's number. The caller's comes back.

    Raises
    ------
    UserError
        If the number is below 1.
    """
    import torch

    if count is None:
        yield
        return
    if count < 1:
        raise UserError(f"threads is {count}, expected 1 or more; change threads")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def can_compile() -> bool:
    """Whether torch has what it needs to compile for the CPU: a C++ compiler and Python's headers."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()
