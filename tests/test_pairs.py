"""Differences paired by seed: the numbers by another way, and what the page on ablations makes of them in words."""

import json
from statistics import mean, stdev

import numpy as np
import pytest
from factories import paper_run
from scipy import stats
from scipy.stats import ttest_1samp
from tabular import cells

from gclib import ROOT, records, tables
from gclib.records import RunRecord

GCL = [paper_run("gcl-official-cben", seed) for seed in range(3)]
LWS = [paper_run("gcl-official-lws", seed) for seed in range(3)]


def test_differences_are_paired_by_seed() -> None:
    found, _ = tables.Chance([]).between(reversed(GCL), [*LWS[1:], paper_run("gcl-official-lws", 7)])
    assert found.singles == {seed: GCL[seed].clean.top1 - LWS[seed].clean.top1 for seed in (1, 2)}
    best, _ = tables.Chance([]).between(GCL, LWS, best=True, stage_one=True)
    assert best.singles[2] == GCL[2].stages[0].best.top1 - LWS[2].stages[0].best.top1


def sharing(runs: list[RunRecord], first: list[RunRecord]) -> list[RunRecord]:
    """The runs, gone on from the first stages of others."""
    return [
        run.model_copy(update={"stages": (start.stages[0], *run.stages[1:])})
        for start, run in zip(first, runs, strict=True)
    ]


def test_pairs_that_share_their_first_stages_have_the_spread_of_such_pairs() -> None:
    shared = sharing(LWS, GCL)
    chance = tables.Chance([*GCL, *shared])
    found, around = chance.between(shared, GCL)
    gaps = [run.clean.top1 - first.clean.top1 for first, run in zip(GCL, shared, strict=True)]
    assert list(found.singles.values()) == pytest.approx(gaps)
    low, high = ttest_1samp(gaps, 0).confidence_interval()  # the only such pairs: Student's t of these alone
    assert (around.difference, around.half) == pytest.approx((mean(gaps), (high - low) / 2))
    assert chance.between(shared[:1], GCL[:1])[1].half == pytest.approx(3**0.5 * around.half)


def test_pairs_with_first_stages_of_their_own_have_the_spread_of_single_runs() -> None:
    chance = tables.Chance([*GCL, *LWS, *sharing(LWS, GCL)])
    spread = tables.noise(chance.runs)
    mixed = [*sharing(LWS[:2], GCL[:2]), LWS[2]]
    for theirs, runs in ((LWS, (3, 3)), (mixed, (3, 3)), (LWS[:1], (1, 1))):
        found, around = chance.between(theirs, GCL)
        assert around == pytest.approx(tables.interval(found.difference, spread, *runs), rel=1e-12)
    found, around = chance.between(sharing(LWS, GCL), GCL, stage_one=True)
    assert found.difference == 0
    expected = tables.interval(0.0, tables.noise(chance.runs, stage_one=True), 3, 3)
    assert around == pytest.approx(expected, rel=1e-12)
    assert chance.between([], GCL) == (None, None)
    assert tables.Chance([]).between(LWS, GCL)[1] is None


def test_pairs_that_scatter_more_than_others_do_stand_for_themselves() -> None:
    """As on the page of ablations, where a row was tested in other epochs for one of its seeds."""
    near = [run.model_copy(update={"stages": first.stages}) for first, run in zip(GCL, LWS, strict=True)]
    chance = tables.Chance([*GCL, *near])
    assert chance.between(near, GCL)[1].half < 1e-9, "no scatter at all"
    found, around = chance.between(sharing(LWS, GCL), GCL)
    low, high = ttest_1samp(list(found.singles.values()), 0).confidence_interval()
    assert (around.difference, around.half) == pytest.approx((found.difference, (high - low) / 2))


