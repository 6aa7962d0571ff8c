"""The run record: one form, all or nothing on disk, and no edit goes unnoticed."""

import copy
import errno
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from factories import make_record
from hypothesis import given, settings
from hypothesis import strategies as st

from gclib import metrics
from gclib.errors import UserError
from gclib.records import (
    Course,
    Difference,
    Outcome,
    RecordError,
    RunRecord,
    compare,
    content_hash,
    find,
    fingerprints,
    load,
    locate,
    marks,
    replay,
    results_path,
    run_identity,
    save,
    show,
    verify,
)

RECORD = make_record(epochs=(10, 6), seed=31)  # with this seed best and last differ in every stage
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


class TestContentHash:
    def test_is_the_start_of_sha256_of_canonical_json(self):
        # printf '{"a":[1,2.5,null],"b":"x"}' | sha256sum
        assert content_hash({"b": "x", "a": (1, 2.5, None)}) == "6739d783db2ab3fd"

    def test_tells_numbers_and_text_apart(self):
        assert len({content_hash(value) for value in (1, 1.0, "1", True, [1])}) == 5

    def test_takes_models(self):
        assert content_hash([RECORD.data]) == content_hash([DOCUMENT["data"]])

    @pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
    def test_refuses_what_is_not_json(self, value):
        with pytest.raises((ValueError, TypeError)):
            content_hash({"a": value})


class TestRoundTrip:
    @pytest.mark.parametrize("epochs", [(6,), (0,), (6, 3), (6, 0), (6, 3, 2)])
    @pytest.mark.parametrize("shape", [{}, {"classes": 12}, {"ratio": None}, {"classes": 1, "ratio": 1.0}])
    def test_load_gives_back_what_save_took(self, path, epochs, shape):
        record = make_record(epochs=epochs, **shape)
        save(record, path)
        assert load(path) == record

    def test_saved_twice_the_file_is_the_same(self, tmp_path):
        save(RECORD, tmp_path / "a.json")
        save(load(tmp_path / "a.json"), tmp_path / "b.json")
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()

    def test_a_long_run_with_100_classes_fits_in_40_kb(self, path):
        record = make_record(
            dataset="cifar100", ratio=100.0, classes=100, test_images=10_007, epochs=(200, 30), scale="paper"
        )
        save(record, path)
        assert path.stat().st_size <= 40_000
        assert len(load(path).stages[0].course.loss) == 200

    def test_numbers_are_rounded(self):
        course = Course(
            loss=[1.23456789],
            learning_rate=[1e-7 / 3],
            train_accuracy=[100 / 3],
            seconds=[1.23456],
            test_epochs=[1],
            test_accuracy=[200 / 3],
        )
        values = [column[0] for column in course.model_dump().values()]
        assert values == [1.23457, 3.33333e-08, 33.3333, 1.235, 1, 66.6667]

    def test_is_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            RECORD.seed = 1


def test_identity_is_recipe_data_and_seed_but_not_the_machine():
    elsewhere = RECORD.environment.model_copy(update={"device": "another", "precision": "bfloat16"})
    fields = dict(RECORD.model_copy(update={"environment": elsewhere}))
    for name in ("identity", "digest", "created"):
        del fields[name]
    assert RunRecord(**fields).identity == RECORD.identity
    assert RECORD.identity == run_identity(RECORD.recipe, RECORD.data, RECORD.seed)
    others = [
        make_record(**{"epochs": (10, 6), "seed": 2, **change})
        for change in ({"seed": 1}, {"recipe": "gcl"}, {"ratio": 10.0})
    ]
    assert len({record.identity for record in [RECORD, *others]}) == 4


def test_clean_follows_the_last_epochs_and_paper_style_the_best():
    one, from_last, from_best = RECORD.stages
    assert (one.start, from_last.start, from_best.start) == ("scratch", "last", "best")
    assert RECORD.clean is from_last.last
    assert RECORD.paper_style is from_best.best
    single = make_record(epochs=(10,), seed=31)
    assert single.clean is single.stages[0].last
    assert single.paper_style is single.stages[0].best
    assert single.clean != single.paper_style


