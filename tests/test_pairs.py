"""Differences paired by seed: the numbers by another way, and what the page on ablations makes of them in words."""

import json
from statistics import mean, stdev

import pytest
from factories import paper_run
from scipy.stats import ttest_1samp
from tabular import cells

from gclib import ROOT, records, tables
from gclib.records import RunRecord

GCL = [paper_run("gcl-official-cben", seed) for seed in range(3)]
LWS = [paper_run("gcl-official-lws", seed) for seed in range(3)]


def test_differences_are_paired_by_seed() -> None:
    found = tables.paired(reversed(GCL), [*LWS[1:], paper_run("gcl-official-lws", 7)])
    assert found == {seed: GCL[seed].clean.top1 - LWS[seed].clean.top1 for seed in (1, 2)}
    best = tables.paired(GCL, LWS, best=True, stage_one=True)
    assert best[2] == GCL[2].stages[0].best.top1 - LWS[2].stages[0].best.top1


def test_the_interval_of_paired_differences_is_that_of_a_t_test() -> None:
    differences = [0.3, 0.7, -0.1, 0.4]
    expected = ttest_1samp(differences, 0)
    low, high = expected.confidence_interval()
    found = tables.paired_interval(differences)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.difference, found.half) == pytest.approx((mean(differences), (high - low) / 2))
    spread = tables.Spread(0.5, 4, 2)
    assert tables.paired_interval([0.3], spread) == tables.interval(0.3, spread, 1, 1)
    assert tables.paired_interval([0.3]) is None
    assert tables.paired_interval([]) is None


def test_a_row_is_subtracted_from_the_others_seed_by_seed() -> None:
    table = cells(tables.paired_table([*GCL, *LWS[:2], *LWS[2:]], 5))
    assert list(table) == ["gcl-official-cben, stage one", "gcl-official-lws"]
    gaps = [lws.clean.top1 - gcl.clean.top1 for lws, gcl in zip(LWS, GCL, strict=True)]
    assert table["gcl-official-lws"]["single differences"] == ", ".join(f"{gap:+.2f}" for gap in gaps)
    gaps = [run.stages[0].last.top1 - run.clean.top1 for run in GCL]
    one = table["gcl-official-cben, stage one"]
    half = tables.paired_interval(gaps).half
    assert one["difference"] == f"{mean(gaps):+.2f} ± {half:.2f}"
    ps = [tables.paired_interval([a - b for a, b in zip(*side, strict=True)]).p for side in sides()]
    said = [one["p, corrected"], table["gcl-official-lws"]["p, corrected"]]
    assert said == [tables.claims.p_value(p) for p in tables.holm(ps)]


def sides() -> list[tuple[list[float], list[float]]]:
    whole = [run.clean.top1 for run in GCL]
    return [([run.stages[0].last.top1 for run in GCL], whole), ([run.clean.top1 for run in LWS], whole)]


def test_recipes_on_one_first_stage_are_compared_over_the_first_stages() -> None:
    shared = [
        run.model_copy(update={"stages": (first.stages[0], *run.stages[1:])})
        for first, run in zip(GCL, LWS, strict=True)
    ]
    gaps = [run.clean.top1 - first.clean.top1 for first, run in zip(GCL, shared, strict=True)]
    found = tables.shared_first_stage([*GCL, *shared])
    assert found == (pytest.approx(stdev(gaps)), 2, 1)
    assert tables.shared_first_stage(GCL) is None
    table = tables.kinds_table([*GCL, *shared])
    assert [row[0][0] for row in table.rows] == [
        "stage one, another seed",
        "what two recipes make of one stage one",
    ]
    seeds = tables.spreads(GCL, stage_one=True)[0].deviation
    assert table.rows[0][1:3] == [[f"{seeds:.2f}"], [f"{2**0.5 * seeds:.2f}"]]
    assert table.rows[1][1:3] == [[""], [f"{stdev(gaps):.2f}"]]


@pytest.fixture(scope="module")
def runs() -> list[RunRecord]:
    return records.find(ROOT / "results", scale="paper", repeats=True)


def test_a_paired_difference_of_the_page_by_hand(runs: list[RunRecord]) -> None:
    """From the files, with nothing of the package, at the 97.5% point of Student's t for two degrees of freedom."""
    folder = ROOT / "results" / "paper" / "cifar10-ir100"

    def top1(name: str, seed: int) -> float:
        run = json.loads((folder / name / f"seed{seed}.json").read_text())
        return next(stage for stage in run["stages"] if stage["start"] == "last")["last"]["top1"]

    gaps = [top1("gcl-official-instance", seed) - top1("gcl-official-cben", seed) for seed in range(3)]
    middle = sum(gaps) / 3
    deviation = (sum((gap - middle) ** 2 for gap in gaps) / 2) ** 0.5
    three = [run for run in runs if run.seed < 3]
    row = cells(tables.paired_table(three, 4))["gcl-official-instance"]
    assert row["difference"] == f"{middle:+.2f} ± {4.30265 * deviation / 3**0.5:.2f}"


def test_what_the_page_on_ablations_says_in_words_holds_for_the_records(runs: list[RunRecord]) -> None:
    table = {number: cells(tables.paired_table(runs, number)) for number in (3, 4, 5)}
    seeds = tables.by_recipe(tables.usable(runs, [3, 4, 5], "cifar10", 100))

    def gaps(name: str, number: int, column: str = "single differences") -> list[float]:
        return [float(gap) for gap in table[number][name][column].split(", ")]

    names = [row.recipe for row in tables.ROWS[3]]
    order = [seeds[name][0].clean.top1 for name in names]
    assert order == sorted(order), "after the last epoch they stand in the order that the paper prints"
    assert all(table[3][name]["verdict"] == "not told apart" for name in table[3]), "undecided"
    assert table[4]["gcl-official-instance"]["verdict"] == "lower"
    assert max(gaps("gcl-official-instance", 4)) < -2, "falls by several points, in every seed"
    assert max(map(abs, gaps("gcl-official-effective", 4))) < 0.05, "between CBEN and EN there is nothing"
    even = table[4]["gcl-official"]
    assert all(0 < gap < 0.5 for gap in gaps("gcl-official", 4)), (
        "ahead in every seed, by a fraction of a point"
    )
    assert even["verdict"] == table[5]["gcl-official-lws"]["verdict"] == "not told apart"
    assert max(gaps("gcl-official-lws", 5)) < 0, "cRT is ahead of LWS in every seed"
    assert table[5]["gcl-official-cben, stage one"]["verdict"] == "lower", "re-training matters"
    for run in seeds["gcl-official-instance"]:
        stage = next(stage for stage in run.stages if stage.start == "best")
        lost = run.stages[0].best.top1 - stage.best.top1
        every = len(stage.course.test_epochs) == len(stage.course.loss)
        assert (stage.best.epoch == 1 and 0 < lost < 1) if every else lost > 2, run.seed
