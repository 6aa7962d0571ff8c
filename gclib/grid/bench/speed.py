"""How fast a device trains and tests these networks, alone and many runs side by side, and what bounds it."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from gclib.grid.bench.subjects import Scene
from gclib.networks import resnet32
from gclib.train import fleet
from gclib.train.loop import Trainer

__all__ = ["dearest", "determinism", "evaluation", "limit", "rates", "run_many", "traffic"]

WINDOW = {"cuda": 1.0, "cpu": 0.1}  # seconds for which a rate is taken


def rates(measure: Callable[[int], float], beside: tuple[int, ...], end: float) -> dict[str, float]:
    """Images a second in sum by the number of runs side by side, as far as the time until `end` reaches."""
    found: dict[str, float] = {}
    for runs in beside:
        if time.perf_counter() < end:
            found[str(runs)] = round(measure(runs), 1)
    return found


def run_many(scene: Scene, name: str, variant: str) -> Callable[[int], float]:
    """Return what measures images a second of so many runs of a recipe's first stage; it keeps what is recorded."""
    ready: list[Trainer] = []

    def begin(made: Trainer) -> Trainer:
        made.train_epoch(0)  # with the recording
        return made

    def go_on(made: Trainer, end: float) -> int:
        epochs = 0
        while time.perf_counter() < end:
            made.train_epoch(0)
            epochs += 1
        return epochs * scene.steps * made.settings.batch_size

    def measure(runs: int) -> float:
        new = range(len(ready), runs)
        begun = [scene.trainer(name, variant, seed) for seed in new]
        ready.extend(_side_by_side([partial(begin, made) for made in begun]))
        since = time.perf_counter()
        end = since + WINDOW[scene.device.type]
        images = _side_by_side([partial(go_on, made, end) for made in ready[:runs]])
        scene.synchronize()
        return sum(images) / (time.perf_counter() - since)

    return measure


def _side_by_side(work: list[Callable[[], Any]]) -> list[Any]:
    outcomes = []
    for _, outcome in fleet.together(
        [fleet.Job(str(k), w) for k, w in enumerate(work)], lambda: len(work) or 1
    ):
        if isinstance(outcome, Exception):
            raise outcome
        outcomes.append(outcome)
    return outcomes


def determinism(scene: Scene, name: str, variant: str) -> dict[str, float]:
    """Images a second of one run, by what cuDNN may choose from."""
    found = {}
    ways = {"deterministic": (False, True), "free": (False, False), "free, the fastest tried": (True, False)}
    for what, (benchmark, deterministic) in ways.items():
        made = scene.trainer(name, variant)
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, deterministic=deterministic)
        with flags, made.on_stream():
            found[what] = round(_rate(scene, made), 1)
    return found


def _rate(scene: Scene, made: Trainer) -> float:
    made.train_epoch(0)
    scene.synchronize()
    since, epochs = time.perf_counter(), 0
    while time.perf_counter() < since + WINDOW[scene.device.type]:
        made.train_epoch(0)
        epochs += 1
    return epochs * scene.steps * made.settings.batch_size / (time.perf_counter() - since)


def dearest(scene: Scene, name: str, variant: str) -> dict[str, Any]:
    """The ten kernels that take most of a step: microseconds and launches a step, and share of the time."""
    on_gpu = scene.device.type == "cuda"
    made = scene.trainer(name, variant)
    kind = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    with fleet.exact(), made.on_stream():
        made.train_epoch(0)
        scene.synchronize()
        with torch.profiler.profile(activities=[kind]) as profile:
            made.train_epoch(0)
            scene.synchronize()
    time_of = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [e for e in profile.key_averages() if getattr(e, time_of) > 0]
    total = sum(getattr(e, time_of) for e in events)
    events.sort(key=lambda e: -getattr(e, time_of))
    return {
        "launches": sum(e.count for e in events) / scene.steps,
        "microseconds": total / scene.steps,
        "kernels": [
            {
                "name": e.key[:160],
                "launches": e.count / scene.steps,
                "microseconds": getattr(e, time_of) / scene.steps,
                "share": getattr(e, time_of) / total,
            }
            for e in events[:10]
        ],
    }


def evaluation(scene: Scene, variant: str) -> dict[str, float]:
    """Seconds of a test pass, and memory of one run with all that is recorded for it."""
    on_gpu = scene.device.type == "cuda"
    before = torch.cuda.memory_reserved() if on_gpu else 0
    made = scene.trainer("ce", variant)
    with fleet.exact(), made.on_stream():
        made.train_epoch(0)
        repeats = 5 if on_gpu else 1
        for _ in range(repeats):
            made.test_logits()
        since = time.perf_counter()
        for _ in range(repeats):
            made.test_logits()
        seconds = (time.perf_counter() - since) / repeats
    reserved = torch.cuda.memory_reserved() - before if on_gpu else 0
    return {
        "seconds": seconds,
        "images_per_second": len(scene.data.test) / seconds,
        "megabytes": reserved / 1e6,
    }


def limit(scene: Scene) -> dict[str, Any]:
    """Bytes a second of a large copy, read and written, and the images a second that they allow."""
    elements = 1 << (29 if scene.device.type == "cuda" else 20)
    source = torch.zeros(elements, dtype=torch.bfloat16, device=scene.device)
    target = torch.empty_like(source)
    target.copy_(source)
    scene.synchronize()
    since = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    scene.synchronize()
    bandwidth = 10 * 2 * source.nbytes / (time.perf_counter() - since)
    found: dict[str, Any] = {"bytes_per_second": bandwidth}
    for variant, moved in traffic(scene.data.train.images.shape[1]).items():
        found[variant] = {"bytes_per_image": moved, "images_per_second": bandwidth / moved}
    return found


def traffic(pixels: int) -> dict[str, int]:
    """Bytes of activations and their gradients that a step of ResNet-32 moves per image, in bfloat16.

    Each convolution reads and writes its input, output and their gradients three times in sum. Norm and ReLU read or
    write 13 tensors as torch computes them, with a shortcut 19; 8 and 14 by the kernels. ``"once"``: if all of that
    happened while a convolution has the values at hand.
    """
    network, sizes = resnet32(10), []

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        sizes.append((inputs[0].numel(), output.numel()))

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, pixels, pixels))
    for hook in hooks:
        hook.remove()
    convolutions = 3 * sum(taken + given for taken, given in sizes)
    normed = [given for _, given in sizes]
    added = normed[2::2]  # the second of each block; the stem has no shortcut
    alone = sum(normed) - sum(added)
    return {
        "plain": 2 * (convolutions + 13 * alone + 19 * sum(added)),
        "norms": 2 * (convolutions + 8 * alone + 14 * sum(added)),
        "once": 2 * (convolutions + 3 * sum(added)),
    }