class TestSave:
    def test_makes_folders(self, tmp_path):
        save(RECORD, tmp_path / "a" / "b" / "seed0.json")
        assert load(tmp_path / "a" / "b" / "seed0.json") == RECORD

    def test_replaces_only_when_told_to(self, path):
        save(RECORD, path)
        other = make_record(seed=1)
        with pytest.raises(UserError, match="--force"):
            save(other, path)
        assert load(path) == RECORD
        save(other, path, force=True)
        assert load(path) == other

    @pytest.mark.parametrize("call", ["replace", "fsync"])
    @pytest.mark.parametrize("there", [True, False])
    def test_leaves_nothing_half_written(self, path, monkeypatch, call, there):
        if there:
            save(RECORD, path)
        before = sorted(path.parent.iterdir())

        def fail(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(UserError, match="No space left on device") as caught:
            save(make_record(seed=1), path, force=True)
        assert len(str(caught.value).splitlines()) == 1
        assert sorted(path.parent.iterdir()) == before
        assert not there or load(path) == RECORD

    def test_says_where_it_may_not_write(self, path, monkeypatch):
        def fail(*_, **__):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "mkdir", fail)
        with pytest.raises(UserError, match="Permission denied"):
            save(RECORD, path)

    def test_refuses_a_record_that_was_changed_after_it_was_made(self, path):
        record = make_record()
        record.recipe["name"] = "another"
        with pytest.raises(RecordError, match="recipe"):
            save(record, path)
        assert not path.exists()


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
        Outcome(**numbers, top1=75.0, confusion=[[3, 0], [1, 0]]).check(data)
        with pytest.raises(ValueError, match=r"top1: expected 75\.0"):
            Outcome(**numbers, top1=50.0, confusion=[[3, 0], [1, 0]]).check(data)

    @pytest.mark.parametrize("classes", [1, 2, 10, 11, 30])
    def test_what_metrics_gives_passes(self, classes):
        data = make_record(classes=classes, ratio=20.0 if classes > 1 else 1.0, test_images=3).data
        logits = np.random.default_rng(classes).normal(size=(3 * classes, classes))
        numbers = metrics.outcome(logits, np.repeat(np.arange(classes), 3), np.array(data.class_counts))
        Outcome(epoch=1, **numbers).check(data)

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
        for place in (tmp_path, tmp_path / "missing.json", "a\0b"):
            with pytest.raises(RecordError, match=r"no such file|cannot be read"):
                load(place)

    def test_a_file_beyond_all_size(self, path, monkeypatch):
        save(RECORD, path)
        monkeypatch.setattr("gclib.records.files.MAX_BYTES", 1000)
        with pytest.raises(RecordError, match="larger than 1000 bytes"):
            load(path)


