"""A part of the probe in a process of its own: ``python -m gclib.grid.bench PART DEVICE [VARIANT]``.

It prints what it found so far as a line of JSON, again and again; see `gclib.grid.bench.probe.Aside`.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product
from multiprocessing import get_context

import torch

from gclib.grid.bench import correctness
from gclib.grid.bench.subjects import Scene
from gclib.networks import usable


def checks(device: torch.device, variant: str) -> None:
    """Print what was found of a variant so far, runs side by side and steps, again after each stage."""
    if not usable(device, variant):
        raise RuntimeError("its kernels do not compile, or do not agree with torch")
    scene = Scene.on(device)
    found = {
        f"side by side, {name}": entry for name, entry in correctness.side_by_side(scene, variant).items()
    }
    for name, entry in correctness.steps(scene, variant, float("inf")):
        found[f"steps, {name}"] = entry
        print(json.dumps(found), flush=True)


def compared(
    what: Callable[[torch.device, tuple[int, ...], float, tuple[int, int], torch.dtype], dict],
    device: torch.device,
) -> None:
    """Compare kernels with torch on all shapes that occur, on a CPU on a few small ones; print what was found so far.

    A process for each shape compiles what is its own: first in bfloat16, in which runs train, then in float32, which
    takes the convolutions minutes.
    """
    on_gpu = device.type == "cuda"
    batches = (128, 64, 100, 512, 1024) if on_gpu else (1,)
    found: dict[str, dict] = {}
    with ProcessPoolExecutor(len(correctness.SHAPES) if on_gpu else 1, get_context("spawn")) as pool:
        cases = product(correctness.LIMITS, correctness.SHAPES)
        calls = [pool.submit(what, device, batches, 12, shape, dtype) for dtype, shape in cases]
        for call in as_completed(calls):
            found |= call.result()
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    part, name, *more = sys.argv[1:]
    parts: dict[str, Callable[..., None]] = {
        "checks": checks,
        "kernels": partial(compared, correctness.kernels),
        "convolutions": partial(compared, correctness.convolutions),
    }
    parts[part](torch.device(name), *more)
