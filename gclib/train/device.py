"""Where and how to compute: device, precision, compilation. Torch is loaded only where it is asked."""

import ctypes
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from gclib.errors import UserError

if TYPE_CHECKING:
    import torch

__all__ = ["can_compile", "choose_device", "choose_precision", "has_gpu_driver"]


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
    float64 at smoke scale, so that every CPU prints the same; else bfloat16 where it is fast, or float32.
    """
    if scale == "smoke":
        return "float64"
    if device is not None and device.type == "cuda":
        import torch

        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without matrix instructions (AMX) bfloat16 convolutions are slower than float32 ones.
        fast = " amx_tile " in _cpu_information()
    return "bfloat16" if fast else "float32"


def _cpu_information() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def can_compile() -> bool:
    """Whether torch has what it needs to compile for the CPU: a C++ compiler and Python's headers."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()
