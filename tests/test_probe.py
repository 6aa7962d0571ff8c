"""The probe runs to its end, whatever fails in it, and its choice follows from what it measured."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import ClassVar

import pytest
import torch
from processes import PATIENCE, until

from gclib import ROOT
from gclib.grid import here
from gclib.grid.bench import __main__ as parts_aside
from gclib.grid.bench import correctness, fastest, probe, speed
from gclib.grid.bench.probe import Aside, _not_wrong, _parts, _Report, _seen_right
from gclib.grid.bench.subjects import Scene, few_digits
from gclib.networks import VARIANTS
from gclib.tables import gpu


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A rehearsal on the CPU in a moment that does not pass, with a part that fails."""
    folder = tmp_path_factory.mktemp("bench")

    def failing(*arguments: object) -> None:
        (path,) = folder.iterdir()
        raise RuntimeError(f"no copy engine after {', '.join(json.loads(path.read_text())['parts'])}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "limit", failing)
        patch.setattr(_Report, "left", lambda report: 0.2)
        report, path = probe(torch.device("cpu"), 0.2, folder)
    assert json.loads(path.read_text()) == report
    return report


def test_a_part_that_fails_is_entered_and_stops_no_other_and_those_before_it_are_written(
    rehearsal: dict,
) -> None:
    parts = rehearsal["parts"]
    before = "environment, usual variant, steps, side by side"
    assert parts["limit"]["error"] == f"RuntimeError: no copy engine after {before}"
    assert "KeyError" in parts["fraction"]["error"]  # what needs it fails too
    assert "result" in parts["dearest kernels"]
    assert rehearsal["environment"]["device"] == "cpu"


def test_what_runs_side_by_side_is_what_runs_alone(rehearsal: dict) -> None:
    assert all(entry["ok"] for entry in rehearsal["parts"]["side by side"]["result"].values())


def test_a_rate_counts_the_images_of_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 9.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    assert speed.rates(lambda runs: 100.0 * runs, (4, 1, 2), end=5) == {"4": 400.0, "1": 100.0}


def test_a_variant_must_be_clearly_faster() -> None:
    assert fastest({"plain": {"1": 10, "8": 40}, "norms": {"8": 41}})["variant"] == "plain"
    assert fastest({"norms": {"1": 30, "8": 60, "4": 58}, "plain": {"8": 20}}) == {
        "variant": "norms",
        "places": 4,
        "images_per_second": 58,
    }


RIGHT, WRONG = {"ce": {"ok": True}}, {"ce": {"ok": False}}


class Done(Aside):
    """A part in a process of its own, as if it had found something already."""

    found: ClassVar[dict[str, dict]] = {}  # what is not named takes too long

    def __init__(self, what: str, device: torch.device | None = None, *more: str) -> None:
        self.what = ", ".join([what, *more])

    def result(self, seconds: float) -> dict:
        if self.what not in self.found:
            raise subprocess.TimeoutExpired(self.what, seconds)
        return self.found[self.what]


def report_in(folder: Path, seconds: float = 60) -> _Report:
    return _Report(torch.device("cpu"), "float32", seconds, folder)


@pytest.mark.parametrize(
    ("variant", "found", "right"),
    [
        ("norms", {}, True),  # the usual one, tried in this process
        ("convolutions", {"checks, convolutions": RIGHT}, True),
        ("convolutions", {"checks, convolutions": WRONG}, False),
        ("convolutions", {}, False),
        ("plain", {}, False),
    ],
)
def test_a_variant_that_was_not_seen_right_is_not_measured(
    variant: str, found: dict, right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Done, "found", found)
    report = report_in(tmp_path)
    for name in ("steps", "side by side", "kernels", "convolutions"):
        report.part(name, lambda: RIGHT)
    aside: dict[str, Aside] = {"checks, convolutions": Done("checks", None, "convolutions")}
    assert _seen_right(report, variant, "norms", aside) is right
    for name in ("kernels", "steps"):
        report.part(name, lambda: WRONG)
    assert not _seen_right(report, variant, "norms", aside)


def test_a_probe_that_is_cut_off_has_chosen_among_what_was_seen_right_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    speeds = {"norms": 10.0, "weight-gradients": 15.0}  # convolutions would be faster, but are wrong

    def run_many(scene: Scene, name: str, variant: str) -> Callable[[int], float]:
        if variant not in speeds:
            raise SystemExit
        return lambda runs: runs * speeds[variant]

    for module, name, result in (
        (probes := import_module("gclib.grid.bench.probe"), "choose_variant", "norms"),
        (correctness, "steps", RIGHT.items()),
        (correctness, "side_by_side", RIGHT),
        (correctness, "waits", {}),
        (speed, "limit", {}),
    ):
        monkeypatch.setattr(module, name, lambda *_, result=result: result)
    monkeypatch.setattr(speed, "run_many", run_many)
    monkeypatch.setattr(probes, "Aside", Done)
    monkeypatch.setattr(
        Done,
        "found",
        {f"checks, {name}": right for name, right in (("weight-gradients", RIGHT), ("convolutions", WRONG))},
    )
    scene = Scene(torch.device("cuda"), "bfloat16", few_digits(), 2, (2, 1))
    report = report_in(tmp_path)
    with pytest.raises(SystemExit):
        _parts(report, scene, {name: Done(name) for name in ("kernels", "convolutions")})
    written = json.loads(report.path.read_text())
    assert written["fastest"] == {"variant": "weight-gradients", "places": 2, "images_per_second": 30.0}
    assert list(written["parts"])[-1] == "rates, weight-gradients"
    assert "checks, convolutions: 0.0 s; ce\n" in (printed := capsys.readouterr().out)
    assert "rates, norms: 0.0 s; 2 side by side 20/s, 1 side by side 10/s" in printed


def test_without_time_left_nothing_is_begun(tmp_path: Path) -> None:
    report = report_in(tmp_path, seconds=0)
    assert report.part("dear", lambda: pytest.fail("it was begun")) is None
    assert "no time" in json.loads(report.path.read_text())["parts"]["dear"]["error"]


@pytest.mark.parametrize("found", [True, False])
def test_a_part_that_takes_too_long_is_ended_and_what_it_had_found_counts(found: bool) -> None:
    says = """echo '{"a": {"ok": true}}'; echo '{"a": {"ok": true}, "b": {';""" if found else ""
    part = Aside.__new__(Aside)
    part.printed = TemporaryFile("w+")  # noqa: SIM115
    part.process = subprocess.Popen(
        ["sh", "-c", f"{says} exec sleep 60"], stdout=part.printed, start_new_session=True
    )
    with nullcontext() if found else pytest.raises(subprocess.TimeoutExpired):
        assert part.result(0.5) == {"a": {"ok": True}}
    assert part.process.returncode == -signal.SIGKILL


def test_a_part_that_says_much_does_not_stand_still_until_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nseq 100000\necho '{json.dumps(RIGHT)}'\ntouch {tmp_path / 'ended'}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    part = Aside("checks", torch.device("cpu"))
    until((tmp_path / "ended").exists)  # before anybody asks for its result
    assert part.result(PATIENCE) == RIGHT


def test_a_part_aside_says_again_and_again_what_it_has_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(correctness, "side_by_side", lambda scene, variant: {"ce 0": {"ok": True}})
    monkeypatch.setattr(correctness, "steps", lambda *_: iter([("ce", {"ok": True}), ("bbn", {"ok": False})]))
    parts_aside.checks(torch.device("cpu"), "plain")
    said = [list(json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert said == [["side by side, ce 0", "steps, ce"], ["side by side, ce 0", "steps, ce", "steps, bbn"]]
    with pytest.raises(RuntimeError, match="do not compile"):
        parts_aside.checks(torch.device("cpu"), "norms")


def test_nothing_is_chosen_that_was_not_measured() -> None:
    assert fastest({"norms": {}, "plain": {}}) is None
    assert fastest({"norms": {}, "plain": {"1": 5.0}}) == {
        "variant": "plain",
        "places": 1,
        "images_per_second": 5.0,
    }


def test_what_a_step_moves_is_what_the_network_has() -> None:
    moved = speed.traffic(32)
    assert moved["once"] < moved["norms"] < moved["plain"]
    assert moved["plain"] == pytest.approx(13.2e6, rel=0.02)  # by hand, from the sizes of the 31 convolutions


def test_a_wrong_number_is_named(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    report = report_in(tmp_path)
    report.part("kernels", lambda: {"64 x 16": {"distance": 0.5, "ok": False}, "64 x 32": {"ok": True}})
    assert capsys.readouterr().out.rstrip().endswith("; 64 x 16")


@pytest.mark.parametrize(
    ("entry", "trusted"),
    [
        ({"result": {"64 x 16": {"ok": True}}}, True),
        ({"result": {"64 x 16": {"ok": True}, "64 x 32": {"ok": False}}}, False),
        ({"error": "RuntimeError: an illegal memory access"}, False),
        ({"error": "TimeoutExpired: 12 seconds"}, True),
    ],
)
def test_kernels_that_are_wrong_are_not_measured(entry: dict, trusted: bool) -> None:
    assert _not_wrong(entry) is trusted


def test_the_numbers_of_the_grid_page_stand_in_the_report() -> None:
    report = json.loads((ROOT / "results/bench/gpu/nvidia-h200.json").read_text())
    page = (ROOT / "book/grid.md").read_text()
    rates, limit = (report["parts"][name]["result"] for name in ("rates, norms", "limit"))
    for number in (rates["1"], rates["8"], limit["norms"]["images_per_second"]):
        assert f"{number:,.0f}" in page
    assert max(rates.values()) == rates["8"]


def test_a_grid_takes_what_the_probe_found_on_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here._probed(tmp_path, "cpu") is None
    monkeypatch.setattr(here, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert here._probed(tmp_path, "auto") is None
    assert here._probed(ROOT / "results", "auto") == {"variant": "norms", "places": 4}


def test_the_speed_page_shows_a_report_and_one_of_which_every_part_failed() -> None:
    report = json.loads((ROOT / "results/bench/gpu/nvidia-h200.json").read_text())
    assert gpu.checks(report)[-1].endswith(": 8 of 8")
    rates = gpu.rates_table(report).to_markdown()
    assert "| 8 | 71,507 | 67,995 | 71,258 |" in rates
    assert "chosen: norms, 4 side by side, for more are hardly faster" in rates
    goals = gpu.goals_table(report).to_markdown()
    assert "| cross-entropy, a run alone | 45,180 | 60,000 | 55,000 to 68,000 |" in goals
    assert "| GCL's first stage, a run alone | 32,572 | 35,000 |" in goals
    assert "| many runs side by side | 71,507 | 100,000 |" in goals
    assert "unseen there: weight-gradients and convolutions" in goals
    assert gpu.VARIANTS == VARIANTS
    assert "| by the kernels | 10.2 | 413,062 | 17% |" in gpu.limit_table(report).to_markdown()
    kernels = gpu.kernels_table(report).to_markdown()
    assert "356 launches and 2.62 ms" in kernels
    assert "| 13.6% |" in kernels
    failed = {
        "environment": None,
        "fastest": None,
        "parts": {name: {"error": "x"} for name in report["parts"]},
    }
    assert gpu.checks(failed)[0].endswith("not tried to the end")
    assert "| many runs side by side | unseen |" in gpu.goals_table(failed).to_markdown()
    for table in (gpu.rates_table, gpu.limit_table, gpu.kernels_table):
        assert not table(failed).rows
