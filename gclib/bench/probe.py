"""The probe: all parts one after another within a budget of time, each guarded; what came out as one JSON file."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gclib.bench import correctness, speed
from gclib.bench.subjects import Scene
from gclib.files import write_atomically
from gclib.networks import choose_variant, usable
from gclib.networks.variants import BY_KERNELS
from gclib.train.environment import device_name, environment

__all__ = ["Aside", "fastest", "probe", "report_path"]

LARGE, SMALL = "ce", "gcl-official-cben"  # the recipes that are timed: batches of 128 and of 64 images
GAIN = 1.05  # by how much more runs side by side, or another variant, must be faster to be chosen


class Aside:
    """A part in a process of its own: beside the others, and a fault of the device stays there."""

    def __init__(self, what: str, device: torch.device) -> None:
        variables = {} if device.type == "cuda" else {"TRITON_INTERPRET": "1"}
        command = [sys.executable, "-m", "gclib.bench", what, str(device)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> None:
        """End it, and what it began."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def result(self, seconds: float) -> Any:
        """What it printed last, as JSON.

        Raises
        ------
        RuntimeError
            If it fails, with its last words.
        subprocess.TimeoutExpired
            If it takes longer.
        """
        try:
            printed, _ = self.process.communicate(timeout=max(0.0, seconds))
        finally:
            self.end()
        if self.process.returncode:
            raise RuntimeError(printed.strip()[-500:])
        return json.loads(printed.strip().splitlines()[-1])


