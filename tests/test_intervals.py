"""Chance, measured: what runs made more than once say about a difference, and the correction for many of them."""

from math import sqrt
from random import Random
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


def other_end(run: RunRecord, *, seed: int) -> RunRecord:
    """The run, gone on from its first stage by another recipe, to numbers of another seed."""
    fields = paper_run("gcl-official-lws", seed).model_dump(exclude={"identity", "digest"})
    stages = [run.stages[0], *fields["stages"][1:]]
    return RunRecord(**fields | {"seed": run.seed, "stages": stages})


def test_recipes_that_share_a_first_stage_count_it_once() -> None:
    twins = [other_end(run, seed=run.seed + 50) for run in GCL]
    assert tables.noise([*GCL, *twins], stage_one=True) == tables.noise(GCL, stage_one=True)
    one = variance([run.stages[0].last.top1 for run in GCL])
    assert tables.noise(GCL, stage_one=True).deviation == pytest.approx(sqrt(one))
    first, second = (variance([run.clean.top1 for run in runs]) for runs in (GCL, twins))
    assert tables.noise(GCL) == (pytest.approx(sqrt(first)), 2, 1)
    assert tables.noise([*GCL, *twins]) == (pytest.approx(sqrt((first + second) / 2)), 2, 1)
    # Each training was carried to the end by another recipe: then their first stages are what can be compared.
    assert tables.noise([GCL[0], twins[1]]).deviation == pytest.approx(
        sqrt(variance([run.stages[0].last.top1 for run in GCL[:2]]))
    )


def test_recipes_that_cover_different_trainings_have_no_more_degrees_of_freedom_than_these() -> None:
    twins = [other_end(run, seed=run.seed + 50) for run in GCL]
    assert tables.noise([*GCL[:2], *twins[1:]]).freedom == 2  # three trainings, tied by the second
    assert tables.noise([*GCL[:2], twins[2]]).freedom == 1  # nothing ties the third


def test_best_epochs_are_compared_among_runs_tested_in_the_same_epochs() -> None:
    fields = CE[2].model_dump(exclude={"digest"})
    (stage,) = fields["stages"]
    course = stage["course"]
    half = {name: course[name][1::2] for name in ("test_epochs", "test_accuracy")}
    at = half["test_accuracy"].index(max(half["test_accuracy"]))
    best = {**stage["best"], "epoch": half["test_epochs"][at], "top1": half["test_accuracy"][at]}
    seldom = CE[2].model_copy(
        update={
            "stages": (
                CE[2]
                .stages[0]
                .model_copy(
                    update={
                        "course": CE[2].stages[0].course.model_copy(update=half),
                        "best": CE[2].stages[0].best.model_copy(update=best),
                    }
                ),
            )
        }
    )
    assert tables.noise([*CE[:2], seldom], best=True) == tables.noise(CE[:2], best=True)
    assert tables.noise([*CE[:2], seldom]).freedom == 2


def test_the_order_of_the_records_changes_nothing() -> None:
    runs = records.find(chance.RESULTS, scale="paper", repeats=True)
    for best in (False, True):
        for spread in (tables.noise, tables.shared_first_stage):
            usual = spread(runs, best=best)
            for seed in range(3):
                mixed = spread(Random(seed).sample(runs, len(runs)), best=best)
                assert mixed == (pytest.approx(usual.deviation), *usual[1:])


def test_a_run_repeated_to_the_last_digit_says_nothing_about_chance() -> None:
    fields = CE[0].model_dump(exclude={"digest"})
    (stage,) = fields["stages"]
    slower = [2 * seconds + 1 for seconds in stage["course"]["seconds"]]
    twin = RunRecord(**fields | {"stages": [{**stage, "course": {**stage["course"], "seconds": slower}}]})
    assert tables.noise([CE[0], twin]) is None
    assert tables.spreads([CE[0], twin]) == (None, None)
    assert tables.noise([*CE, twin]) == tables.noise(CE)


def test_a_run_that_was_changed_after_its_first_stage_is_another_recipe() -> None:
    first = GCL[0].model_dump(exclude={"identity", "digest"})
    one, two = first["recipe"]["stages"]
    other = RunRecord(**first | {"recipe": {**first["recipe"], "stages": [one, two | {"momentum": 0.5}]}})
    ends = chance._ends([[GCL[0], other], [GCL[1]]], "top1", False, False)
    assert len(ends) == 3
    assert len(chance._ends([[GCL[0], other], [GCL[1]]], "top1", False, True)) == 2


def test_the_run_made_again_for_the_saturation_counts_as_a_repeat() -> None:
    runs = records.find(chance.RESULTS, scale="paper", recipe="ce", dataset="cifar10")
    again = chance._saturation()
    assert again is not None
    values = [run.clean.top1 for run in runs] + [again.course.test_accuracy[-1]]
    assert tables.noise(runs) == (pytest.approx(sqrt(variance(values))), len(values) - 1, 1)
    twice = [run.clean.top1 for run in runs if run.seed == again.seed] + values[-1:]
    assert tables.spreads(runs, stage_one=True)[1] == (pytest.approx(sqrt(variance(twice))), 1, 1)
    assert tables.spreads(runs)[1] is None, "only its first stage was made again"
    shown = tables.repeats_table(runs, stage_one=True).rows
    assert [row[4] for row in shown] == [[f"{value:.2f}"] for value in twice]


def test_nothing_made_twice_says_nothing_about_chance() -> None:
    assert tables.noise([CE[0]]) is None
    assert tables.noise([]) is None
