"""What the tests along a run say: their scatter, what more of them are worth, what was chosen on held-out images."""

from typing import Any

import pytest
from factories import make_record

from gclib import records, tables
from gclib.records import RunRecord


def run_of(accuracy: list[float], rates: list[float], **first: Any) -> RunRecord:
    """Make a record whose stage one is tested after every epoch, with these accuracies and learning rates."""
    plain = make_record(epochs=(len(accuracy),))
    stage = plain.stages[0]
    epochs = len(accuracy)
    course = stage.course.model_copy(
        update={
            "learning_rate": tuple(rates),
            "test_epochs": tuple(range(1, epochs + 1)),
            "test_accuracy": tuple(accuracy),
        }
    )
    return plain.model_copy(update={"stages": (stage.model_copy(update={"course": course, **first}),)})


def test_tests_scatter_at_each_learning_rate() -> None:
    run = run_of([*[9] * 6, *[50, 60] * 3, 70, 71, 72], [0.05, *[0.1] * 11, *[0.01] * 3])
    table = tables.scatter_table([run])
    shown = [[cell[0] for cell in row[2:]] for row in table.rows]
    assert [row[:3] for row in shown] == [["0.1", "7 to 12", "6"], ["0.01", "13 to 15", "3"]]
    assert [[float(cell) for cell in row[3:]] for row in shown] == [[55, 5.48, 50, 60], [71, 1, 70, 72]]


def test_more_tests_find_a_better_best() -> None:
    accuracy = [10.0, 20, 30, 90, 50, 60, 70, 75, 80, 85]
    table = tables.draws_table([run_of(accuracy, [0.1] * 10), make_record(epochs=(10,))])
    (row,) = [[cell[0] for cell in row[2:]] for row in table.rows]
    assert [float(cell) for cell in row[1:]] == [90, 3, 85, 5]


def test_more_tests_of_stage_two_are_counted_from_the_best_epoch_of_stage_one() -> None:
    run = make_record(epochs=(10, 10))
    course = run_of([90.0, 10, 20, 30, 70, 40, 50, 60, 75, 80], [0.1] * 10).stages[0].course
    stages = (
        stage.model_copy(update={"course": course}) if stage.start == "best" else stage
        for stage in run.stages
    )
    table = tables.draws_table([run.model_copy(update={"stages": tuple(stages)}), run], stage_two=True)
    (row,) = [[cell[0] for cell in row[2:]] for row in table.rows]
    assert [float(cell) for cell in row] == [10, 90, 3, 80, 10]
    assert not tables.draws_table([make_record(epochs=(10,))], stage_two=True).rows


def test_a_choice_is_shown_and_survives_its_file(tmp_path: Any) -> None:
    choice = records.Choice(candidates=(0.0, 0.1, 0.2), accuracy=(50.0, 70.0, 70.0))
    assert choice.chosen == 0.1
    run = make_record(epochs=(6, 0))
    stages = tuple(stage.model_copy(update={"choice": choice}) for stage in run.stages[1:])
    fields = run.model_dump(exclude={"identity", "digest"})
    fields["stages"] = [run.stages[0].model_dump(), *(stage.model_dump() for stage in stages)]
    run = RunRecord.model_validate(fields)
    records.save(run, tmp_path / "seed0.json")
    assert records.load(tmp_path / "seed0.json") == run
    table = tables.choice_table([run, make_record()])
    assert [[cell[0] for cell in row] for row in table.rows] == [
        ["0", "50.00"],
        ["0.1", "70.00"],
        ["0.2", "70.00"],
    ]
    assert "Cross-entropy, seed 0: 0.1" in table.caption
    with pytest.raises(ValueError, match="one for each of candidates"):
        records.Choice(candidates=(0.0, 0.1), accuracy=(1.0,))


def test_nothing_chosen_is_said() -> None:
    assert "nothing yet" in tables.choice_table([make_record()]).caption
