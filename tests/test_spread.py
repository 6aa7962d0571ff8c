"""Spread over seeds and repeats: a run that is made again is a repeat and no seed, in every table."""

from pathlib import Path
from statistics import mean, stdev, variance

import numpy as np
import pytest
from factories import ENVIRONMENT, make_record, paper_run
from tabular import cells

from gclib import records, tables, train
from gclib.errors import UserError
from gclib.records import RunRecord

RNG = np.random.default_rng(0)


def again(run: RunRecord, device: str = "an accelerator") -> RunRecord:
    """Make the same run on another device: other numbers, the same identity."""
    other = paper_run(run.name, seed=int(RNG.integers(100, 10**6)))
    fields = run.model_dump(exclude={"digest"})
    at = {"environment": ENVIRONMENT.model_copy(update={"device": device})}
    stages = [
        {**new.model_dump(), "hash": old.hash, "name": old.name}
        for new, old in zip(other.stages, run.stages, strict=True)
    ]
    return RunRecord(**fields | at | {"stages": stages})


RUNS = {name: [paper_run(name, seed) for seed in range(3)] for name in ("ce", "gcl-official-cben")}
CE, GCL = RUNS.values()
REPEATS = [again(run) for run in (CE[0], CE[1], GCL[2], CE[0])]
EVERY = [*CE, *GCL, *REPEATS]


def test_a_repeat_lies_beside_the_first_and_is_found_only_when_asked_for(tmp_path: Path) -> None:
    first, repeat = CE[0], REPEATS[0]
    assert repeat.identity == first.identity
    where = records.results_path(first, tmp_path)
    path = where.with_name("seed0-repeat2.json")
    records.save(repeat, path)
    assert records.repeat_path(where) == where.with_name("seed0-repeat1.json")
    records.save(repeat, records.repeat_path(where))
    assert records.repeat_path(where) == where.with_name("seed0-repeat3.json")
    where.with_name("seed0-repeat1.json").unlink()
    assert records.find(tmp_path) == []
    records.save(first, records.results_path(first, tmp_path))
    ten = paper_run("ce", seed=10)
    records.save(ten, records.results_path(ten, tmp_path))
    assert records.find(tmp_path) == [first, ten]
    assert records.find(tmp_path, recipe="ce", seed=0, repeats=True) == [first, repeat]
    assert [record for _, record in records.find_with_paths(tmp_path)] == [first, repeat, ten]
    assert records.locate(first.identity, tmp_path) == records.results_path(first, tmp_path)


def test_a_repeat_is_kept_beside_the_first_without_weights(tmp_path: Path) -> None:
    first = make_record(weights="ab" * 32)
    fields = first.model_dump(exclude={"identity", "digest"})
    run = RunRecord(**fields | {"recipe": {**first.recipe, "overrides": {}}})
    with pytest.raises(
        UserError, match=r"^no .*seed0\.json that it could be a repeat of; keep it as a new one$"
    ):
        train.keep(run, tmp_path / "runs", tmp_path, "repeat")
    where = records.results_path(run, tmp_path)
    records.save(run, where)
    path = train.keep(again(run), tmp_path / "runs", tmp_path, "repeat")
    assert path.name == "seed0-repeat1.json"
    assert sorted(path.parent.iterdir()) == sorted([where, path])
    stages = [
        one.model_copy(
            update={
                "course": one.course.model_copy(
                    update={"seconds": tuple(2 * each for each in one.course.seconds)}
                )
            }
        )
        for one in run.stages
    ]
    slower = RunRecord(**run.model_dump(exclude={"identity", "digest", "stages"}) | {"stages": stages})
    for known in (run, slower, records.load(path)):
        with pytest.raises(UserError, match="to the last digit, which says nothing new"):
            train.keep(known, tmp_path / "runs", tmp_path, "repeat")
    train.keep(again(run), tmp_path / "runs", tmp_path, "repeat")
    assert records.repeat_path(where).name == "seed0-repeat3.json"


def columns(table: tables.Table, *names: str) -> list[list[str]]:
    """Some columns: of the others a repeat has a say, in how far chance moves a run."""
    places = [table.header.index(name) for name in names]
    return [[str(row[place]) for place in places] for row in table.rows]


