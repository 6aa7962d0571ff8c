"""A part of the probe in a process of its own: ``python -m gclib.bench PART DEVICE``; see `gclib.bench.probe.Aside`."""

import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import torch

from gclib import recipes
from gclib.bench import correctness
from gclib.bench.subjects import Scene, trainer
from gclib.train import fleet


def inductor(device: torch.device) -> bool:
    """Compile the embedding, so that the compiler's cache has it."""
    scene = Scene.on(device)
    for name in ("ce", "gcl-official-cben"):
        recipe = recipes.get(name).resolve(scene.data, "paper")
        made = trainer(recipe, 0, scene.data, device, scene.precision, "inductor", steps=2)
        with fleet.exact(), made.on_stream():
            made.train_epoch(0)
    return True


def compared(
    what: Callable[[torch.device, tuple[int, ...], float, tuple[int, int], torch.dtype], dict],
    device: torch.device,
) -> dict:
    """Compare kernels with torch: all shapes that occur on a GPU, a few small ones under the interpreter."""
    batches = (128, 64, 100, 512, 1024) if device.type == "cuda" else (1,)
    cases = list(product(correctness.SHAPES, correctness.LIMITS))
    workers = len(cases) if device.type == "cuda" else 1  # each compiles what is its own
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        calls = [pool.submit(what, device, batches, 12, *case) for case in cases]
        return {name: entry for call in calls for name, entry in call.result().items()}


if __name__ == "__main__":
    part, name = sys.argv[1:]
    parts: dict[str, Callable[[torch.device], Any]] = {
        "inductor": inductor,
        "kernels": partial(compared, correctness.kernels),
        "convolutions": partial(compared, correctness.convolutions),
    }
    print(json.dumps(parts[part](torch.device(name))))
