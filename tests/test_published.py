"""The sets of Table 2: official lists proven by hash, every usual layout, and one clear line for what is missing."""

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photographs import photo
from training import no_fingerprint, small_network

from gclib import classifier, data, load_classifier, recipes, train
from gclib.cli import data as cli
from gclib.data.listed import listed, published_images
from gclib.data.longtail import positions_in_class, subset_digest
from gclib.data.published import PUBLISHED, Published, published_counts
from gclib.errors import UserError
from gclib.train import making, runner, runs

lists = importlib.import_module("gclib.data.listed")  # of this name there is a function, too

# Two classes with three training images and two test images, written as the official lists are.
SMALL = {
    "imagenet-lt": (
        [
            ("train/n01440764/n01440764_190.JPEG", 0),
            ("train/n01440764/n01440764_9.JPEG", 0),
            ("train/n01443537/n01443537_2.JPEG", 1),
        ],
        [
            ("val/n01440764/ILSVRC2012_val_00029930.JPEG", 0),
            ("val/n01443537/ILSVRC2012_val_00000236.JPEG", 1),
        ],
    ),
    "places-lt": (
        [
            ("train/airfield/00004851.jpg", 0),
            ("train/airfield/00004596.jpg", 0),
            ("train/museum-outdoor/00000002.jpg", 1),
        ],
        [
            ("val/airfield/Places365_val_00003597.jpg", 0),
            ("val/museum-outdoor/Places365_val_00000001.jpg", 1),
        ],
    ),
    "inaturalist2018": (
        [
            ("train_val2018/Plantae/1/a.jpg", 1),
            ("train_val2018/Insecta/0/b.jpg", 0),
            ("train_val2018/Insecta/0/c.jpg", 0),
        ],
        [("train_val2018/Insecta/0/d.jpg", 0), ("train_val2018/Plantae/1/e.jpg", 1)],
    ),
}


KNOWN = {"imagenet-lt": np.array([2, 1]), "places-lt": np.array([2, 1])}


def written(name: str, entries: list[tuple[str, int]]) -> bytes:
    if name != "inaturalist2018":
        return "".join(f"{path} {label}\n" for path, label in entries).encode()
    images = [{"id": 7 + k, "file_name": path} for k, (path, _) in enumerate(entries)]
    labels = [{"image_id": 7 + k, "category_id": label} for k, (_, label) in enumerate(entries)]
    return json.dumps({"images": images, "annotations": labels[::-1]}).encode()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write the lists of a set, known by their hashes, and return the folder of its photographs."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        files = {}
        for which, entries in zip(("train", "test"), SMALL[name], strict=True):
            file, official = getattr(PUBLISHED[name], which)
            (folder / file).write_bytes(written(name, entries))
            files[which] = (file, official and hashlib.sha256((folder / file).read_bytes()).hexdigest())
        monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], **files, sizes=(3, 2), classes=2))
        return folder

    return make


def lay(folder: Path, name: str, place: Callable[[str], str]) -> None:
    for path, _ in (entry for split in SMALL[name] for entry in split):
        photograph = folder / place(path)
        photograph.parent.mkdir(parents=True, exist_ok=True)
        photograph.touch()


def test_braces_in_the_folder_of_photographs_are_letters(small: Callable[[str], Path]) -> None:
    folder = small("places-lt")
    braced = folder.parent / "{me}" / folder.name
    braced.parent.mkdir()
    folder.rename(braced)
    lay(braced, "places-lt", str)
    assert all(path.is_file() for split in listed("places-lt", braced.parent).files() for path in split.paths)


def flat(path: str) -> str:
    kind, *_, file = path.split("/")
    return path if kind == "train" else f"val/{file}"


def kaggle(path: str) -> str:
    return f"ILSVRC/Data/CLS-LOC/{flat(path)}"


