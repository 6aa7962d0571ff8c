"""Photos in their files: the same bits whatever reads them, and one line for what cannot be read."""

import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import folder, photo
from PIL import Image
from training import no_fingerprint, same, small_network

from gclib import classifier, data, load_classifier, metrics, recipes, records, train
from gclib.data import LongTailed, Split, views
from gclib.data.photos import Photos, too_large
from gclib.errors import UserError
from gclib.methods import stage as stages
from gclib.methods.images import Batch, Cut, Draws
from gclib.methods.stage import Stage
from gclib.train import loop, making, runner, runs, streamed
from gclib.train.fleet import Stopped
from gclib.train.loop import Trainer
from gclib.train.making import draw_seed, make_stage
from gclib.train.plan import stage_plan
from gclib.train.resident import Resident
from gclib.train.streamed import Streamed, usual_workers

CPU = torch.device("cpu")
SIDE = 66


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (making, runner, classifier):
        monkeypatch.setattr(module, "make_network", small_network)
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)
    monkeypatch.setenv("GCLIB_WORKERS", "0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> LongTailed:
    return data.load(f"folder:{folder(tmp_path_factory.mktemp('photos'))}@{SIDE}")


def in_memory(photos: LongTailed) -> LongTailed:
    """The same, its photos read once for all as a test sees them."""
    train, test = (replace(split, images=np.asarray(split.images)) for split in (photos.train, photos.test))
    return replace(photos, train=train, test=test)


def recipe(name: str, photos: LongTailed, **overrides: Any) -> recipes.Recipe:
    return recipes.get(name).resolve(photos, "smoke", **{"epochs": 2, "batch_size": 8} | overrides)


def stage_of(name: str, photos: LongTailed, **overrides: Any) -> Stage:
    resolved = recipe(name, photos, **overrides)
    return make_stage(resolved.stages[0], resolved.head, photos, 0, 0, None, resolved.network)


def batches(photos: LongTailed, draws: Draws, workers: int, size: int = 8) -> list[Batch]:
    count = len(draws.indices)
    cuts = [Cut(k, start, min(start + size, count)) for k, start in enumerate(range(0, count, size))]
    images = Streamed(
        photos.train.images, photos.train.labels, photos.augmentation, CPU, torch.float32, workers
    )
    given = images.begin(draws, cuts, None)
    return [images.batch(given, torch.arange(c.start, c.stop), torch.tensor([c.step])) for c in cuts]


def tensors(batch: Batch) -> Iterator[torch.Tensor]:
    for value in vars(batch).values():
        if isinstance(value, Batch):
            yield from tensors(value)
        elif value is not None:
            yield value


def test_large_images_stay_in_their_files_and_small_ones_come_into_memory(photos: LongTailed) -> None:
    assert isinstance(photos.train.images, Photos)
    assert photos.train.images.shape == (len(photos.train), SIDE, SIDE, 3)
    assert [too_large(10, 64), too_large(10, 65), too_large(180_000, 64)] == [False, True, True]
    root = photos.train.images.path(0).parents[1]
    small = data.load(f"folder:{root}@64")
    assert isinstance(small.train.images, np.ndarray)
    assert small.train.labels.tolist() == photos.train.labels.tolist()


def test_a_test_pass_sees_what_an_array_of_them_holds(photos: LongTailed) -> None:
    resident = Resident(in_memory(photos).test, photos.augmentation, CPU, torch.float64)
    before = torch.random.get_rng_state()
    for workers in (0, 2):
        read = Streamed(
            photos.test.images, photos.test.labels, photos.augmentation, CPU, torch.float64, workers
        )
        chosen = torch.tensor([3, 0])
        for which in (None, chosen):
            assert torch.equal(torch.cat(list(read.plain(which))), torch.cat(list(resident.plain(which))))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("parts", [1, 3])
def test_training_without_augmentation_is_that_on_an_array(photos: LongTailed, parts: int) -> None:
    def losses(source: LongTailed) -> tuple[list[float], dict[str, Any]]:
        stage = stage_of("ce", source, augment=False, parts=parts)
        trainer = Trainer(stage, source, CPU, "float32", 0)
        trainer.train_epoch(0)
        trainer.evaluate(1)
        return trainer.step_losses, trainer.last

    assert losses(photos) == losses(in_memory(photos))


def test_features_are_computed_from_the_files(photos: LongTailed, tmp_path: Path) -> None:
    def state(source: LongTailed, name: str) -> dict[str, Any]:
        resolved = recipe("ce", source, epochs=1, trains="head", augment=False)
        return train.fit_first_stage(resolved, source, seed=0, device="cpu", workdir=tmp_path / name)

    first, second = state(photos, "files"), state(in_memory(photos), "array")
    assert len(list((tmp_path / "files" / "features").iterdir())) == 1
    assert same(first["weights"], second["weights"])


@pytest.mark.parametrize(
    ("name", "changes"), [("gcl-official", {"mixup": 0.2}), ("bbn", {}), ("hybrid-sc", {})]
)
def test_workers_change_no_bit_of_a_batch(photos: LongTailed, name: str, changes: dict[str, Any]) -> None:
    draws = stage_of(name, photos, **changes).draw(torch.Generator().manual_seed(0))
    assert draws.offsets.shape[1] == views.NUMBERS
    alone, two = (batches(photos, draws, workers) for workers in (0, 2))
    for one, other in zip(alone, two, strict=True):
        pairs = list(zip(tensors(one), tensors(other), strict=True))
        assert len(pairs) == {"gcl-official": 5, "bbn": 4, "hybrid-sc": 6}[name]
        assert all(torch.equal(a, b) for a, b in pairs)
    assert alone[0].images.shape == (8, 3, SIDE, SIDE)
    plain = next(Resident(in_memory(photos).train, photos.augmentation, CPU, torch.float32).plain())
    assert not torch.allclose(alone[0].images, plain[draws.indices[:8]], atol=0.5)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    photos: LongTailed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = recipe("gcl-official", photos)

    def run(folder: str) -> dict[str, Any]:
        return train.fit_first_stage(resolved, photos, seed=0, device="cpu", workdir=tmp_path / folder)

    whole = run("whole")
    monkeypatch.setenv("GCLIB_WORKERS", "1")
    with monkeypatch.context() as patch:
        patch.setattr(loop.fleet, "pause", lambda: True)
        with pytest.raises(Stopped):
            run("broken")
    again = run("broken")
    assert same(whole["weights"], again["weights"])
    assert whole["decoders"] == again["decoders"] == [views.decoder_name()]
    assert [whole[k]["top1"] for k in ("last", "best")] == [again[k]["top1"] for k in ("last", "best")]


def test_a_run_says_what_decoded_and_its_classifier_sees_photos_as_the_test_did(
    photos: LongTailed, tmp_path: Path
) -> None:
    record = train.fit(
        recipe("ce", photos, epochs=1, held_out=0.3), photos, seed=0, device="cpu", workdir=tmp_path
    )
    assert record.environment.decoder == views.decoder_name()
    assert "decoder" not in record.environment.model_copy(update={"decoder": None}).model_dump()
    path = tmp_path / record.identity / "record.json"
    assert records.load(path).environment.decoder == record.environment.decoder
    model = load_classifier(path.with_name(records.CLASSIFIER))
    assert model.card.scaled == round(SIDE * 256 / 224)
    paths = [photos.test.images.path(k) for k in range(len(photos.test))]
    seen = torch.stack([model.transform(path) for path in paths])
    stage = stage_of("ce", photos)
    expected = Trainer(stage, photos, CPU, "float32", draw_seed(0, 0)).test_set
    assert torch.equal(seen, torch.cat(list(expected.plain())))
    with Image.open(paths[0]) as image:
        assert torch.equal(model.transform(image), seen[0])


def test_both_decoders_give_nearly_the_same_pixels(
    photos: LongTailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    if views._torchcodec() is None:
        pytest.skip("torchcodec is not installed")
    first = np.asarray(photos.test.images).astype(int)
    monkeypatch.setattr(views, "_torchcodec", lambda: None)
    assert np.abs(first - np.asarray(photos.test.images)).mean() < 0.1


def test_unreadable_files_are_named_at_once_before_training(tmp_path: Path) -> None:
    root = folder(tmp_path / "own", (4, 3))
    whole = (root / "class0" / "1.jpg").read_bytes()
    (root / "class0" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "class1" / "6.jpg").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        data.load(f"folder:{root}@{SIDE}")
    said = str(caught.value)
    assert said.startswith("2 of 7 files cannot be used: ")
    assert ("class0/1.jpg (" in said, "class1/6.jpg (" in said, "\n" in said) == (True, True, False)


def test_a_temporary_folder_of_any_length_loses_no_batch(
    photos: LongTailed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(streamed, "SILENCE", 10)
    split = photos.test
    images = Streamed(split.images, split.labels, photos.augmentation, CPU, torch.float32, 1)
    assert sum(len(part) for part in images.plain()) == len(split)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_damaged_meanwhile_ends_the_run_in_one_line(tmp_path: Path, workers: int) -> None:
    source = data.load(f"folder:{folder(tmp_path / 'own', (4, 3))}@{SIDE}")
    damaged = source.train.images.path(2)
    damaged.write_bytes(damaged.read_bytes()[:300])
    read = Streamed(
        source.train.images, source.train.labels, source.augmentation, CPU, torch.float32, workers
    )
    # Not kept: what refers to itself leaves its reader to be found at the end, and that takes five seconds.
    with pytest.raises(UserError, match=rf"^{damaged}: not a readable image.*\Z"):
        list(read.plain())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_reader_that_is_killed_ends_the_run_in_one_line(photos: LongTailed, at_once: bool) -> None:
    class Killed:
        def __iter__(self) -> Iterator[torch.Tensor]:
            if at_once:
                raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed.\nmore")
            return self

        def __next__(self) -> torch.Tensor:
            raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed.\nmore")

    read = Streamed(photos.train.images, photos.train.labels, photos.augmentation, CPU, torch.float32, 1)
    read.loader = Killed()  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"^a process that reads images ended .*GCLIB_WORKERS") as caught:
        list(read.plain())
    assert "\n" not in str(caught.value)


def test_the_digest_is_of_files_and_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "own", (5, 4))
    name = f"folder:{root}"
    first = data.load(f"{name}@{SIDE}")
    assert data.load(f"{name}@{SIDE}").digest == first.digest
    assert data.load(f"{name}@80").digest != first.digest
    path = first.test.images.path(0)
    photo(99).save(path, quality=92)
    assert data.load(f"{name}@{SIDE}").digest != first.digest


def test_memory_does_not_grow_with_the_photos(tmp_path: Path) -> None:
    root = folder(tmp_path / "own", (14, 6))
    data.load(f"folder:{root}@66")  # modules and tables of formats, which are loaded once
    tracemalloc.start()
    loaded = data.load(f"folder:{root}@448")
    read = Streamed(
        loaded.train.images[:4], loaded.train.labels[:4], loaded.augmentation, CPU, torch.float32, 0
    )
    assert sum(len(part) for part in read.plain()) == 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * 20 * 448**2 * 3


def test_noise_that_would_fill_the_memory_is_drawn_step_by_step(
    photos: LongTailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "NOISE_AT_ONCE", 20)
    stage = stage_of("gcl-official", photos, mixup=0.2)
    draws = stage.draw(torch.Generator().manual_seed(0))
    assert draws.noise is None
    assert draws.seeds is not None
    assert len(draws.seeds) == 3
    noise = torch.stack([stage.noise(int(seed), 8) for seed in torch.arange(200)])
    assert noise.shape == (200, 8, 2, 3)
    assert float(noise.std()) == pytest.approx(1 / 3, rel=0.05)
    seen: list[torch.Tensor] = []
    loss = stage.loss
    monkeypatch.setattr(stage, "loss", lambda batch: (seen.append(batch.noise), loss(batch))[1])
    trainer = Trainer(stage, photos, CPU, "float32", 0)
    trainer.train_epoch(0)
    drawn = stage_of("gcl-official", photos, mixup=0.2).draw(torch.Generator().manual_seed(0))
    assert len(seen) == len(drawn.seeds) > 1
    for step, noise in enumerate(seen):
        assert torch.equal(noise, stage.noise(int(drawn.seeds[step]), len(noise)))


def test_predictions_and_confidence_give_the_outcome_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (200, 5)), rng.integers(0, 5, 200)
    parts = [metrics.answers(part) for part in np.split(logits, [30, 100])]
    found = metrics.Answers(*map(np.concatenate, zip(*parts, strict=True)))
    assert metrics.outcome(found, labels, [9, 7, 5, 3, 1]) == metrics.outcome(logits, labels, [9, 7, 5, 3, 1])


