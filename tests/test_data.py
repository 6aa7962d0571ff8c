"""Subsets, readers and refusals of the data sets."""

import hashlib
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gclib import data
from gclib.data import Augmentation, cifar, sources
from gclib.data.longtail import positions_in_class, subset_digest
from gclib.errors import UserError

# SHA-256 of the within-class positions that the field's subset keeps (NumPy legacy generator, seed 0).
DIGESTS = {
    ("cifar10", 10): "2b3a8656bec514c6c87236694978bc8a90f04fa51b4ed2009d2f8f336a614242",
    ("cifar10", 50): "7bb90363b243a944125b22035862d78afbc280cb2c0f509019ffc6960fd0f523",
    ("cifar10", 100): "8a54f5b6fa9722952358bc99897aa969bc20f845d0b15034e5013337df1e4ec7",
    ("cifar10", 200): "334c2d61143b39bf3cc8edb0315b5c43f5a5198ef01e8c09f99b1b060d70f545",
    ("cifar100", 10): "5906ba7310b91b5ee5a4e0b172d27f9370929d8acacd8026f44e160daa1f4834",
    ("cifar100", 50): "1bc82de2629e5cbd51d6ea8f1d70cf7986616bfecb4a8606a427fbcc1dd50c16",
    ("cifar100", 100): "f123ec136d44ab1b224fe55bb8a73ab03432d25a81975af68f26fb6777d5aca8",
    ("cifar100", 200): "36f76462dfbbe6f48cb30b5d4564fc5a84b1c1bfb4f222674a27dd2b2bba875c",
}
TOTALS = {
    ("cifar10", 10): 20431,
    ("cifar10", 50): 13996,
    ("cifar10", 100): 12406,
    ("cifar10", 200): 11203,
    ("cifar100", 10): 19573,
    ("cifar100", 50): 12608,
    ("cifar100", 100): 10847,
    ("cifar100", 200): 9502,
}


@pytest.mark.parametrize(("name", "ratio"), DIGESTS)
def test_subset_is_the_field_s(name: str, ratio: int) -> None:
    """The choice depends on labels only through "k-th image of its class", so it is checked without the images."""
    classes = {"cifar10": 10, "cifar100": 100}[name]
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(classes), 50_000 // classes))
    indices = data.long_tailed_indices(labels, ratio)
    positions = positions_in_class(labels, np.bincount(labels))[indices]
    assert subset_digest(positions) == DIGESTS[name, ratio]
    assert len(indices) == TOTALS[name, ratio]