def places(path: str, train: str = "data_256", val: str = "val_256") -> str:
    kind, folder, file = path.split("/")
    return f"{train}/{folder[0]}/{folder.replace('-', '/')}/{file}" if kind == "train" else f"{val}/{file}"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("imagenet-lt", str),
        ("imagenet-lt", flat),
        ("imagenet-lt", kaggle),
        ("places-lt", str),
        ("places-lt", places),
        ("places-lt", lambda path: places(path, "data_256_standard")),
        ("places-lt", lambda path: places(path, "data_large", "val_large")),
        ("inaturalist2018", str),
        ("inaturalist2018", lambda path: path.replace("train_val2018", "2018")),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_photographs_are_found_in_every_usual_layout(
    small: Callable[[str], Path], name: str, place: Callable[[str], str], beside: bool
) -> None:
    folder = small(name)
    root = folder.parent
    lay(folder if beside else root, name, place)
    found = listed(name, root)
    for split, entries in zip(found.files(), SMALL[name], strict=True):
        ordered = sorted(entries, key=lambda entry: entry[1])
        assert split.labels.tolist() == [label for _, label in ordered]
        assert [path.name for path in split.paths] == [path.rpartition("/")[2] for path, _ in ordered]
        assert all(path.is_file() for path in split.paths)
    expected = {"imagenet-lt": "n01443537", "places-lt": "museum-outdoor", "inaturalist2018": "Plantae/1"}
    assert found.class_names[1] == expected[name]


def test_another_list_of_the_same_length_is_not_taken(small: Callable[[str], Path]) -> None:
    folder = small("places-lt")
    lay(folder, "places-lt", str)
    path = folder / "Places_LT_train.txt"
    path.write_text(path.read_text().replace("00004851.jpg 0", "00004851.jpg 1"))
    with pytest.raises(
        UserError, match=r"not the official list: SHA-256 .* take it from the folder data/Places_LT"
    ):
        listed("places-lt", folder.parent)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda content: content[: len(content) // 2],
            r"cannot be understood .* take it from github.com/visipedia",
        ),
        (lambda content: b"{}", r"cannot be understood \('annotations'\)"),
        (
            lambda content: written("inaturalist2018", SMALL["inaturalist2018"][0][:2]),
            r"lists 2 .*, expected 3",
        ),
        (
            lambda content: written("inaturalist2018", [("a/b/c/d.jpg", 5)] * 3),
            r"3 classes in its lists, expected 2 numbered from 0",
        ),
    ],
)
def test_annotations_without_a_known_hash_are_checked_by_what_they_hold(
    small: Callable[[str], Path], damage: Callable[[bytes], bytes], told: str
) -> None:
    folder = small("inaturalist2018")
    lay(folder, "inaturalist2018", str)
    path = folder / "train2018.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=told) as caught:
        listed("inaturalist2018", folder.parent)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_missing_is_named_with_where_it_is_had(
    small: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError, match=rf"no {PUBLISHED[name].train[0]} in .*{name}; put it there from"):
        listed(name, tmp_path)
    folder = small(name)
    with pytest.raises(UserError, match=r"no photograph train.* expected .*, from "):
        listed(name, folder.parent).files()


def test_class_counts_are_those_of_the_published_sets() -> None:
    imagenet, places = published_counts("imagenet-lt"), published_counts("places-lt")
    assert imagenet is not None
    assert places is not None
    for name, counts in (("imagenet-lt", imagenet), ("places-lt", places)):
        described = PUBLISHED[name]
        assert (len(counts), counts.sum()) == (described.classes, described.sizes[0])
        assert counts.max() / counts.min() == described.ratio
    assert published_counts("inaturalist2018") is None
    with pytest.raises(UserError, match="published data set"):
        published_counts("imagenet")


