"""Text against code: all 32 differences, what the recipes do there, and costs from pairs of records."""

import re
from statistics import mean
from typing import Any

import pytest
from factories import make_record

from gclib import deviations, recipes, tables
from gclib.data import LongTailed
from gclib.deviations import GROUPS, HERE, Difference, Open, differences, open_questions
from gclib.records import RunRecord
from gclib.train import command

ALL = differences()
RUNS = [d for d in ALL if d.run]
ABSENT = "default"  # the recipe leaves the parameter at the default of its loss or sampler


def resolved(name: str, data: LongTailed, **overrides: Any) -> dict[str, Any]:
    recipe = recipes.get(name).resolve(data, **overrides)
    return recipes.by_path(recipe.model_dump(mode="json")["stages"])


def number(d: Difference) -> str:
    return f"no. {d.number}"


def test_all_32_are_there_in_groups_that_lie_together() -> None:
    assert sorted(d.number for d in ALL) == list(range(1, 33))
    assert list(dict.fromkeys(d.group for d in ALL)) == list(GROUPS)
    assert [d.group for d in ALL] == sorted((d.group for d in ALL), key=GROUPS.index)


@pytest.mark.parametrize("d", ALL, ids=number)
def test_each_says_what_where_and_whom_we_follow(d: Difference) -> None:
    assert all((d.topic, d.paper, d.code, d.file))
    assert re.search(r"section \d|Eqs?\. \d+|Table \d|Algorithm 1|abstract|^–$", d.place), d.place
    assert d.here in HERE
    assert d.here != "neither" or d.note, "neither needs a word on what is done instead"
    assert sum(map(bool, (d.run, d.selection, d.known))) == 1, "exactly one way to say what it changes"


@pytest.mark.parametrize("d", [d for d in ALL if d.settings], ids=number)
def test_the_recipes_do_what_is_said(d: Difference, cifar: LongTailed) -> None:
    check_settings(d, cifar)
    if d.here in ("each", "code"):
        official = d.settings.get("gcl-official") or d.settings["gcl-official-cben"]
        paper = d.settings["gcl-paper"]
        shared = official.keys() & paper.keys()
        assert shared
        same = [official[path] == paper[path] for path in shared]
        assert all(same) if d.here == "code" else not all(same)


@pytest.mark.parametrize("o", open_questions(), ids=lambda o: o.question)
def test_open_questions_are_answered_as_is_said(o: Open, cifar: LongTailed) -> None:
    assert o.question.endswith("?")
    assert o.why
    assert o.choice.endswith(".")
    check_settings(o, cifar)


def check_settings(said: Difference | Open, cifar: LongTailed) -> None:
    for name, expected in said.settings.items():
        found = resolved(name, cifar)
        assert {path: found.get(path, ABSENT) for path in expected} == expected, name


def test_what_the_recipes_can_show_is_checked_there() -> None:
    """A difference of settings without settings would be a claim that nothing holds."""
    without = {d.number for d in ALL if not d.settings}
    assert without == {5, 6, 13, 16, 17, 19, 21, 24, 25, 26, 27, 28, 29, 30, 31, 32}


@pytest.mark.parametrize("d", RUNS, ids=number)
def test_the_command_makes_the_run_that_tells(d: Difference, cifar: LongTailed) -> None:
    run = d.run
    assert bool(run.named) != bool(run.changes)
    changed = recipes.get(run.named or run.recipe).resolve(cifar, **run.changes)
    assert run.command == command(changed, cifar, 0)
    before, after = resolved(run.recipe, cifar), resolved(run.named or run.recipe, cifar, **run.changes)
    assert before != after
    if run.changes:
        assert after == before | run.changes
    if d.here == "each" and run.changes:  # the change goes from the code's way to the text's
        text = {path: value for path, value in d.settings["gcl-paper"].items() if value != ABSENT}
        shared = text.keys() & run.changes.keys()
        assert {path: text[path] for path in shared} == {path: run.changes[path] for path in shared}