class _Report:
    def __init__(self, device: torch.device, precision: str, seconds: float) -> None:
        self.begun = time.perf_counter()
        self.end = self.begun + seconds
        self.content: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": None,
            "budget": seconds,
            "parts": {},
        }
        state = {
            "threads": torch.get_num_threads(),
            "precision": precision,
            "compiled": False,
            "devices": [device_name(device)],
        }
        described = self.part("environment", lambda: environment(device, [state]).model_dump(mode="json"))
        self.content["environment"] = described

    def left(self) -> float:
        return self.end - time.perf_counter()

    def until(self, share: float) -> float:
        """When a share of the time that is left will be over."""
        return time.perf_counter() + share * max(0.0, self.left())

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a part, enter what came out or how it failed, and return it; None if it failed."""
        begun = time.perf_counter()
        entry: dict[str, Any] = {}
        try:
            entry["result"] = work()
        except Exception as error:  # whatever it is, it stops no other part
            entry["error"] = f"{type(error).__name__}: {error}"[:1000]
        gc.collect()  # what a part recorded holds memory of the GPU
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        entry["seconds"] = round(time.perf_counter() - begun, 2)
        self.content["parts"][name] = entry
        failed = entry.get("error") or ", ".join(_wrong(entry.get("result")))
        print(
            f"{self.left():6.1f} s left  {name}: {entry['seconds']} s{'; ' + failed[:300] if failed else ''}",
            flush=True,
        )
        return entry.get("result")


def _wrong(result: Any) -> list[str]:
    """Names of what was checked and is not right."""
    named = result.items() if isinstance(result, dict) else ()
    return [name for name, entry in named if isinstance(entry, dict) and entry.get("ok") is False]


def _not_wrong(entry: dict[str, Any]) -> bool:
    """Whether a part found nothing wrong; one that was not done in time did not."""
    late = entry.get("error", "").startswith("TimeoutExpired")
    return late or ("result" in entry and not _wrong(entry["result"]))


def _right(entry: dict[str, Any]) -> bool:
    """Whether a part found something, and nothing wrong: without time there is nothing."""
    return bool(entry.get("result")) and not _wrong(entry["result"])


def probe(device: torch.device, seconds: float, folder: Path) -> tuple[dict[str, Any], Path]:
    """Try a device within so many seconds, or few more; write the report and return it with its path.

    Parameters
    ----------
    device
        What is tried. A CPU is only rehearsed on: a few steps of a few digits.
    seconds
        Budget. What comes last finds less time, down to nothing.
    folder
        Where the report goes, named for the device.
    """
    scene = Scene.on(device)
    on_gpu = device.type == "cuda"
    report = _Report(device, scene.precision, seconds)
    aside = {
        name: Aside(name, device) for name in ("kernels", "convolutions", *(["inductor"] if on_gpu else []))
    }
    try:
        _parts(report, scene, aside)
    finally:
        for one in aside.values():
            one.end()
    report.content["seconds"] = round(time.perf_counter() - report.begun, 1)
    name = (report.content["environment"] or {}).get("device", str(device))
    if not on_gpu:
        name = f"rehearsal on a {name}"
    path = report_path(folder, name)
    write_atomically(path, json.dumps(report.content, indent=1).encode() + b"\n")
    return report.content, path


def report_path(folder: Path, device: str) -> Path:
    """Return where the report on a device lies, by the name that torch gives it."""
    return folder / (re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + ".json")


def _parts(report: _Report, scene: Scene, aside: dict[str, Aside]) -> None:
    part, content = report.part, report.content
    usual = part("usual variant", lambda: choose_variant(scene.device)) or "plain"
    part("steps", lambda: correctness.steps(scene, usual, 0.2 * report.left()))
    for name in ("kernels", "convolutions"):
        part(name, partial(aside[name].result, 0.15 * report.left()))
    part("side by side", lambda: correctness.side_by_side(scene, usual))
    if scene.device.type == "cuda":
        part("no waiting", lambda: correctness.waits(scene, usual))
    part("limit", lambda: speed.limit(scene))
    measured: dict[str, dict[str, float]] = {}

    def timed(variant: str, share: float) -> None:
        found = part(
            f"rates, {variant}",
            lambda: speed.rates(speed.run_many(scene, LARGE, variant), scene.beside, report.until(share)),
        )
        measured[variant] = found or {}

    # The simplest that is known to be fast comes first: another must be clearly faster.
    variants = [*_by_kernels(report, scene), "plain"]
    for number, variant in enumerate(variants):
        timed(variant, 1 / (2 + len(variants) - number))
    if "inductor" in aside and part("inductor", lambda: aside["inductor"].result(0.3 * report.left())):
        timed("inductor", 0.4)
    content["fastest"] = _fastest_that_is_right(report, scene, measured, usual)
    best = content["fastest"]["variant"] if content["fastest"] else usual
    part("dearest kernels", lambda: speed.dearest(scene, LARGE, best))
    part("evaluation and memory", lambda: speed.evaluation(scene, best))
    part("determinism", lambda: speed.determinism(scene, LARGE, best))
    small = partial(speed.run_many, scene, SMALL, best)
    part(f"rates, {SMALL}", lambda: speed.rates(small(), scene.beside, report.until(0.8)))
    content["fraction"] = part("fraction", lambda: _fraction(content))


def _by_kernels(report: _Report, scene: Scene) -> list[str]:
    """Variants by our kernels in which nothing was found wrong, and that work on the device."""
    parts = report.content["parts"]
    if not _not_wrong(parts["kernels"]):
        return []
    names = [
        name for name, convolved in BY_KERNELS.items() if not convolved or _not_wrong(parts["convolutions"])
    ]
    return report.part("usable", lambda: [name for name in names if usable(scene.device, name)]) or []


def _fastest_that_is_right(
    report: _Report, scene: Scene, measured: dict[str, dict[str, float]], checked: str
) -> dict[str, Any] | None:
    """Choose the fastest variant whose steps were seen right; one that is not `checked` already is checked now."""
    while (chosen := fastest(measured)) and (best := chosen["variant"]) != "plain":
        names = ["steps", "side by side"]
        if best != checked:
            names = [f"{name}, {best}" for name in names]
            report.part(names[0], partial(correctness.steps, scene, best, 0.2 * report.left()))
            report.part(names[1], partial(correctness.side_by_side, scene, best))
        if all(_right(report.content["parts"][name]) for name in names):
            break
        del measured[best]
    return chosen


def fastest(measured: dict[str, dict[str, float]]) -> dict[str, Any] | None:
    """Choose a variant, and the fewest runs side by side that are within 5% of the best.

    Parameters
    ----------
    measured
        By variant: images a second by the number of runs side by side. What comes first is taken where the others are
        not faster by 5%.

    Returns
    -------
    dict or None
        None where no rate could be taken: nothing is chosen that was not measured.

    Examples
    --------
    >>> fastest({"plain": {"1": 20.0, "8": 50.0, "4": 48.0}, "norms": {"8": 51.0}})
    {'variant': 'plain', 'places': 4, 'images_per_second': 48.0}
    """
    variant, best = "", 0.0
    for name, by_runs in measured.items():
        top = max(by_runs.values(), default=0.0)
        if top > GAIN * best:
            variant, best = name, top
    if not variant:
        return None
    enough = {int(runs): rate for runs, rate in measured[variant].items() if rate * GAIN >= best}
    places = min(enough)
    return {"variant": variant, "places": places, "images_per_second": enough[places]}


def _fraction(content: dict[str, Any]) -> float:
    """Part of what the device's memory allows that the fastest variant reaches."""
    chosen = content["fastest"]
    bounds = content["parts"]["limit"]["result"]
    bound = bounds["plain" if chosen["variant"] == "plain" else "norms"]
    return round(chosen["images_per_second"] / bound["images_per_second"], 3)