def test_a_published_set_is_the_same_with_and_without_its_photographs(
    small: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SMALL:
        root = small(name).parent
        found = published_images(name, root)
        monkeypatch.setattr("gclib.data.known.published_counts", lambda name: KNOWN.get(name))
        planned = data.without_images(name, None, root)
        assert planned.class_counts.tolist() == np.bincount(found.train_labels).tolist()
        assert np.bincount(planned.test.labels).tolist() == np.bincount(found.test_labels).tolist()
        positions = positions_in_class(found.train_labels, planned.class_counts)
        assert planned.digest == subset_digest(positions, np.frombuffer(found.proof, np.uint8))
        assert planned.train.images.shape == (3, 224, 224, 3)
        assert len(found.proof) == (32 if name == "inaturalist2018" else 0)


@pytest.mark.parametrize("name", SMALL)
def test_a_published_set_is_loaded_with_its_photographs_in_their_files(
    small: Callable[[str], Path], name: str
) -> None:
    folder = small(name)
    lay(folder, name, lambda path: path)
    loaded = data.load(name, None, folder.parent)
    assert loaded.class_counts.tolist() == [2, 1]
    assert loaded.train.images.shape == (3, 224, 224, 3)
    assert {loaded.train.images.path(k) for k in range(3)} == {folder / path for path, _ in SMALL[name][0]}
    augmentation = loaded.augmentation
    assert (augmentation.resized, augmentation.jitter) == (True, 0.0 if name == "inaturalist2018" else 0.4)


@pytest.mark.parametrize(
    ("name", "place"), [("imagenet-lt", flat), ("places-lt", places), ("inaturalist2018", str)]
)
def test_the_paper_s_method_trains_on_a_published_set_and_predicts(
    small: Callable[[str], Path], name: str, place: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the lists on: its own settings of Table 2, photographs that are read from their files, a small network."""
    for module in (making, runner, classifier):
        monkeypatch.setattr(module, "make_network", small_network)
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)
    monkeypatch.setattr(lists, "SIDE", 66)
    monkeypatch.setenv("GCLIB_WORKERS", "0")
    folder = small(name)
    lay(folder, name, place)
    files = [path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")]
    for number, path in enumerate(files):
        photo(number).save(path, quality=92)
    images = data.load(name, None, folder.parent, scale="smoke")
    recipe = recipes.get("gcl-official-cben").resolve(
        images, "smoke", network="resnet18", weights="new", epochs=2, **{"stage-two.epochs": 1}
    )
    assert recipe.stages[0].trains == ("last-block" if name == "places-lt" else "all")
    record = train.fit(recipe, images, seed=0, device="cpu", workdir=folder / "runs")
    assert record.data.class_counts == (2, 1)
    assert record.environment.decoder
    assert len(record.stages[0].course.loss) == 2
    assert all(np.isfinite(stage.course.loss).all() for stage in record.stages)
    trained = load_classifier(folder / "runs" / record.identity / "classifier.safetensors")
    assert trained.class_names == images.class_names
    assert trained.probabilities(trained.transform(files[0])[None]).sum() == pytest.approx(1)


def test_other_annotations_of_as_many_photographs_are_another_set(small: Callable[[str], Path]) -> None:
    folder = small("inaturalist2018")
    before = data.without_images("inaturalist2018", None, folder.parent).digest
    path = folder / "train2018.json"
    path.write_bytes(path.read_bytes().replace(b"b.jpg", b"x.jpg"))
    assert data.without_images("inaturalist2018", None, folder.parent).digest != before


def test_the_command_names_all_that_is_missing(
    small: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small("places-lt")
    lay(folder, "places-lt", str)
    read: list[str] = []
    once = lists._read
    monkeypatch.setattr(lists, "_read", lambda of, file, *rest: read.append(file) or once(of, file, *rest))
    cli.check("places-lt", folder.parent)
    assert read == ["Places_LT_train.txt", "Places_LT_test.txt"]  # and neither twice
    assert "whole; 2 classes, 3 training images" in capsys.readouterr().out
    (folder / "train/airfield/00004596.jpg").unlink()
    for command in (cli.check, cli.fetch):
        with pytest.raises(UserError, match=r"1 training photographs are missing .*00004596.jpg.*; unpack"):
            command("places-lt", folder.parent)
        printed = capsys.readouterr().out
        assert "Places_LT_train.txt: 3 photographs, the official list by its SHA-256" in printed
        assert "2 of 3 training photographs are there" in printed
    (folder / "Places_LT_test.txt").unlink()
    (folder / "Places_LT_train.txt").write_text("a 1\n")
    with pytest.raises(UserError, match=r"no Places_LT_test.txt in .*; put it there from"):
        cli.check("places-lt", folder.parent)
    assert "is not the official list" in capsys.readouterr().out


def test_the_sets_are_listed_with_how_they_are_had(capsys: pytest.CaptureFixture[str]) -> None:
    cli.list_sets()
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*PUBLISHED, "437,513", "gcl data check places-lt"))


def test_each_set_says_what_it_needs() -> None:
    for described in PUBLISHED.values():
        assert isinstance(described, Published)
        assert described.lists_from
        assert described.photographs_from
        assert all(described.layouts.values())
