"""The fingerprint of a recipe: the same each time, another for other behaviour."""

import json
import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from factories import make_record

from gclib import ROOT, data, losses, recipes, records
from gclib.recipes import Recipe
from gclib.records.report import FINGERPRINT_TOLERANCE
from gclib.train.audit import other_recipe
from gclib.train.fingerprint import MADE_BY, Known, _fingerprint_data, fingerprint, made_by, refresh
from gclib.train.loop import Trainer


def resolve(name: str) -> Recipe:
    return recipes.get(name).resolve(data.load("digits", 20), "smoke")


def furthest(first: list[float], second: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


KNOWN, KNOWN_OF_SMALL = Known(), Known()


@pytest.fixture
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take fingerprints on images of 8x8 pixels, in a tenth of the time."""

    def small(class_counts: tuple[int, ...]) -> data.LongTailed:
        full = _fingerprint_data(class_counts)
        train = replace(full.train, images=full.train.images[:, :8, :8])
        return replace(full, train=train, test=train)

    monkeypatch.setattr("gclib.train.fingerprint._fingerprint_data", small)


@pytest.fixture
def official(small_images: None) -> list[list[float]]:
    return fingerprint(resolve("gcl-official"), KNOWN_OF_SMALL)


def test_it_is_the_same_again_whatever_the_caller_drew(official: list[list[float]]) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    # From a record: the recipe as JSON gives the same.
    again = fingerprint(Recipe.model_validate(resolve("gcl-official").model_dump(mode="json")))
    assert torch.equal(torch.get_rng_state(), before)
    assert again == official
    assert [len(stage) for stage in official] == [4, 4]
    assert all(torch.tensor(official).isfinite().flatten())


@pytest.mark.usefixtures("small_images")
def test_a_smoke_run_has_fewer_steps_since_it_takes_seconds() -> None:
    recipe, known = resolve("gcl-official"), Known()
    of_scale = {
        scale: fingerprint(recipe.model_copy(update={"scale": scale}), known)
        for scale in ("smoke", "short", "paper")
    }
    assert {scale: [len(stage) for stage in found] for scale, found in of_scale.items()} == {
        "smoke": [4, 4],
        "short": [12, 12],
        "paper": [12, 12],
    }


def test_other_recipes_and_other_formulas_have_another(
    official: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = fingerprint(resolve("ce"))
    assert furthest(plain, official[0]) > 0.1
    recipe = resolve("gcl-official")
    first_stage = recipe.model_copy(update={"stages": recipe.stages[:1]})
    monkeypatch.setattr(losses.gcl, "cloud_sizes", lambda *counts: 1.01 * losses.cloud_sizes(*counts))
    (changed,) = fingerprint(first_stage)
    assert furthest(changed, official[0]) > 100 * FINGERPRINT_TOLERANCE
    monkeypatch.undo()
    tau = resolve("gcl-official-tau")
    untrained = tau.model_copy(update={"stages": tau.stages[1:]})
    assert fingerprint(untrained) == [[]]


def test_what_recipes_share_is_computed_once(
    official: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Trainer, "train_epoch")
    assert fingerprint(resolve("gcl-official-tau"), KNOWN_OF_SMALL) == [official[0], []]


@pytest.mark.usefixtures("small_images")
def test_a_stage_that_diverges_ends_before_its_first_loss_that_is_no_number() -> None:
    recipe = resolve("ce-mixup-crt")
    stages = [stage.model_copy(update={"learning_rate": 1e36}) for stage in recipe.stages]
    wild = fingerprint(recipe.model_copy(update={"stages": tuple(stages), "scale": "short"}))
    assert len(wild) == 2
    assert 1 <= len(wild[0]) < 12
    assert all(math.isfinite(loss) for stage in wild for loss in stage)
    assert records.replay(wild, wild)[0].equal


KEPT = {records.content_hash(run.recipe): run for run in records.find(ROOT / "results")}


def test_the_committed_file_knows_the_recipe_of_every_record() -> None:
    stored = records.fingerprints(ROOT / "results")
    assert set(stored) == set(KEPT), "python -m gclib.train.fingerprint brings it up to date"


@cache
def chosen() -> set[str]:
    """Recipes whose fingerprints are computed here: all, or where nothing changed that they follow from, six.

    Which six changes with the code.
    """
    path = ROOT / "results" / records.FINGERPRINTS
    made = json.loads(path.with_name(MADE_BY).read_text())
    if made != made_by(made["modules"], path):
        return set(KEPT)
    return set(sorted(KEPT, key=lambda key: records.content_hash([key, made["files"]]))[:6])


@pytest.mark.parametrize("key", KEPT)
def test_the_committed_fingerprints_are_those_of_today(key: str) -> None:
    if key not in chosen():
        pytest.skip(
            "made by the same code, versions and kind of processor, and not among the six that are looked at"
        )
    stored = records.fingerprints(ROOT / "results")[key]
    if other_recipe(KEPT[key]):
        assert stored == [], "python -m gclib.train.fingerprint brings it up to date"
        return
    begun = time.process_time()
    today = fingerprint(Recipe.model_validate(KEPT[key].recipe), KNOWN)
    assert time.process_time() - begun < 20, "about 4 s on an idle core"
    steps = records.replay(stored, today)
    assert steps
    assert all(step.equal for step in steps), "python -m gclib.train.fingerprint brings it up to date"


def test_the_file_has_each_recipe_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(seed: int) -> records.RunRecord:
        fields = make_record(seed=seed).model_dump(exclude={"identity", "digest"})
        return records.RunRecord(**fields | {"recipe": resolve("ce").model_dump(mode="json")})

    for seed in (0, 1):
        records.save(record(seed), tmp_path / f"seed{seed}.json")
    asked: list[str] = []
    monkeypatch.setattr(
        "gclib.train.fingerprint.fingerprint", lambda recipe, known: asked.append(recipe.name) or [[1 / 3]]
    )
    refresh(tmp_path)
    assert asked == ["ce"]
    assert records.fingerprints(tmp_path) == {records.content_hash(record(0).recipe): [[0.333333333]]}
    made = json.loads((tmp_path / MADE_BY).read_text())
    assert {"gclib/train/fingerprint.py", "gclib/losses/gcl.py", "gclib/train/loop.py"} <= made[
        "files"
    ].keys()


def test_whatever_a_fingerprint_may_follow_from_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gclib.train.fingerprint.ROOT", tmp_path)
    folder, path = tmp_path / "gclib" / "part", tmp_path / records.FINGERPRINTS
    folder.mkdir(parents=True)
    files = [folder / "__init__.py", folder / "loaded.py", folder / "other.py", folder / "data.toml", path]
    for file in files:
        file.write_text("1")
    before = made_by(["gclib.part", "gclib.part.loaded"], path)
    for file in files:
        file.write_text("2")
        same = made_by(before["modules"], path) == before
        assert same == (file.name == "other.py"), file.name
        file.write_text("1")
    (folder / "new.py").write_text("")  # as a method that is found by its file
    assert made_by(before["modules"], path) != before
    for version in ("torch.__version__", "numpy.__version__", "gclib.train.fingerprint.processor"):
        (folder / "new.py").unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(version, (lambda: "0") if version.endswith("processor") else "0")
            assert made_by(before["modules"], path) != before, version
    assert made_by(before["modules"], path) == before


@pytest.mark.usefixtures("small_images")
def test_the_callers_threads_do_not_matter() -> None:
    one = fingerprint(resolve("ce"))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert fingerprint(resolve("ce")) == one
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
