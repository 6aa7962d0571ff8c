"""The probe: all parts one after another within a budget of time, each guarded; what came out as one JSON file.

The file is written anew after each part, so that a probe which is cut off has told what it found until then.
"""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gclib.files import write_atomically
from gclib.grid.bench import correctness, speed
from gclib.grid.bench.subjects import Scene
from gclib.networks import VARIANTS, choose_variant
from gclib.networks.variants import BY_KERNELS
from gclib.train.environment import device_name, environment

__all__ = ["Aside", "fastest", "probe", "report_path"]

LARGE, SMALL = "ce", "gcl-official-cben"  # the recipes that are timed: batches of 128 and of 64 images
CHECKS, RATES = "checks, ", "rates, "  # names of parts begin so, and end with a variant
GAIN = 1.05  # by how much more runs side by side, or another variant, must be faster to be chosen


class Aside:
    """A part in a process of its own: beside the others, a fault of the device stays there, and it can be ended.

    Parameters
    ----------
    what, device, more
        See `gclib.grid.bench.__main__`.
    """

    def __init__(self, what: str, device: torch.device, *more: str) -> None:
        variables = {} if device.type == "cuda" else {"TRITON_INTERPRET": "1"}
        command = [sys.executable, "-m", "gclib.grid.bench", what, str(device), *more]
        # A pipe is full after 64 KiB, and it would stand still.
        self.printed = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=self.printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self) -> None:
        """End it, and what it began."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def result(self, seconds: float) -> Any:
        """What it found: the last line of JSON that it printed, also if it takes longer and is ended.

        Raises
        ------
        RuntimeError
            If it fails, with its last words.
        subprocess.TimeoutExpired
            If it takes longer and has found nothing yet.
        """
        late = None
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired as error:
            late = error
        finally:
            self.end()
        self.process.wait()
        self.printed.seek(0)
        printed = self.printed.read()
        if self.process.returncode and not late:
            raise RuntimeError(printed.strip()[-500:])
        found = re.findall(r"^\{.*\}$", printed, re.MULTILINE)
        if late and not found:
            raise late
        return json.loads(found[-1])


class _Report:
    def __init__(self, device: torch.device, precision: str, seconds: float, folder: Path) -> None:
        name = device_name(device) if device.type == "cuda" else f"rehearsal on a {device_name(device)}"
        self.path = report_path(folder, name)
        self.begun = time.perf_counter()
        self.end = self.begun + seconds
        self.content: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": None,
            "budget": seconds,
            "fastest": None,
            "parts": {},
        }
        state = {
            "threads": torch.get_num_threads(),
            "precision": precision,
            "compiled": False,
            "devices": [device_name(device)],
        }

        def described() -> dict[str, Any]:
            self.content["environment"] = environment(device, [state]).model_dump(mode="json")
            return self.content["environment"]

        self.part("environment", described)

    def left(self) -> float:
        return self.end - time.perf_counter()

    def until(self, share: float) -> float:
        """When a share of the time that is left will be over."""
        return time.perf_counter() + share * max(0.0, self.left())

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a part if there is time, enter what came out or how it failed, and return it; None if it failed."""
        begun = time.perf_counter()
        entry: dict[str, Any] = {}
        try:
            if self.left() <= 0:
                raise TimeoutError("no time was left")
            entry["result"] = work()
        except Exception as error:  # whatever it is, it stops no other part
            entry["error"] = f"{type(error).__name__}: {error}"[:1000]
        if torch.cuda.is_initialized():
            gc.collect()  # what a part recorded holds memory of the GPU
            torch.cuda.empty_cache()
        entry["seconds"] = round(time.perf_counter() - begun, 2)
        self.content["parts"][name] = entry
        self.content["seconds"] = round(time.perf_counter() - self.begun, 1)
        write_atomically(self.path, json.dumps(self.content, indent=1).encode() + b"\n")
        said = entry.get("error") or ", ".join(_wrong(entry.get("result")))
        if name.startswith(RATES) and not said:
            said = ", ".join(f"{runs} side by side {rate:,.0f}/s" for runs, rate in entry["result"].items())
        print(
            f"{self.left():6.1f} s left  {name}: {entry['seconds']} s{'; ' + said[:300] if said else ''}",
            flush=True,
        )
        return entry.get("result")


