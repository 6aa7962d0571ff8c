"""What the probe found on a GPU: how fast it trains, what its memory would allow, where the time goes."""

import re
from collections.abc import Mapping
from typing import Any

from gclib import recipes
from gclib.tables.table import Code, Item, Table

__all__ = ["checks", "goals_table", "images_per_second", "kernels_table", "limit_table", "rates_table"]

PREFIX = "rates, "  # of the parts of a report that hold images a second by runs side by side


VARIANTS = "plain", "norms", "weight-gradients", "convolutions"  # as in `gclib.networks`, which loads torch
SMALL = "gcl-official-cben"  # the recipe of batches of 64 that is timed beside cross-entropy's of 128
GOALS = {
    "cross-entropy, a run alone": ("60,000", "55,000 to 68,000"),
    "GCL's first stage, a run alone": ("35,000", "more than 35,000"),
    "many runs side by side": ("100,000", "85,000 to 110,000"),
}
"""What one card is to reach in training images a second, and what we bet that our convolutions reach."""

CHECKS = {
    "steps": "stages whose first steps agree with the CPU",
    "kernels": "comparisons in which our kernels agree with torch",
    "convolutions": "comparisons in which our convolutions agree with torch",
    "side by side": "runs among others that are the run alone to the last bit",
}


def checks(report: Mapping[str, Any]) -> list[str]:
    """Say in a line for each kind of check how many were right, of how many.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote.
    """
    lines = []
    for name, what in CHECKS.items():
        found = report["parts"].get(name, {}).get("result") or {}
        right = sum(entry["ok"] for entry in found.values())
        if name in report["parts"]:  # a report may be older than a check
            lines.append(f"{what}: {right} of {len(found)}" if found else f"{what}: not tried to the end")
    return lines


def goals_table(report: Mapping[str, Any]) -> Table:
    """What was seen on a card beside what was aimed at, and beside a bet on what no card has shown yet.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote. The caption says by which of `gclib.networks.VARIANTS` nothing was timed.
    """
    rates = images_per_second(report)
    ours = [by_runs for name, by_runs in rates.items() if name not in recipes.names()]
    seen = [
        max((by_runs["1"] for by_runs in ours if "1" in by_runs), default=None),
        rates.get(SMALL, {}).get("1"),
        max((rate for by_runs in ours for rate in by_runs.values()), default=None),
    ]
    rows = [
        [what, _whole(rate) or "unseen", *numbers]
        for (what, numbers), rate in zip(GOALS.items(), seen, strict=True)
    ]
    untimed = [name for name in VARIANTS if name not in rates]
    caption = f"{_device(report)}: training images a second" + (
        f"; unseen there: {' and '.join(untimed)}" if untimed else ""
    )
    return Table.of(["what", "seen, best", "aimed at", "our bet on convolutions"], rows, caption)


def images_per_second(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By variant, or the name of a recipe that is timed beside: training images a second in sum by the number of runs.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote. A part that failed or found no time is left out.
    """
    return {
        name.removeprefix(PREFIX): part["result"]
        for name, part in report["parts"].items()
        if name.startswith(PREFIX) and part.get("result")
    }


def rates_table(report: Mapping[str, Any]) -> Table:
    """Images a second in sum by the number of runs side by side, a column for each recipe and way to compute it.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote.
    """
    rates = images_per_second(report)
    beside = sorted({runs for by_runs in rates.values() for runs in by_runs}, key=int)
    rows = [[runs, *(_whole(by_runs.get(runs)) for by_runs in rates.values())] for runs in beside]
    best = report["fastest"]
    chosen = (
        f"chosen: {best['variant']}, {best['places']} side by side, for more are hardly faster"
        if best
        else "there was no time to choose"
    )
    caption = f"{_device(report)}: training images a second in sum; {chosen}"
    names = recipes.names()
    header = [
        f"{name}, {best['variant'] if best else ''}" if name in names else f"ce, {name}" for name in rates
    ]
    return Table.of(["runs side by side", *header], rows, caption)


def limit_table(report: Mapping[str, Any]) -> Table:
    """Bytes that a step moves per image, the images a second that a copy's speed allows, and the part reached.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote. Without a measured copy there are no rows.
    """
    limit = report["parts"].get("limit", {}).get("result") or {}
    names = {"plain": "as torch computes it", "norms": "by the kernels", "once": "each value read once"}
    rows = []
    for name, what in names.items():
        if name not in limit:
            continue
        allowed = limit[name]["images_per_second"]
        rates = (report["parts"].get(PREFIX + name, {}).get("result") or {}).values()
        reached = f"{100 * max(rates) / allowed:.0f}%" if rates else ""
        rows.append([what, f"{limit[name]['bytes_per_image'] / 1e6:.1f}", _whole(allowed), reached])
    copied = f"; a copy moves {limit['bytes_per_second'] / 1e12:.2f} TB a second" if limit else ""
    header = ["activations and gradients", "MB per image", "images/s that the memory allows", "reached"]
    return Table.of(header, rows, f"{_device(report)}: what bounds it{copied}")


def kernels_table(report: Mapping[str, Any]) -> Table:
    """Ten dearest kernels of a step of cross-entropy.

    Parameters
    ----------
    report
        What `gclib.grid.bench.probe` wrote. Where the profile failed there are no rows.
    """
    found = report["parts"].get("dearest kernels", {}).get("result") or {"kernels": []}
    rows: list[list[list[Item]]] = [
        [
            [Code(_short(one["name"]))],
            [f"{one['launches']:.0f}"],
            [f"{one['microseconds']:.0f}"],
            [f"{100 * one['share']:.1f}%"],
        ]
        for one in found["kernels"]
    ]
    whole = (
        f", of {found['launches']:.0f} launches and {found['microseconds'] / 1000:.2f} ms in all"
        if rows
        else ""
    )
    header = ["kernel", "launches a step", "microseconds a step", "share"]
    return Table(header, rows, f"{_device(report)}: the dearest kernels of one run's step{whole}")


def _device(report: Mapping[str, Any]) -> str:
    where = report["environment"] or {}
    return f"{where.get('device', 'a device')}, {where.get('precision', 'precision unknown')}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _short(name: str) -> str:
    """Without what C++ puts before it: return type and name spaces."""
    return re.sub(r"\w+::", "", name.removeprefix("void "))[:100]