def test_no_mean_counts_a_repeat_as_a_seed() -> None:
    seeds = [*CE, *GCL]
    assert tables.usable(EVERY, [1], "cifar10", 100) == tables.usable(seeds, [1], "cifar10", 100)
    for made in (
        lambda runs: columns(tables.results_table(runs, 1), "clean", "paper-style", "record"),
        lambda runs: tables.overview_table(runs, 1),
        lambda runs: columns(tables.claim_table("competitors", runs), "first", "second"),
        tables.seeds_table,
        tables.stage_one_table,
        lambda runs: columns(tables.paired_table(runs, 1), "recipe", "single differences"),
    ):
        assert made(EVERY) == made(seeds)


def test_seeds_are_shown_with_mean_deviation_and_single_values() -> None:
    row = cells(tables.seeds_table(EVERY))["ce"]
    clean, best = [r.clean.top1 for r in CE], [r.paper_style.top1 for r in CE]
    assert row["seeds"] == "0, 1, 2"
    assert row["clean"] == f"{mean(clean):.2f} ± {stdev(clean):.2f}"
    assert row["single runs (clean)"] == ", ".join(f"{value:.2f}" for value in clean)
    assert row["paper-style"] == f"{mean(best):.2f} ± {stdev(best):.2f}"
    assert row["single runs (paper-style)"] == ", ".join(f"{value:.2f}" for value in best)


def test_stage_one_stands_alone_for_every_recipe_of_two_stages() -> None:
    table = cells(tables.stage_one_table(EVERY))
    assert list(table) == ["gcl-official-cben"]
    row = table["gcl-official-cben"]
    for column, values in {
        "stage one, last": [r.stages[0].last.top1 for r in GCL],
        "stage one, best": [r.stages[0].best.top1 for r in GCL],
        "clean": [r.clean.top1 for r in GCL],
    }.items():
        single = ", ".join(f"{value:.2f}" for value in values)
        assert row[column] == f"{mean(values):.2f} ± {stdev(values):.2f} ({single})"
    gains = [r.clean.top1 - r.stages[0].last.top1 for r in GCL]
    single = ", ".join(f"{value:+.2f}" for value in gains)
    assert row["gain, clean"] == f"{mean(gains):+.2f} ± {stdev(gains):.2f} ({single})"


def test_spread_is_pooled_over_seeds_and_over_repeats() -> None:
    seeds, repeats = tables.spreads(EVERY)
    assert seeds is not None
    assert repeats is not None
    variances = [variance([r.clean.top1 for r in group]) for group in (CE, GCL)]
    assert seeds == (pytest.approx(mean(variances) ** 0.5), 4, 2)
    twice = [[CE[0], REPEATS[0], REPEATS[3]], [CE[1], REPEATS[1]], [GCL[2], REPEATS[2]]]
    squares = [variance([r.clean.top1 for r in times]) for times in twice]
    expected = ((2 * squares[0] + squares[1] + squares[2]) / 4) ** 0.5
    assert repeats == (pytest.approx(expected), 4, 3)
    assert tables.spreads([CE[0], GCL[1]]) == (None, None)
    caption = tables.repeats_table(EVERY).caption
    assert f"{expected:.2f} points (4 degrees of freedom) over repeats" in caption


def test_the_table_of_chance_has_each_quantity_that_was_made_twice() -> None:
    rows = cells(tables.chance_table(EVERY))
    assert "accuracy (%)" in rows
    first = tables.chance_table(EVERY).rows[0]
    spread = tables.noise(EVERY)
    assert first[2:4] == [[f"{spread.deviation:.2f}"], [str(spread.freedom)]]
    assert first[4] == [f"± {tables.interval(0, spread, 1, 1).half:.2f}"]
    assert not tables.chance_table([CE[0]]).rows


def test_a_first_stage_that_several_recipes_took_from_one_checkpoint_is_no_repeat() -> None:
    one = GCL[0]
    fields = one.model_dump(exclude={"identity", "digest"})
    twin = RunRecord(**fields | {"recipe": {**one.recipe, "name": "gcl-official"}})
    assert tables.spreads([one, twin], stage_one=True) == (None, None)
    assert not tables.repeats_table([one, twin], stage_one=True).rows
    other = again(one)
    table = tables.repeats_table([one, twin, other], stage_one=True)
    assert [row[3][0] for row in table.rows] == ["a processor, float64", "an accelerator, float64"]
    assert table.rows[1][4] == [f"{other.stages[0].last.top1:.2f}"]
