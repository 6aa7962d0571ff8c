"""Whether a GPU computes what a CPU does: the kernels, the steps of every recipe, a run among others."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gclib.grid.bench.subjects import Scene, few_digits, stages_of, synchronisation_is_an_error, trainer
from gclib.networks.variants import BY_KERNELS, convolution_disagreement, disagreement
from gclib.recipes import Recipe
from gclib.train import fleet
from gclib.train.capture import WARM_UP
from gclib.train.loop import Trainer

__all__ = ["LIMITS", "SHAPES", "convolutions", "kernels", "side_by_side", "steps", "waits"]

SHAPES = ((16, 32), (32, 16), (64, 8))  # channels and pixels of what ResNet-32 normalises
LIMITS = {torch.bfloat16: 0.01, torch.float32: 1e-5}
ROUNDING = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 0.01}  # of a few steps' losses, by precision
STEPS = WARM_UP + 3  # of a recipe: the last ones are replayed


def kernels(
    device: torch.device, batches: tuple[int, ...], seconds: float, shape: tuple[int, int], dtype: torch.dtype
) -> dict[str, Any]:
    """Greatest relative distance of the kernels from torch in float64, by batch size and channels of the shortcut."""
    found, end = {}, time.perf_counter() + seconds
    channels, size = shape
    for batch in batches:
        for added in (0, channels, channels // 2):
            if added == 8 or time.perf_counter() > end:  # no block goes from 8 channels to 16
                continue
            distance = disagreement(device, dtype, batch, added, channels, size)
            what = f"{batch} x {channels} x {size} x {size}, shortcut of {added}, {dtype}"
            found[what] = {"distance": distance, "ok": distance < LIMITS[dtype]}
    return found


def convolutions(
    device: torch.device, batches: tuple[int, ...], seconds: float, shape: tuple[int, int], dtype: torch.dtype
) -> dict[str, Any]:
    """Greatest relative distance of the convolutions by kernels from torch in float64, by batch size."""
    found, end = {}, time.perf_counter() + seconds
    for batch in batches:
        if time.perf_counter() < end:
            distance = convolution_disagreement(device, dtype, batch, *shape, "everything")
            what = f"{batch} x {shape[0]} x {shape[1]} x {shape[1]}, {dtype}"
            found[what] = {"distance": distance, "ok": distance < LIMITS[dtype]}
    return found


def steps(scene: Scene, variant: str, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Distance of each stage's first steps from float64 on the CPU: of the losses, and of what the weights moved by.

    One after another, with the stage's name; none is begun after so many seconds.

    On digits in batches of 16, at a small learning rate: at a recipe's own the precisions part within a few steps. In
    the precision in which runs train there the plain network is the measure for the other one.
    """
    few, end = few_digits(), time.perf_counter() + seconds
    small: dict[str, Any] = {"steps": STEPS, "batch_size": 16, "learning_rate": 1e-3}
    for name, recipe, position in stages_of(few):
        if time.perf_counter() > end:
            break

        def tried(
            device: torch.device, precision: str, way: str, recipe: Recipe = recipe, position: int = position
        ) -> tuple[Tensor, Tensor]:
            return _few_steps(trainer(recipe, position, few, device, precision, way, **small))

        try:
            entry = _distances(tried, scene, variant)
        except Exception as error:  # the other recipes are tried all the same
            entry = {"ok": False, "error": repr(error)[:300]}
        yield name, entry


def _distances(
    tried: Callable[[torch.device, str, str], tuple[Tensor, Tensor]], scene: Scene, variant: str
) -> dict[str, Any]:
    exact = tried(torch.device("cpu"), "float64", "plain")
    found: dict[str, Any] = {}
    trained = scene.precision
    ways = {("float64", "plain"), (trained, variant), (trained, "plain")}
    if not BY_KERNELS.get(variant):  # the kernels of convolutions take minutes to compile in float32
        ways.add(("float32", variant))
    for precision, way in sorted(ways):
        losses, moved = tried(scene.device, precision, way)
        found[f"{precision}, {way}"] = {
            "loss": float(((losses - exact[0]) / exact[0]).abs().max()),
            "weights": float((moved - exact[1]).norm() / exact[1].norm()),
        }
    found["ok"] = (
        found["float64, plain"]["loss"] < ROUNDING["float64"]
        and found[f"{trained}, {variant}"]["loss"]
        < ROUNDING[trained] + 2 * found[f"{trained}, plain"]["loss"]
        and found.get(f"float32, {variant}", {"loss": 0.0})["loss"] < ROUNDING["float32"]
    )
    return found


def _few_steps(made: Trainer) -> tuple[Tensor, Tensor]:
    """Losses, and change of the trained weights: float64 on the CPU."""
    # Else float32 convolutions on a GPU compute with 10 bits.
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with flags, made.on_stream():
        before = _weights(made)
        made.train_epoch(0)
        return torch.tensor(made.step_losses, dtype=torch.float64), _weights(made) - before


def _weights(made: Trainer) -> Tensor:
    assert made.optimizer is not None
    trained = [p for group in made.optimizer.param_groups for p in group["params"]]
    return torch.cat([p.detach().double().cpu().flatten() for p in trained])


def side_by_side(scene: Scene, variant: str) -> dict[str, Any]:
    """Whether a run among others is the run alone, to the last bit."""
    names = ("ce", "gcl-official-cben", "bbn", "ldam-drw")

    def work(name: str) -> Tensor:
        made = scene.trainer(name, variant)
        for epoch in range(2):
            made.train_epoch(epoch)
        with made.on_stream():
            return _weights(made)

    with fleet.exact():
        alone = {name: work(name) for name in names}
    jobs = [fleet.Job(f"{name} {k}", partial(work, name)) for k in range(2) for name in names]
    found: dict[str, Any] = {}
    for job, outcome in fleet.together(jobs, lambda: len(jobs)):
        name = job.name.split()[0]
        same = isinstance(outcome, Tensor) and torch.equal(outcome, alone[name])
        found[job.name] = {"ok": same} | ({"error": repr(outcome)} if isinstance(outcome, Exception) else {})
    return found


def waits(scene: Scene, variant: str) -> dict[str, Any]:
    """Whether the host waits for the GPU within an epoch whose steps are recorded."""
    made = scene.trainer("gcl-official-cben", variant)
    with fleet.exact(), made.on_stream():
        made.train_epoch(0)
        with synchronisation_is_an_error():
            made.train_epoch(1)
    return {"ok": True}