def _wrong(result: Any) -> list[str]:
    """Names of what was checked and is not right."""
    named = result.items() if isinstance(result, dict) else ()
    return [name for name, entry in named if isinstance(entry, dict) and entry.get("ok") is False]


def _not_wrong(entry: dict[str, Any]) -> bool:
    """Whether a part found nothing wrong; one that was not done in time did not."""
    late = entry.get("error", "").startswith("Timeout")
    return late or ("result" in entry and not _wrong(entry["result"]))


def _right(entry: dict[str, Any]) -> bool:
    """Whether a part found something, and nothing wrong: without time there is nothing."""
    return bool(entry.get("result")) and not _wrong(entry["result"])


def probe(device: torch.device, seconds: float, folder: Path) -> tuple[dict[str, Any], Path]:
    """Try a device within so many seconds, or few more; write the report part by part, and return it with its path.

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
    report = _Report(device, scene.precision, seconds, folder)
    aside = {name: Aside(name, device) for name in ("kernels", "convolutions")}
    before = signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # what goes on aside shall not outlive it
    try:
        _parts(report, scene, aside)
    finally:
        signal.signal(signal.SIGTERM, before)
        for one in aside.values():
            one.end()
    return report.content, report.path


def report_path(folder: Path, device: str) -> Path:
    """Return where the report on a device lies, by the name that torch gives it."""
    return folder / (re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + ".json")


def _parts(report: _Report, scene: Scene, aside: dict[str, Aside]) -> None:
    part, content = report.part, report.content
    usual = part("usual variant", lambda: choose_variant(scene.device)) or "plain"
    if scene.device.type == "cuda":
        for variant in set(VARIANTS) - {"plain", usual}:
            aside[CHECKS + variant] = Aside("checks", scene.device, variant)
    part("steps", lambda: dict(correctness.steps(scene, usual, 0.12 * report.left())))
    part("side by side", lambda: correctness.side_by_side(scene, usual))
    if scene.device.type == "cuda":
        part("no waiting", lambda: correctness.waits(scene, usual))
    part("limit", lambda: speed.limit(scene))
    for name in ("kernels", "convolutions"):
        part(name, partial(aside[name].result, 0.12 * report.left()))
    measured: dict[str, dict[str, float]] = {}

    def timed(variant: str, share: float) -> None:
        def work() -> dict[str, float]:
            measure = speed.run_many(scene, LARGE, variant)
            measured[variant] = speed.rates(measure, scene.beside, report.until(share))
            content["fastest"] = fastest(measured)  # for it was seen right, as all that are measured
            return measured[variant]

        part(RATES + variant, work)

    # The simplest that is known to be fast comes first: another must be clearly faster.
    variants = [*(name for name in BY_KERNELS if _seen_right(report, name, usual, aside)), "plain"]
    for number, variant in enumerate(variants):
        timed(variant, 1 / (2 + len(variants) - number))
    best = content["fastest"]["variant"] if content["fastest"] else usual
    content["fraction"] = part("fraction", lambda: _fraction(content))
    part("dearest kernels", lambda: speed.dearest(scene, LARGE, best))
    part("evaluation and memory", lambda: speed.evaluation(scene, best))
    part("determinism", lambda: speed.determinism(scene, LARGE, best))
    small = partial(speed.run_many, scene, SMALL, best)
    part(RATES + SMALL, lambda: speed.rates(small(), scene.beside, report.until(0.8)))


def _seen_right(report: _Report, variant: str, usual: str, aside: dict[str, Aside]) -> bool:
    """Whether kernels, steps and runs side by side of a variant were tried, and nothing was found wrong."""
    parts = report.content["parts"]
    kernels = ["kernels"] if variant in BY_KERNELS else []
    if BY_KERNELS.get(variant):
        kernels.append("convolutions")
    if not all(_not_wrong(parts[name]) for name in kernels):
        return False
    if variant == usual:
        return all(_right(parts[name]) for name in ("steps", "side by side"))
    name = CHECKS + variant
    if name not in aside:
        return False
    report.part(name, lambda: aside[name].result(0.25 * report.left()))
    return _right(parts[name])


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