def test_recipes_on_common_first_stages_leave_what_least_squares_leave() -> None:
    """By hand, for a full table of recipes and trainings: what is left after the means of rows and columns."""
    ends = [
        GCL,
        sharing(LWS, GCL),
        sharing([paper_run("gcl-official-no-focal", seed) for seed in range(3)], GCL),
    ]
    table = np.array([[run.clean.top1 for run in runs] for runs in ends])
    left = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    found = tables.shared_first_stage([run for runs in ends for run in runs])
    assert found == (pytest.approx((2 * (left**2).sum() / 4) ** 0.5), 4, 1)


def test_a_row_is_subtracted_from_the_others_seed_by_seed() -> None:
    table = cells(tables.paired_table([*GCL, *LWS], 5))
    assert list(table) == ["gcl-official-cben, stage one", "gcl-official-lws"]
    gaps = [lws.clean.top1 - gcl.clean.top1 for lws, gcl in zip(LWS, GCL, strict=True)]
    assert table["gcl-official-lws"]["single differences"] == ", ".join(f"{gap:+.2f}" for gap in gaps)
    _, expected = tables.Chance([*GCL, *LWS]).between(LWS, GCL)
    one = [run.stages[0].last.top1 - run.clean.top1 for run in GCL]
    own = tables.interval(mean(one), tables.noise([*GCL, *LWS]), 3, 3)
    shown = [table[name] for name in table]
    assert [each["difference"] for each in shown] == [
        f"{found.difference:+.2f} ± {found.half:.2f}" for found in (own, expected)
    ]
    ps = tables.holm([own.p, expected.p])
    assert [each["p, corrected"] for each in shown] == [tables.claims.p_value(p) for p in ps]


def test_recipes_on_one_first_stage_are_compared_over_the_first_stages() -> None:
    shared = sharing(LWS, GCL)
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
    """From the files: those of cRT, LWS and the samplers go on from the same trainings, a group for each of them."""
    folder = ROOT / "results" / "paper" / "cifar10-ir100"
    names = [path.name for path in sorted(folder.glob("gcl-official*"))]

    def read(name: str) -> dict[int, tuple[object, float]]:
        found = {}
        for path in sorted((folder / name).glob("seed[0-9].json")):
            stages = json.loads(path.read_text())["stages"]
            last = next((stage for stage in stages if stage["start"] == "last"), stages[0])
            found[int(path.stem[-1])] = str(stages[0]["course"]["test_accuracy"]), last["last"]["top1"]
        return found

    ends = {name: read(name) for name in names}
    reference = ends.pop("gcl-official-cben")
    effective = [ends["gcl-official-effective"][seed][1] - reference[seed][1] for seed in range(3)]
    assert all(ends["gcl-official-effective"][seed][0] == reference[seed][0] for seed in range(3)), "shared"
    row = cells(tables.paired_table(runs, 4))["gcl-official-effective"]
    spread = tables.shared_first_stage(runs)
    half = stats.t.ppf(0.975, spread.freedom) * spread.deviation / 3**0.5
    assert row["difference"] == f"{sum(effective) / 3 + 0:+.2f} ± {half:.2f}"


def test_what_the_page_on_ablations_says_in_words_holds_for_the_records(runs: list[RunRecord]) -> None:
    table = {number: cells(tables.paired_table(runs, number)) for number in (3, 4, 5)}
    seeds = tables.by_recipe(tables.usable(runs, [3, 4, 5], "cifar10", 100))

    def gaps(name: str, number: int, column: str = "single differences") -> list[float]:
        return [float(gap) for gap in table[number][name][column].split(", ")]

    names = [row.recipe for row in tables.ROWS[3]]
    order = [seeds[name][0].clean.top1 for name in names]
    assert order == sorted(order), "after the last epoch they stand in the order that the paper prints"
    assert all(table[3][name]["verdict"] == "not told apart" for name in table[3]), "undecided"
    printed = cells(tables.results_table(runs, 3))
    told = {name: row["verdict"] for name, row in printed.items() if row["verdict"] != "not told apart"}
    assert told == {"gcl-official-cosine": "higher"}, "the row of the cosine ends higher"
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
