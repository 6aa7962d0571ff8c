"""The run record: no edit and no damage goes unnoticed, and each refusal names the field."""

import copy
import json

import numpy as np
import pytest
from factories import RECORD, make_record

from gclib import metrics
from gclib.records import (
    Outcome,
    RecordError,
    content_hash,
    load,
    save,
)

DOCUMENT = RECORD.model_dump(mode="json")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "record.json"


def refusal(path, content):
    """The one line with which `load` refuses a file."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(RecordError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


def edited(*keys, value):
    """The record as JSON with one value replaced, digests left as they were."""
    document = copy.deepcopy(DOCUMENT)
    node = document
    for key in keys[:-1]:
        node = node[key]
    assert node[keys[-1]] != value
    node[keys[-1]] = value
    return document


def forged(*keys, value):
    """The same with digests and identity made anew: only the fields' checks of each other are left."""
    document = edited(*keys, value=value)
    try:
        document["identity"] = content_hash({key: document[key] for key in ("recipe", "data", "seed")})
        document["digest"] = {key: content_hash(document[key]) for key in document if key != "digest"}
    except ValueError:  # NaN or an infinity has no hash
        pass
    return document


class TestFieldsCheckEachOther:
    """Digests and identity are made anew in each case, so the check named is the one that refuses."""

    outcome = ("stages", 0, "last")

    @pytest.mark.parametrize(
        ("keys", "value", "complaint"),
        [
            (("data", "class_counts", 3), 37, "data: class_counts: expected [100, 71, 51, 36"),
            (("data", "ratio"), 30.0, "data: class_counts"),
            (("data", "ratio"), 0.5, "data.ratio"),
            (("data", "ratio"), 1e9, "data: ratio"),
            (("data", "test_counts"), [74] * 9, "data: test_counts"),
            (("data", "test_counts", 0), 73, "stages.0.last.top1"),
            ((*outcome, "top1"), 99.0, "stages.0: last.top1: expected"),
            ((*outcome, "many"), None, "stages.0.last.many: expected"),
            ((*outcome, "few"), 99.0, "stages.0.last.few: expected"),
            ((*outcome, "epoch"), 9, "stages.0: last.epoch: expected 10"),
            ((*outcome, "per_class", 0), 99.0, "stages.0.last.top1: expected"),
            ((*outcome, "per_class"), [10.0] * 9, "stages.0.last.per_class: expected 10 classes"),
            ((*outcome, "confusion"), None, "stages.0.last.confusion: expected a matrix"),
            ((*outcome, "confusion", 0), [74] * 10, "stages.0.last.confusion: expected rows that sum to"),
            ((*outcome, "confusion", 0), [74], "stages.0.last.confusion: expected 10 columns"),
            ((*outcome, "confusion", 0), [74] + [0] * 9, "stages.0.last.confusion: contradicts per_class"),
            (("stages", 0, "best"), DOCUMENT["stages"][0]["last"], "stages.0: best.epoch: expected 9"),
            (("stages", 0, "course", "loss"), [1.0], "stages.0.course: learning_rate: expected 1 epochs"),
            (("stages", 0, "course", "test_epochs"), [10], "stages.0.course: test_accuracy"),
            (
                ("stages", 0, "course", "test_epochs"),
                [5, 10, 9],
                "stages.0.course: test_epochs: expected rising",
            ),
            (
                ("stages", 0, "course", "test_epochs"),
                [4, 5, 9],
                "stages.0.course: test_epochs: expected to end",
            ),
            (("stages", 1, "start"), "best", "stages: expected one from scratch"),
            (("stages", 2), DOCUMENT["stages"][1], "stages: expected one from scratch"),
            (("stages",), DOCUMENT["stages"][:2], "stages: expected one from scratch"),
            (("stages",), [], "stages: "),
            (("fingerprint",), [[1.0]], "fingerprint: expected 2 lists"),
            (("recipe", "scale"), None, "recipe.scale"),
            (("recipe", "name"), "../../elsewhere", "recipe.name: expected a plain name"),
            (("created",), "2026-01-31T12:00:00", "created: expected a time in UTC"),
            (("created",), "2026-01-31T12:00:00+01:00", "created: expected a time in UTC"),
            (("created",), "yesterday", "created: Invalid isoformat"),
        ],
    )
    def test_contradiction_is_refused(self, path, keys, value, complaint):
        assert refusal(path, forged(*keys, value=value)).startswith(complaint)

    def test_best_is_the_earliest_of_equal_maxima(self):
        stage = make_record(epochs=(2,)).stages[0].model_dump()
        tie = {**stage["last"], "epoch": 1}
        stage["course"]["test_epochs"] = (1, 2)
        stage["course"]["test_accuracy"] = (stage["last"]["top1"],) * 2
        type(RECORD.stages[0]).model_validate({**stage, "best": tie})
        with pytest.raises(ValueError, match=r"best\.epoch: expected 1"):
            type(RECORD.stages[0]).model_validate({**stage, "best": stage["last"]})

    def test_top1_of_an_unbalanced_test_set_is_the_mean_over_images(self):
        numbers = {
            "epoch": 1,
            "per_class": [100.0, 0.0],
            "many": None,
            "medium": 50.0,
            "few": None,
            "ece": 0.0,
            "reliability": {"confidence": [0.5], "accuracy": [0.5], "images": [4]},
        }
        data = make_record(classes=2).data.model_copy(update={"test_counts": (3, 1)})
        Outcome(**numbers, top1=75.0, confusion=[[3, 0], [1, 0]]).check(data.class_counts, data.test_counts)
        with pytest.raises(ValueError, match=r"top1: expected 75\.0"):
            Outcome(**numbers, top1=50.0, confusion=[[3, 0], [1, 0]]).check(
                data.class_counts, data.test_counts
            )

    @pytest.mark.parametrize("classes", [1, 2, 10, 11, 30])
    def test_what_metrics_gives_passes(self, classes):
        data = make_record(classes=classes, ratio=20.0 if classes > 1 else 1.0, test_images=3).data
        logits = np.random.default_rng(classes).normal(size=(3 * classes, classes))
        numbers = metrics.outcome(logits, np.repeat(np.arange(classes), 3), np.array(data.class_counts))
        Outcome(epoch=1, **numbers).check(data.class_counts, data.test_counts)

    def test_identity_is_the_hash(self, path):
        document = edited("identity", value="0" * 16)
        document["digest"]["identity"] = content_hash("0" * 16)
        assert refusal(path, document).startswith("identity: expected the hash of recipe, data and seed")