def places(value, keys=()):
    """Paths to all values of a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*keys, key)
        yield from places(item, (*keys, key))


PLACES = list(places(DOCUMENT))
# As many from each top-level field: most values of a record are numbers of its stages.
PLACE = st.one_of([st.sampled_from([keys for keys in PLACES if keys[0] == field]) for field in DOCUMENT])
TEXT = st.text(st.characters(), max_size=5)  # lone surrogates too, which JSON can hold and no terminal prints
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@st.composite
def mutations(draw):
    """A mutated document and the top-level field where it was mutated."""
    document = copy.deepcopy(DOCUMENT)
    *parents, key = draw(PLACE)
    node = document
    for parent in parents:
        node = node[parent]
    match draw(st.sampled_from(["drop", "replace", "nudge", "insert", "wrap", "copy"])):
        case "drop":
            del node[key]
        case "replace":
            node[key] = draw(VALUE)
        case "nudge" if isinstance(node[key], int | float):
            node[key] = draw(st.sampled_from([node[key] + 1, node[key] * 1.001, -node[key], str(node[key])]))
        case "insert" if isinstance(node, dict):
            key = draw(TEXT.filter(lambda name: name not in node))
            node[key] = draw(VALUE)
        case "wrap":
            node[key] = [node[key]]
        case _:
            keys = draw(PLACE)
            value = DOCUMENT
            for step in keys:
                value = value[step]
            node[key] = copy.deepcopy(value)
    return document, str(parents[0] if parents else key)


def load_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "record.json")
        path.write_bytes(content)
        try:
            return load(path)
        except RecordError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert len(message.splitlines()) == 1
            message.encode()
            return message.removeprefix(f"{path}: ")


PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)


@PROPERTY
@given(mutations())
def test_a_mutated_record_is_refused_by_field_or_means_the_same(mutation):
    document, field = mutation
    result = load_bytes(json.dumps(document).encode())
    if isinstance(result, RunRecord):
        assert result == RECORD
    else:
        # NaN and Infinity are no JSON, so that no field is reached.
        shown = " ".join(field.split()).encode("utf-8", "backslashreplace").decode()
        assert shown in result or result.startswith("is not JSON (")


@PROPERTY
@given(mutations())
def test_a_forged_record_is_refused_or_valid(mutation):
    """With its digests made anew, what loads is a record that can be saved and loaded like any other."""
    document, _ = mutation
    try:
        document["identity"] = content_hash({key: document[key] for key in ("recipe", "data", "seed")})
        document["digest"] = {key: content_hash(document[key]) for key in document if key != "digest"}
    except (KeyError, ValueError):
        return
    result = load_bytes(json.dumps(document).encode())
    if isinstance(result, RunRecord):
        assert load_bytes(json.dumps(result.model_dump(mode="json")).encode()) == result
        assert show(result)
        assert results_path(result, "x").parts[:2] == ("x", result.scale)


@PROPERTY
@given(st.data())
def test_damaged_bytes_are_refused_or_mean_the_same(data):
    content = bytearray(json.dumps(DOCUMENT).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "overwrite", "cut", "remove", "truncate"])):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "overwrite":
                content[at] = data.draw(st.sampled_from(b'{}[]",:0 \\-e.n'))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 200))]
            case "remove":
                del content[at]
            case _:
                del content[max(at, 1) :]
        content = content or bytearray(b" ")
    result = load_bytes(bytes(content))
    if isinstance(result, RunRecord):
        assert result == RECORD
    else:
        assert any(name in result for name in DOCUMENT) or result.startswith("is not ")


class TestPlaces:
    @pytest.mark.parametrize(
        ("choices", "expected"),
        [
            ({}, "smoke/digits-ir20/ce/seed0.json"),
            ({"ratio": 12.5, "seed": 3}, "smoke/digits-ir12.5/ce/seed3.json"),
            ({"ratio": None, "dataset": "imagenet-lt"}, "smoke/imagenet-lt-irfull/ce/seed0.json"),
            ({"dataset": "folder:/My Pictures/../x"}, "smoke/folder-my-pictures-..-x-ir20/ce/seed0.json"),
            ({"recipe": "gcl-official", "scale": "paper"}, "paper/digits-ir20/gcl-official/seed0.json"),
        ],
    )
    def test_results_path(self, choices, expected):
        assert results_path(make_record(**choices)) == Path("results", expected)

    def test_find_filters_and_sorts(self, tmp_path):
        made = [
            make_record(recipe=recipe, ratio=ratio, seed=seed, epochs=(2,))
            for recipe in ("ce", "gcl")
            for ratio in (10.0, 20.0)
            for seed in (0, 10, 2)
        ]
        for record in made:
            save(record, results_path(record, tmp_path))
        (tmp_path / "array.json").write_text("[]")
        ordered = sorted(made, key=lambda r: (r.data.ratio, r.name, r.seed))
        assert find(tmp_path) == ordered
        assert find(tmp_path, recipe="gcl", ratio=20) == [r for r in ordered if r.name == "gcl"][3:]
        assert [r.seed for r in find(tmp_path, recipe="ce", ratio=10)] == [0, 2, 10]
        assert find(tmp_path, dataset="cifar10") == find(tmp_path, scale="paper") == []
        assert find(tmp_path / "missing") == []

    def test_find_takes_the_record_in_a_run_folder(self, tmp_path):
        save(RECORD, tmp_path / RECORD.identity / "record.json")
        assert find(tmp_path) == [RECORD]

    def test_find_does_not_pass_over_a_broken_record(self, tmp_path):
        (tmp_path / "seed0.json").write_text("{")
        with pytest.raises(RecordError, match=r"seed0\.json"):
            find(tmp_path)


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
        assert verify(shorter, fingerprint(9e-7)) is None
        assert verify(shorter, fingerprint(-2e-6)).startswith("stale: stage 2, step 5: ")
        assert "None now" in verify(RECORD, fingerprint())
        assert verify(shorter, fingerprint(math.nan)).startswith("stale: ")

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


def test_a_record_is_found_by_path_or_identity(tmp_path):
    first, second = make_record(recipe="ce"), make_record(recipe="bbn")
    kept, run = results_path(first, tmp_path / "results"), tmp_path / "runs" / second.identity / "record.json"
    save(first, kept)
    save(second, run)
    roots = (tmp_path / "results", tmp_path / "runs")
    assert locate(first.identity, *roots) == kept
    assert locate(second.identity, *roots) == run
    assert locate(str(run), *roots) == run
    assert locate("missing.json", *roots) == Path("missing.json")
    with pytest.raises(UserError, match="no record has the identity 0123456789abcdef"):
        locate("0123456789abcdef", *roots)