@pytest.mark.parametrize(("name", "ratio"), DIGESTS)
def test_a_known_data_set_is_described_without_its_images(name: str, ratio: int) -> None:
    known = data.without_images(name, ratio)
    assert known.digest == DIGESTS[name, ratio]
    assert len(known.train) == known.class_counts.sum() == TOTALS[name, ratio]
    assert np.bincount(known.test.labels).tolist() == [10_000 // known.num_classes] * known.num_classes
    assert known.train.images.size == 0  # nobody trains on it


def test_the_digits_are_described_without_a_look_at_them() -> None:
    known, seen = data.without_images("digits", 20), data.load("digits", 20)
    for name in ("digest", "class_names", "augmentation"):
        assert getattr(known, name) == getattr(seen, name)
    assert known.class_counts.tolist() == seen.class_counts.tolist()
    assert np.bincount(known.test.labels).tolist() == np.bincount(seen.test.labels).tolist()


def test_the_digits_are_scikit_learn_s() -> None:
    published, digits = load_digits(), data.load("digits")
    for label in range(10):
        of_class = published.images[published.target == label]
        ours = np.concatenate([part.images[part.labels == label] for part in (digits.train, digits.test)])
        assert np.array_equal((ours[..., 0] * (16 / 255)).round(), of_class[:174])


def test_digits_are_real_images_with_a_balanced_test_split() -> None:
    digits = data.load("digits", ratio=20)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.images.shape[1:] == (8, 8, 3)
    assert digits.train.images.max() == 255
    assert np.bincount(digits.test.labels).tolist() == [74] * 10
    assert digits.class_counts.tolist() == np.bincount(digits.train.labels).tolist()
    assert not digits.augmentation.flip
    train, test = (set(map(bytes, part.images)) for part in (data.load("digits").train, digits.test))
    assert len(train & test) < 5  # a handful of digits were written alike twice


@pytest.fixture
def tiny_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with files as those of CIFAR-10, 50 training and 10 test images, which are taken for the published."""
    folder = tmp_path / "whole" / cifar.CIFAR10.folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)

    def written(name: str, content: dict[bytes, object]) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()

    def images(name: str, count: int) -> dict[str, str]:
        pixels = generator.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
        return {name: written(name, {b"data": pixels, b"labels": [k % 10 for k in range(count)]})}

    train = {k: v for n in range(1, 6) for k, v in images(f"data_batch_{n}", 10).items()}
    meta = {"batches.meta": written("batches.meta", {b"label_names": [b"%d" % k for k in range(10)]})}
    files = replace(cifar.CIFAR10, train=train, test=images("test_batch", 10), meta=meta)
    monkeypatch.setitem(data.SOURCES, "cifar10", sources._cifar(files))
    return folder.parent


def test_cifar_is_refused_when_missing_truncated_or_altered(tiny_cifar: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing .*gcl data fetch cifar10.*GCLIB_DATA"):
        data.load("cifar10", root=tmp_path, download=False)
    assert len(data.load("cifar10", 1, root=tiny_cifar, download=False).train) == 50
    victim = tiny_cifar / cifar.CIFAR10.folder / "data_batch_3"
    whole = victim.read_bytes()
    for content in (whole[:-1], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        victim.write_bytes(content)
        with pytest.raises(UserError, match="altered or incomplete"):
            data.load("cifar10", root=tiny_cifar, download=False)


def test_cifar_is_downloaded_once_where_it_is_missing_and_proven_then(
    tiny_cifar: Path, tmp_path: Path, gcl: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def download(root: Path, download: bool) -> None:
        asked.append(root)
        shutil.copytree(tiny_cifar, root, dirs_exist_ok=True)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", download)
    monkeypatch.setenv("GCLIB_DATA", str(tmp_path / "empty"))
    for _ in range(2):
        assert gcl("data", "fetch", "cifar10")[::2] == (0, "")
    assert len(data.load("cifar10", 1).train) == 50
    assert asked == [tmp_path / "empty"]
    victim = tiny_cifar / cifar.CIFAR10.folder / "data_batch_3"
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(UserError, match="altered or incomplete"):
        data.load("cifar10", root=tmp_path / "other")


def test_files_are_proven_without_reading_an_image(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    digests = {}
    for name in ("train", "test", "meta"):
        (tmp_path / "folder" / name).write_bytes(name.encode())
        digests[name] = {name: hashlib.sha256(name.encode()).hexdigest()}
    files = cifar.Files("CIFAR10", "archive", "folder", "labels", "names", **digests)
    files.prove(tmp_path)
    (tmp_path / "folder" / "test").write_bytes(b"tesT")
    with pytest.raises(UserError, match="altered or incomplete"):
        files.prove(tmp_path)
    (tmp_path / "folder" / "test").unlink()
    with pytest.raises(UserError, match="altered or incomplete"):
        files.prove(tmp_path)


def test_real_cifar_is_cut_to_the_known_subset(real_cifar: Path) -> None:
    for name, ratio in (("cifar10", 100), ("cifar100", 50)):
        loaded = data.load(name, ratio, real_cifar, download=False)
        assert loaded.digest == DIGESTS[name, ratio]
        assert len(loaded.test) == 10_000
        assert loaded.train.images.shape[1:] == (32, 32, 3)
        assert [len(set(loaded.train.labels[:k])) for k in (1, len(loaded.train))] == [1, loaded.num_classes]


def test_the_files_that_are_taken_for_cifar_are_those_with_the_published_md5s(real_cifar: Path) -> None:
    from torchvision import datasets

    for files, usual in ((cifar.CIFAR10, datasets.CIFAR10), (cifar.CIFAR100, datasets.CIFAR100)):
        files.prove(real_cifar)
        published = dict([*usual.train_list, *usual.test_list, (usual.meta["filename"], usual.meta["md5"])])
        assert published.keys() == (files.train | files.test | files.meta).keys()
        for name, md5 in published.items():
            with (real_cifar / files.folder / name).open("rb") as file:
                assert hashlib.file_digest(file, "md5").hexdigest() == md5


def _image_folder(root: Path, counts: dict[str, int]) -> Path:
    generator = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            size = (20 + k, 40, 3)
            Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(root / name / f"{k}.png")
    return root


def test_folder_has_one_size_and_its_own_split(tmp_path: Path) -> None:
    root = _image_folder(tmp_path / "shapes", {"circle": 12, "square": 10})
    loaded = data.load(f"folder:{root}@16")
    assert loaded.class_names == ("circle", "square")
    assert loaded.train.images.shape == (18, 16, 16, 3)
    assert np.bincount(loaded.test.labels).tolist() == [2, 2]
    assert data.load(f"folder:{root}", ratio=2).class_counts.tolist() == [8, 4]
    assert data.load(f"folder:{root}").train.images.shape == (18, 32, 32, 3)
    again = data.load(f"folder:{root}@16")
    other = data.load(f"folder:{root}@16", split_seed=1)
    assert (again.train.images == loaded.train.images).all()
    assert (other.test.images != loaded.test.images).any()
    assert (loaded.augmentation.shift, data.load(f"folder:{root}").augmentation.shift) == (2, 4)


def test_a_folder_with_other_images_is_another_data_set(tmp_path: Path) -> None:
    root = _image_folder(tmp_path, {"a": 5, "b": 5})
    digests = [data.load(f"folder:{root}@{size}", 2).digest for size in (8, 8, 16)]
    for size in (30, 31):  # two images, so that one of them is a training image
        Image.new("RGB", (size, size), "red").save(root / "a" / f"{size - 30}.png")
    digests.append(data.load(f"folder:{root}@8", 2).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_data_set_by_name_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(root: Path, download: bool) -> tuple[data.Split, data.Split, tuple[str, ...]]:
        labels = np.repeat([0, 1], 6)
        images = np.zeros((12, 4, 4, 3), np.uint8)
        return data.Split(images, labels), data.Split(images[::3], labels[::3]), ("a", "b")

    augmentation = Augmentation(1, True, (0.5, 0.5, 0.5), (0.1, 0.1, 0.1))
    monkeypatch.setitem(data.SOURCES, "blank", data.Source(read, augmentation))
    loaded = data.load("blank", ratio=3)
    assert (loaded.name, loaded.class_counts.tolist(), loaded.class_names) == ("blank", [6, 2], ("a", "b"))
    assert loaded.augmentation is augmentation
    assert "blank" in data.names()
    with pytest.raises(UserError, match=r"expected one of .*blank.*did you mean 'blank'\?"):
        data.load("blanc")


def test_a_class_without_a_test_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(root: Path, download: bool) -> tuple[data.Split, data.Split, tuple[str, ...]]:
        split = data.Split(np.zeros((4, 4, 4, 3), np.uint8), np.array([0, 0, 1, 1]))
        return split, data.Split(split.images[:2], split.labels[:2]), ("a", "b")

    monkeypatch.setitem(data.SOURCES, "half", data.Source(read, data.DIGITS))
    with pytest.raises(UserError, match="class 1 has no image"):
        data.load("half")


def _source(images: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = ("a", "b")) -> data.Source:
    test = data.Split(np.full((2, 4, 4, 3), 9, np.uint8), np.array([0, 1]))
    return data.Source(lambda root, download: (data.Split(images, labels), test, names), data.DIGITS)


def test_the_digest_covers_pixels_and_labels_whatever_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0, 1, 0, 1])
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), np.uint8)
    digests = set()
    for pixels, classes in ((images, labels), (255 - images, labels), (images, 1 - labels)):
        monkeypatch.setitem(data.SOURCES, "mine", _source(pixels, classes))
        digests.add(data.load("mine").digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        (
            np.zeros((4, 4, 4, 3)),
            [0, 0, 1, 1],
            "ab",
            r"training images are float64 \(4, 4, 4, 3\); expected uint8",
        ),
        (
            np.zeros((4, 3, 4, 4), np.uint8),
            [0, 0, 1, 1],
            "ab",
            r"uint8 \(4, 3, 4, 4\); expected uint8 \(N, H, W, 3\)",
        ),
        (np.zeros((4, 4, 4), np.uint8), [0, 0, 1, 1], "ab", "expected uint8"),
        (np.zeros((4, 8, 8, 3), np.uint8), [0, 0, 1, 1], "ab", "expected one size"),
        (
            np.eye(48, dtype=np.uint8).reshape(16, 4, 4, 9)[..., :3],
            [0, 1] * 8,
            "ab",
            "hold only 0 and 1; expected values 0 to 255",
        ),
        (
            np.zeros((4, 4, 4, 3), np.uint8),
            [0, 1],
            "ab",
            r"training labels are int64 \(2,\); expected int64 \(4,\)",
        ),
        (np.zeros((4, 4, 4, 3), np.uint8), [0.0, 0, 1, 1], "ab", "training labels are float64"),
        (np.zeros((4, 4, 4, 3), np.uint8), [1, 1, 2, 2], "ab", "labels from 1 to 2; expected 0 to 1"),
        (np.zeros((4, 4, 4, 3), np.uint8), [0, 0, 0, 0], "ab", "class 1 has no image in the training split"),
        (np.zeros((4, 4, 4, 3), np.uint8), [0, 0, 1, 1], "aa", "all different"),
    ],
)
def test_a_source_that_is_no_data_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, images: np.ndarray, labels: list, names: str, message: str
) -> None:
    monkeypatch.setitem(data.SOURCES, "mine", _source(images, np.array(labels), tuple(names)))
    with pytest.raises(UserError, match=message) as caught:
        data.load("mine")
    assert "\n" not in str(caught.value)


def test_folder_with_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    root = _image_folder(tmp_path, {"a": 3, "b": 3})
    (root / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"1 of 6 files .*1\.png \(not a readable image: UnidentifiedImageError"
    ):
        data.load(f"folder:{root}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar-10",), "did you mean 'cifar10'"),
        (("digits", 0.5), "expected a number >= 1"),
        (("digits", float("nan")), "expected a number >= 1"),
        (("digits", 1000), "give a ratio of at most 100"),
        (("digits", "20"), "imbalance ratio '20': expected a number"),
        (("folder:",), "unknown data set"),
        (("digits:8",), "unknown data set"),
        (("folder:/no/such/folder@16",), "^/no/such/folder: expected one folder"),
        (("folder:/no/such/folder",), "one folder of images per class"),
    ],
)
def test_bad_input_gets_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        data.load(*arguments)
    assert "\n" not in str(caught.value)
