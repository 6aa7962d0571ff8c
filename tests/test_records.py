"""The run record: its identity, all or nothing on disk, and where it is found."""

import errno
import hashlib
import json
import math
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from factories import RECORD, make_record
from pydantic import TypeAdapter

from gclib.errors import UserError
from gclib.records import (
    Course,
    RecordError,
    RunRecord,
    content_hash,
    find,
    find_with_paths,
    load,
    locate,
    place,
    results_path,
    run_identity,
    save,
)
from gclib.records.fields import Percents, Seconds

ROOT = Path(__file__).parents[1]
DOCUMENT = RECORD.model_dump(mode="json")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "record.json"


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

    def test_each_field_is_a_line_whose_text_its_digest_is_of(self, path):
        save(RECORD, path)
        first, *lines, last = path.read_text().splitlines()
        texts = dict(line.removesuffix(",").split(":", 1) for line in lines)
        assert (first, last) == ("{", "}")
        assert {name: content_hash(json.loads(text)) for name, text in texts.items()} == {
            name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()
        }
        texts.pop('"digest"')
        assert [name.strip('"') for name in texts] == list(RECORD.digest)

    @pytest.mark.parametrize("indent", [None, 0, 2])
    def test_a_file_written_otherwise_means_the_same(self, path, indent):
        path.write_text(json.dumps(RECORD.model_dump(mode="json"), indent=indent))
        assert load(path) == RECORD

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

    def test_a_column_is_rounded_as_each_number_of_it_is(self):
        random = 100 * np.random.default_rng(0).random(300)
        column = [*random, *(k / 1e4 for k in range(300)), *np.nextafter(random.round(4), 0), 0, 5e-5, 100]
        assert TypeAdapter(Percents).validate_python(column) == tuple(round(value, 4) for value in column)

    def test_numbers_too_large_to_be_rounded_stay(self):
        column = (1e13 + 0.3, 2.0**53 + 2, 1e308)
        assert TypeAdapter(Seconds).validate_python(column) == column

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
    for name in ("identity", "created"):
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
        with pytest.raises(UserError, match="keep replace"):
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


class TestPlaces:
    @pytest.mark.parametrize(
        ("choices", "expected"),
        [
            ({}, "smoke/digits-ir20/ce/seed0.json"),
            ({"ratio": 12.5, "seed": 3}, "smoke/digits-ir12.5/ce/seed3.json"),
            ({"ratio": None, "dataset": "imagenet-lt"}, "smoke/imagenet-lt-irfull/ce/seed0.json"),
            (
                {"dataset": "folder:/My Pictures/../x"},
                "smoke/folder-my-pictures-x-3ba67a71-ir20/ce/seed0.json",
            ),
            ({"dataset": "folder:птицы@64"}, "smoke/folder-птицы-64-d2f95cc0-ir20/ce/seed0.json"),
            ({"recipe": "gcl-official", "scale": "paper"}, "paper/digits-ir20/gcl-official/seed0.json"),
        ],
    )
    def test_results_path(self, choices, expected):
        assert results_path(make_record(**choices)) == Path("results", expected)

    def test_every_name_has_a_readable_place_of_its_own(self):
        names = [
            *(
                "folder:птицы",
                "folder:рыбы",
                "folder:鸟",
                "folder:鱼",
                "folder:Birds",
                "folder:birds",
                "folder:birds/",
            ),
            *(
                "folder:a b",
                "folder:a-b",
                "folder:a_b",
                "folder:a/b",
                "folder:a.b",
                "folder:..",
                "folder:a@8",
                "list:a@8",
            ),
            *(
                "folder:caf\u00e9",
                "folder:cafe\u0301",
                "folder:" + "x/" * 200,
                "folder:" + "鸟" * 200,
                "digits",
                "Digits",
            ),
        ]
        places = [place("smoke", name, 20.0, "ce", 0) for name in names]
        same = {unicodedata.normalize("NFC", str(path)).casefold() for path in places}
        assert len(same) == len(names)
        assert all(
            len(part.encode()) <= 255 and part.strip(". ") == part for path in places for part in path.parts
        )
        assert "птицы" in str(places[0])
        assert "鸟" in str(places[2])
        assert all(len(path.parts) == 4 for path in places)
        recipes = {
            str(place("smoke", "digits", 20.0, recipe, 0)).casefold() for recipe in ("ce", "CE", "a_b", "a-b")
        }
        assert len(recipes) == 4

    def test_committed_records_stay_where_they_are(self):
        found = find_with_paths(ROOT / "results")
        assert len(found) > 100
        for path, record in found:
            first = path.with_stem(path.stem.partition("-repeat")[0])
            assert results_path(record, ROOT / "results") == first
            assert first.exists()

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
