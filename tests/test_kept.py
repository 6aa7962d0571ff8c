"""What was computed of files is kept, and is never what another file or another size would give."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gclib import data
from gclib.data import kept, own
from gclib.errors import UserError


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Names of the files that are decoded from now on; all that takes any time is kept."""
    seen: list[Path] = []
    plain = own.read_images

    def watched(paths: Sequence[Path], size: int) -> np.ndarray:
        seen.extend(paths)
        return plain(paths, size)

    monkeypatch.setattr(own, "read_images", watched)
    monkeypatch.setattr(kept, "WORTH", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return seen


def folder(root: Path) -> str:
    for label, count in (("a", 20), ("b", 5)):
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(100 * count + number).integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return f"folder:{root}@8"


def test_a_photo_is_decoded_once_for_all_commands(tmp_path: Path, read: list[Path]) -> None:
    name = folder(tmp_path / "set")
    first = data.load(name)
    assert len(read) == 25
    again = data.load(name)
    assert len(read) == 25
    assert again.digest == first.digest
    other = data.load(name, split_seed=1)
    assert (len(read), other.digest != first.digest) == (25, True)
    data.load(name.replace("@8", "@4"))
    assert len(read) == 50


def test_a_file_that_was_changed_added_or_exchanged_is_read_anew(tmp_path: Path, read: list[Path]) -> None:
    name, root = folder(tmp_path / "set"), tmp_path / "set" / "a"
    first = data.load(name)
    Image.new("RGB", (9, 9), "red").save(root / "3.png")
    Image.new("RGB", (9, 9), "blue").save(root / "new.png")
    os.rename(root / "5.png", root / "swap.png")
    os.rename(root / "6.png", root / "5.png")
    os.rename(root / "swap.png", root / "6.png")
    changed = data.load(name)
    assert sorted(path.name for path in read[25:]) == ["3.png", "5.png", "6.png", "new.png"]
    assert changed.digest != first.digest
    for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("*"):
        path.is_file() and path.unlink()
    assert data.load(name).digest == changed.digest


def test_a_damaged_or_forbidden_cache_and_an_unreadable_file_only_cost_time(
    tmp_path: Path, read: list[Path]
) -> None:
    name = folder(tmp_path / "set")
    first = data.load(name)
    (place,) = Path(os.environ["XDG_CACHE_HOME"], "gclib", "images").iterdir()
    place.write_bytes(place.read_bytes()[:-5])
    assert data.load(name).digest == first.digest
    assert len(read) == 50
    place.unlink()
    place.mkdir()
    assert data.load(name).digest == first.digest
    place.rmdir()
    (tmp_path / "set" / "a" / "3.png").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(UserError, match=r"1 of 25 files cannot be used: .*3.png"):
            data.load(name)
    assert not list(place.parent.iterdir())
