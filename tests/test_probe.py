"""The probe runs to its end, whatever fails in it, and its choice follows from what it measured."""

import json
from pathlib import Path

import pytest
import torch

from gclib import ROOT
from gclib.bench import correctness, fastest, probe, speed
from gclib.bench.probe import _fastest_that_is_right, _not_wrong, _Report
from gclib.grid import here
from gclib.tables import gpu


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A rehearsal on the CPU in a budget that is over at once, with a part that fails."""

    def failing(*arguments: object) -> None:
        raise RuntimeError("no copy engine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "limit", failing)
        report, path = probe(torch.device("cpu"), 0.2, tmp_path_factory.mktemp("bench"))
    assert json.loads(path.read_text()) == report
    return report


def test_a_part_that_fails_is_entered_and_stops_no_other(rehearsal: dict) -> None:
    parts = rehearsal["parts"]
    assert parts["limit"]["error"] == "RuntimeError: no copy engine"
    assert "KeyError" in parts["fraction"]["error"]  # what needs it fails too
    assert "result" in parts["dearest kernels"]
    assert rehearsal["environment"]["device"] == "cpu"


def test_a_process_that_takes_too_long_is_ended(rehearsal: dict) -> None:
    assert "TimeoutExpired" in rehearsal["parts"]["kernels"]["error"]


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


@pytest.mark.parametrize("steps", [{"ce": {"ok": False}}, {}], ids=["wrong", "no time"])
def test_a_variant_that_was_not_seen_right_is_not_chosen(
    steps: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(scene: None, variant: str, seconds: float) -> dict:
        return steps if variant == "convolutions" else {"ce": {"ok": True}}

    monkeypatch.setattr(correctness, "steps", found)
    monkeypatch.setattr(correctness, "side_by_side", lambda scene, variant: {"ce 0": {"ok": True}})
    report = _Report(torch.device("cpu"), "float32", 5)
    report.part("steps", lambda: steps)
    measured = {"norms": {"4": 10.0}, "weight-gradients": {"4": 15.0}, "convolutions": {"4": 20.0}}
    chosen = _fastest_that_is_right(report, None, measured, "norms")
    assert chosen == {"variant": "weight-gradients", "places": 4, "images_per_second": 15.0}
    assert {"side by side, convolutions", "steps, weight-gradients"} <= set(report.content["parts"])
    assert _fastest_that_is_right(report, None, {"norms": {"4": 10.0}}, "norms") is None


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


def test_a_wrong_number_is_named(capsys: pytest.CaptureFixture) -> None:
    report = _Report(torch.device("cpu"), "float32", 5)
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
    assert here._probed(ROOT / "results", "auto") == {
        "variant": "norms",
        "places": 4,
        "images_per_second": 69789.4,
    }


def test_the_speed_page_shows_a_report_and_one_of_which_every_part_failed() -> None:
    report = json.loads((ROOT / "results/bench/gpu/nvidia-h200.json").read_text())
    assert gpu.checks(report)[-1].endswith(": 8 of 8")
    rates = gpu.rates_table(report).to_markdown()
    assert "| 8 | 71,507 | 67,995 | 71,258 |" in rates
    assert "best: norms, 4 side by side" in rates
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
    for table in (gpu.rates_table, gpu.limit_table, gpu.kernels_table):
        assert not table(failed).rows
