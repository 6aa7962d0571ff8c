"""Where and how to compute: device, precision, compilation."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from gclib.errors import UserError

__all__ = ["DTYPES", "can_compile", "choose_device", "choose_precision"]

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
"""Precision to the dtype of weights and inputs; with bfloat16 only the embedding computes in it, by autocast."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device: ``"auto"`` takes CUDA where there is one.

    Raises
    ------
    UserError
        If CUDA is asked for where there is none, or the name is no device.
    """
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


def choose_precision(scale: str, device: torch.device) -> str:
    """Return what to train in: ``"float64"``, ``"float32"`` or ``"bfloat16"``, by the scale of a recipe and the device.

    float64 at smoke scale, so that every CPU prints the same; else bfloat16 where it is fast, or float32.
    """
    if scale == "smoke":
        return "float64"
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without matrix instructions (AMX) bfloat16 convolutions are slower than float32 ones.
        fast = bool(torch.cpu._is_amx_tile_supported())
    return "bfloat16" if fast else "float32"


def can_compile() -> bool:
    """Whether torch has what it needs to compile for the CPU: a C++ compiler and Python's headers."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()