class TestLoadRefuses:
    @pytest.mark.parametrize("field", list(DOCUMENT))
    def test_a_missing_field(self, path, field):
        assert refusal(path, {k: v for k, v in DOCUMENT.items() if k != field}) == f"{field}: is missing"

    @pytest.mark.parametrize(
        ("keys", "value"),
        [
            (("command",), "gcl run another"),
            (("seed",), 1),
            (("recipe", "stages", 0, "rate"), 0.2),
            (("environment", "threads"), 2),
            (("fingerprint", 0, 0), 1.0),
            (("stages", 0, "course", "loss", 0), 0.5),
            (("stages", 2, "best", "ece"), 0.5),
        ],
    )
    def test_a_field_edited_by_hand(self, path, keys, value):
        expected = f"{keys[0]}: does not match its digest: it was edited or damaged"
        assert refusal(path, edited(*keys, value=value)) == expected

    @pytest.mark.parametrize("value", ["0", True, 0.0, None, -1, [0], 10**30])
    def test_a_value_of_another_type_or_range(self, path, value):
        document = copy.deepcopy(DOCUMENT)
        document["seed"] = value
        assert refusal(path, document).startswith("seed: ")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "is not JSON"),
            (b"\xff\xfe", "is not JSON"),
            (b"nothing", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"1" * 5_000, "is not JSON"),
            (b"[]", "is not a JSON object"),
            (b"3", "is not a JSON object"),
            (b"{}", "schema_version: is missing"),
            (b'{"seed":1,"seed":2}', "seed: stands there twice"),
        ],
    )
    def test_what_is_no_record_at_all(self, path, content, complaint):
        assert refusal(path, content).startswith(complaint)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_json_does_not_have(self, path, number):
        content = json.dumps(edited("stages", 0, "last", "ece", value="HERE")).replace('"HERE"', number)
        assert refusal(path, content.encode()).startswith(f"is not JSON ({number}")

    @pytest.mark.parametrize("keys", [("stages", 0, "last", "ece"), ("recipe", "stages", 0, "rate")])
    def test_numbers_too_large_for_a_float(self, path, keys):
        content = json.dumps(edited(*keys, value="HERE")).replace('"HERE"', "1e999")
        assert refusal(path, content.encode()).startswith(".".join(map(str, keys)))

    @pytest.mark.parametrize("keys", [("recipe", "x"), ("data", "class_counts"), ("digest",), ("stages", 0)])
    def test_a_key_that_stands_twice(self, path, keys):
        document = copy.deepcopy(DOCUMENT)
        document["recipe"]["x"] = None
        node = document
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = "HERE"
        content = json.dumps(document).replace('"HERE"', '{"a": 1, "a": 2}')
        where = ".".join(map(str, keys))
        assert refusal(path, content.encode()) == f"{where}: holds the key 'a' twice"

    def test_an_absurd_depth_inside_a_field(self, path):
        content = json.dumps(edited("recipe", "name", value="HERE")).replace('"HERE"', "[" * 900 + "]" * 900)
        assert refusal(path, content.encode()).startswith("recipe.name")

    def test_an_unknown_field_and_says_the_nearest(self, path):
        message = refusal(path, DOCUMENT | {"stage": 1})
        assert message == "stage: is no field of a record; did you mean 'stages'?"

    def test_control_characters_in_keys_stay_on_one_line(self, path):
        assert refusal(path, DOCUMENT | {"a\nb\ud800": 1}).startswith("a b\\ud800: is no field")

    def test_what_is_no_file(self, tmp_path):
        with pytest.raises(RecordError, match="a folder, expected the file of one record"):
            load(tmp_path)
        for place in (tmp_path / "missing.json", "a\0b"):
            with pytest.raises(RecordError, match=r"no such file|cannot be read"):
                load(place)

    def test_a_file_beyond_all_size(self, path, monkeypatch):
        save(RECORD, path)
        monkeypatch.setattr("gclib.records.files.MAX_BYTES", 1000)
        with pytest.raises(RecordError, match="larger than 1000 bytes"):
            load(path)