def test_readers_are_as_many_as_cores_and_shared_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCLIB_WORKERS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    room = [2**40]
    monkeypatch.setattr(streamed.os.path, "isdir", lambda path: True)
    monkeypatch.setattr(streamed.shutil, "disk_usage", lambda path: type("Usage", (), {"free": room[0]}))
    batch, gpu = 128 * 224**2 * 3, torch.device("cuda")
    assert [usual_workers(device, batch) for device in (CPU, gpu)] == [4, 8]
    room[0] = 2**26  # of a container: one batch of pixels is 19 MB
    assert usual_workers(gpu, batch) == 0
    monkeypatch.setenv("GCLIB_WORKERS", "3")
    assert usual_workers(gpu, batch) == 3
    monkeypatch.setenv("GCLIB_WORKERS", "many")
    with pytest.raises(UserError, match="GCLIB_WORKERS is 'many'; expected a number"):
        usual_workers(gpu, batch)


def test_files_and_labels_are_all_that_another_source_needs(photos: LongTailed) -> None:
    paths = [photos.train.images.path(k) for k in range(6)]
    split = Split(Photos.of(paths, SIDE), np.arange(6) % 2)
    data.sources.check_splits("own", split, split, ("a", "b"))
    assert np.asarray(split.of(np.array([4, 1])).images).shape == (2, SIDE, SIDE, 3)
    assert split.images[2:4].path(1) == paths[3]


@pytest.mark.parametrize("name", ["oltr", "ce-mixup-ncm"])
def test_a_stage_that_begins_with_a_pass_makes_it_over_the_files(photos: LongTailed, name: str) -> None:
    resolved = recipe(name, photos)
    second = [
        make_stage(resolved.stages[1], resolved.head, source, 0, 1, None).state_dict()
        for source in (photos, in_memory(photos))
    ]
    assert same(*second)
    assert len(stage_plan(resolved, photos, 0)) == 3
