"""Chance, measured: what runs made more than once say about a difference, and the correction for many of them."""

from math import sqrt
from statistics import variance

import pytest
from factories import paper_run
from scipy import stats

from gclib import records, tables
from gclib.records import RunRecord
from gclib.tables import chance

CE, GCL = ([paper_run(name, seed) for seed in range(3)] for name in ("ce", "gcl-official-cben"))


def changed(
    run: RunRecord, name: str | None = None, rate: float | None = None, **setting: object
) -> RunRecord:
    """The run under another name, with another rate or setting in stage one; its numbers stay."""
    fields = run.model_dump(exclude={"identity", "digest"})
    one, *later = fields["recipe"]["stages"]
    one = one | setting | ({} if rate is None else {"rate": rate})
    return RunRecord(
        **fields | {"recipe": {**fields["recipe"], "name": name or run.name, "stages": [one, *later]}}
    )


def test_two_groups_with_the_same_spread_give_the_interval_of_the_t_test() -> None:
    first, second = [80.0, 81.0, 82.5], [78.0, 79.5, 79.0]
    spread = tables.pooled([first, second])
    difference = sum(first) / 3 - sum(second) / 3
    found = tables.interval(difference, spread, 3, 3)
    expected = stats.ttest_ind(first, second)
    low, high = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue)
    assert (difference - found.half, difference + found.half) == pytest.approx((low, high))
    assert found.crosses_zero == (low < 0 < high)


def test_fewer_runs_and_fewer_degrees_of_freedom_widen_the_interval() -> None:
    few = tables.interval(1.0, tables.Spread(0.6, 2, 1), 1, 1)
    many = tables.interval(1.0, tables.Spread(0.6, 6, 4), 1, 1)
    more = tables.interval(1.0, tables.Spread(0.6, 6, 4), 3, 3)
    assert few.half > many.half > more.half
    assert many.half == pytest.approx(stats.t.ppf(0.975, 6) * 0.6 * sqrt(2))
    assert tables.interval(1.0, None, 1, 1) is None


def test_holm_is_that_of_the_textbook_and_keeps_the_order() -> None:
    assert tables.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert tables.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert tables.holm([]) == []


def test_seeds_and_repeats_are_both_chance() -> None:
    first = CE[0].model_dump(exclude={"digest"})
    other = paper_run("ce", 77)
    stages = [
        {**new.model_dump(), "hash": old.hash} for new, old in zip(other.stages, CE[0].stages, strict=True)
    ]
    repeat = RunRecord(**first | {"stages": stages})
    runs = [*CE, repeat]
    values = [run.clean.top1 for run in runs]
    assert tables.noise(runs) == (pytest.approx(sqrt(variance(values))), 3, 1)


def test_how_often_a_run_is_tested_does_not_make_it_another() -> None:
    often = changed(paper_run("ce", 9), "ce-every-epoch", test_every=1)
    values = [run.clean.top1 for run in (*CE, often)]
    assert tables.noise([*CE, often]).freedom == 3
    assert tables.noise([*CE, often]).deviation == pytest.approx(sqrt(variance(values)))
    assert tables.noise([*CE, changed(paper_run("ce", 9), rate=0.2)]).freedom == 2


def test_recipes_that_share_a_first_stage_count_it_once() -> None:
    twins = [changed(run, "gcl-official") for run in GCL]
    assert tables.noise([*GCL, *twins], stage_one=True) == tables.noise(GCL, stage_one=True)
    one = variance([run.stages[0].last.top1 for run in GCL])
    assert tables.noise(GCL, stage_one=True).deviation == pytest.approx(sqrt(one))
    whole = variance([run.clean.top1 for run in GCL])
    assert tables.noise(GCL).deviation == pytest.approx(sqrt(whole))
    # Not every training was carried to the end by one recipe: then their first stages are what can be compared.
    parted = [GCL[0], twins[1], twins[2]]
    assert tables.noise(parted).deviation == pytest.approx(sqrt(one))


def test_a_run_repeated_to_the_last_digit_says_nothing_about_chance() -> None:
    fields = CE[0].model_dump(exclude={"digest"})
    (stage,) = fields["stages"]
    slower = [2 * seconds + 1 for seconds in stage["course"]["seconds"]]
    twin = RunRecord(**fields | {"stages": [{**stage, "course": {**stage["course"], "seconds": slower}}]})
    assert tables.noise([CE[0], twin]) is None
    assert tables.spreads([CE[0], twin]) == (None, None)
    assert tables.noise([*CE, twin]) == tables.noise(CE)


def test_the_run_made_again_for_the_saturation_counts_as_a_repeat() -> None:
    runs = records.find(chance.RESULTS, scale="paper", recipe="ce", dataset="cifar10")
    again = chance._saturation()
    assert again is not None
    values = [run.clean.top1 for run in runs] + [again.course.test_accuracy[-1]]
    assert tables.noise(runs) == (pytest.approx(sqrt(variance(values))), len(values) - 1, 1)


def test_nothing_made_twice_says_nothing_about_chance() -> None:
    assert tables.noise([CE[0]]) is None
    assert tables.noise([]) is None