def record(name: str, cifar: LongTailed, seed: int = 0, **overrides: Any) -> RunRecord:
    """A record whose accuracies are drawn, with the settings of the recipe."""
    recipe = recipes.get(name).resolve(cifar, **overrides).model_dump(mode="json")
    epochs = (6, 3 + len(overrides) + (name != "gcl-official"))  # for other draws
    drawn = make_record(recipe=name, dataset="cifar10", scale="paper", ratio=100.0, seed=seed, epochs=epochs)
    fields = drawn.model_dump(exclude={"recipe", "identity", "digest"})
    return RunRecord.model_validate({**fields, "recipe": recipe})


def test_costs_come_from_pairs_of_records_that_differ_in_the_one_thing(cifar: LongTailed) -> None:
    scale = next(d for d in ALL if d.number == 8)
    base = [record("gcl-official", cifar, seed) for seed in (0, 1, 2)]
    without = [record("gcl-official", cifar, seed, **scale.run.changes) for seed in (1, 0)]
    others = [
        record("gcl-official", cifar, 2, **scale.run.changes, **{"stage-two.epochs": 29}),
        record("gcl-official-cben", cifar, 0),
    ]
    found = scale.run.pairs([*base, *without, *others])
    assert found == [(base[0], without[1]), (base[1], without[0])]
    rows = {int(cells[0][0]): cells for cells in deviations.changes_table([*base, *without, *others]).rows}
    gains = [other.clean.top1 - first.clean.top1 for first, other in found]
    _, around = tables.Chance([*base, *without, *others]).between(without, base)
    assert rows[8][4][0] == f"{mean(gains):+.2f} ± {around.half:.2f}"
    assert rows[8][4][1].texts == tuple(f"{gain:+.2f}" for gain in gains)
    assert rows[8][5][0] in ("higher", "lower", "not told apart")
    assert [link.text for link in rows[8][6]] == [
        "seed 0",
        "changed",
        "seed 1",
        "changed",
    ]
    sampler = base[0].paper_style.top1, others[1].paper_style.top1
    assert rows[11][3][0].startswith(f"{sampler[1] - sampler[0]:+.2f} ± ")
    choice = mean(run.paper_style.top1 - run.clean.top1 for run in base)
    assert rows[17][3][0].startswith(f"{choice:+.2f} ± ")
    assert rows[3][3] == ["not measured"]
    assert rows[3][6][0].text == next(d.run.command for d in RUNS if d.number == 3)


def test_a_run_that_was_made_again_counts_once(cifar: LongTailed) -> None:
    base = [record("gcl-official", cifar, seed) for seed in (0, 1)]
    once, twice = (deviations.changes_table(runs).rows for runs in (base, [*base, base[0]]))
    assert [row[3:] for row in once] == [row[3:] for row in twice]


def test_a_first_stage_that_was_trained_anew_is_named(cifar: LongTailed) -> None:
    scale = next(d for d in ALL if d.number == 8)
    base, other = record("gcl-official", cifar), record("gcl-official", cifar, **scale.run.changes)
    first = other.stages[0]
    course = first.course.model_copy(update={"test_accuracy": first.course.test_accuracy[::-1]})
    anew = other.model_copy(
        update={"stages": (first.model_copy(update={"course": course}), *other.stages[1:])}
    )
    for run, said in ((other, False), (anew, True)):
        rows = {cells[0][0]: cells for cells in deviations.changes_table([base, run]).rows}
        assert ("stage one was trained anew" in rows["8"][2][0]) == said


def test_without_records_every_row_shows_a_command_or_a_reason() -> None:
    for _, _, (compared,), paper_style, _, verdict, (last,) in deviations.changes_table([]).rows:
        assert compared
        assert verdict == [""]
        if paper_style == ["not measured"]:
            assert last.text.startswith("gcl run training -p data cifar10 ")
        else:
            assert last == ""
