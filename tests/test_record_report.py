"""Records beside each other and beside today's code: comparison, replay, marks."""

import json
import math

import pytest
from factories import RECORD, make_record

from gclib.errors import UserError
from gclib.records import (
    Difference,
    compare,
    content_hash,
    fingerprints,
    marks,
    replay,
    show,
    verify,
)


class TestReport:
    def test_compare_a_record_with_itself(self):
        rows = compare(RECORD, RECORD)
        assert [row.field for row in rows[:5]] == [
            f"clean.{name}" for name in ("top1", "many", "medium", "few", "ece")
        ]
        assert len(rows) == 10
        assert {row.change for row in rows} == {0.0}

    def test_compare_names_what_differs(self):
        other = make_record(recipe="gcl", epochs=(10, 6), seed=1, classes=12, ratio=50.0)
        rows = {row.field: row for row in compare(RECORD, other)}
        assert rows["recipe.name"] == Difference("recipe.name", "ce", "gcl")
        assert rows["seed"].second == 1
        assert len(rows["data.class_counts"].second) == 12
        assert not {"recipe.scale", "created", "identity", "digest"} & set(rows)
        assert rows["fingerprint, stage 1, step 1"].second == other.fingerprint[0][0]
        row = rows["clean.top1"]
        assert row.change == pytest.approx(other.clean.top1 - RECORD.clean.top1, abs=1e-9)
        assert rows["paper_style.many"].change is None

    def test_compare_finds_a_setting_that_only_one_has(self):
        rows = compare(make_record(epochs=(10,)), RECORD)
        assert Difference("recipe.stages.1.epochs", None, 6) in rows

    def test_compare_passes_over_what_is_empty(self):
        first, second = (make_record() for _ in range(2))
        first.recipe["parameters"], second.recipe["parameters"] = {}, {"scale": 30.0}
        assert compare(first, second)[0] == Difference("recipe.parameters.scale", None, 30.0)

    def test_verify(self):
        def fingerprint(change=0.0):
            return [RECORD.fingerprint[0], (*RECORD.fingerprint[1][:4], RECORD.fingerprint[1][4] + change)]

        shorter = RECORD.model_copy(update={"fingerprint": tuple(map(tuple, fingerprint()))})
        assert verify(shorter, fingerprint()) is None
        size = RECORD.fingerprint[1][4]
        assert verify(shorter, fingerprint(9e-7 * size)) is None
        assert verify(shorter, fingerprint(-2e-6 * size)).startswith("stale: stage 2, step 5: ")
        assert "None now" in verify(RECORD, fingerprint())
        assert verify(shorter, fingerprint(math.nan)).startswith("stale: ")

    @pytest.mark.parametrize(
        ("first", "second", "equal"),
        [
            (0.01, 0.01 + 9e-7, True),
            (0.01, 0.01 + 2e-6, False),
            (2.99e37, 2.99e37 * (1 + 1e-9), True),  # a CPU's own last digits, of a loss that grew large
            (-1e5, -1e5 - 0.05, True),
            (1e5, 1e5 + 0.2, False),
            (1e300, -1e300, False),
        ],
    )
    def test_large_losses_are_equal_by_their_digits_small_ones_by_their_decimals(self, first, second, equal):
        assert [step.equal for step in replay([[first]], [[second]])] == [equal]

    def test_replay_shows_every_step_of_either(self):
        steps = replay([[1.0, 2.0]], [[1.0, 2.5, 3.0], [4.0]])
        assert [(s.stage, s.step, s.recorded, s.now, s.equal) for s in steps] == [
            (1, 1, 1.0, 1.0, True),
            (1, 2, 2.0, 2.5, False),
            (1, 3, None, 3.0, False),
            (2, 1, None, 4.0, False),
        ]
        assert replay([[]], [[]]) == []

    def test_show(self):
        text = show(RECORD)
        for part in (
            RECORD.identity,
            f"{RECORD.clean.top1:.2f}",
            f"{RECORD.paper_style.few:.2f}",
            RECORD.command,
        ):
            assert part in text
        assert f"ratio 20, seed {RECORD.seed}" in text


class TestBehaviour:
    def write(self, root, *runs):
        entries = {content_hash(run.recipe): {"losses": run.fingerprint} for run in runs}
        (root / "fingerprints.json").write_text(json.dumps(entries))

    def test_a_record_is_marked_by_its_own_losses(self, tmp_path):
        holds, changed, unknown = (make_record(recipe=name) for name in ("ce", "bbn", "mislas"))
        other = make_record(recipe="bbn", seed=7)  # other losses under the same recipe
        self.write(tmp_path, holds, other)
        found = marks([holds, changed, unknown], tmp_path)
        assert found == {changed.identity: "stale", unknown.identity: "not checked"}
        assert fingerprints(tmp_path)[content_hash(holds.recipe)] == [list(holds.fingerprint[0])]

    def test_without_the_file_nothing_is_checked(self, tmp_path):
        assert marks([RECORD], tmp_path) == {RECORD.identity: "not checked"}

    @pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": {}}'])
    def test_a_damaged_file_is_refused(self, tmp_path, content):
        (tmp_path / "fingerprints.json").write_text(content)
        with pytest.raises(UserError, match=r"fingerprints.json cannot be read"):
            fingerprints(tmp_path)
