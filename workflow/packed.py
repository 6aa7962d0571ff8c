"""CIFAR in one small file each, for a machine that has no network and takes only little: gpu.sh uses it.

    python workflow/packed.py make FOLDER [--ratio 100] [cifar10 cifar100]   where the official files are (GCLIB_DATA)
    python workflow/packed.py commit FOLDER                                  what names the commit of this checkout
    python workflow/packed.py gcl FOLDER grid table1 ...                     there: the command gcl, reading from FOLDER

The first packs the commit, too: when the checkout has gone on, pack that again. Kept are the training images of the
long-tailed set and all test images, as lossless WebP sheets. The other training images come back black: no run at this
ratio or above it sees one, and what a run depends on stays what it is.
"""

import argparse
import io
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gclib import ROOT, data
from gclib.data import sources
from gclib.data.longtail import long_tailed_indices
from gclib.errors import UserError

SIDE, PIXELS = 32, 32  # images along a side of a sheet, pixels along a side of an image


def sheets(images: np.ndarray) -> list[np.ndarray]:
    """Encode uint8 images (N, 32, 32, 3) as sheets of 1,024."""
    encoded = []
    for start in range(0, len(images), SIDE * SIDE):
        part = images[start : start + SIDE * SIDE]
        full = np.zeros((SIDE * SIDE, PIXELS, PIXELS, 3), np.uint8)
        full[: len(part)] = part
        sheet = full.reshape(SIDE, SIDE, PIXELS, PIXELS, 3).transpose(0, 2, 1, 3, 4)
        buffer = io.BytesIO()
        Image.fromarray(sheet.reshape(SIDE * PIXELS, SIDE * PIXELS, 3)).save(
            buffer, "WEBP", lossless=True, quality=100, method=4, exact=True
        )
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    return encoded


def images(encoded: list[np.ndarray], count: int) -> np.ndarray:
    """Decode what `sheets` made."""
    parts = []
    for sheet in encoded:
        pixels = np.asarray(Image.open(io.BytesIO(sheet.tobytes())).convert("RGB"))
        pixels = pixels.reshape(SIDE, PIXELS, SIDE, PIXELS, 3).transpose(0, 2, 1, 3, 4)
        parts.append(pixels.reshape(-1, PIXELS, PIXELS, 3))
    return np.concatenate(parts)[:count]


def make(folder: Path, names: list[str], ratio: float) -> None:
    """Pack data sets, and check that they come back as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    pack_commit(folder)
    for name in names:
        train, test, class_names = sources.SOURCES[name].read(sources.root_folder(), False)
        kept = long_tailed_indices(train.labels, ratio)
        parts = {"train": sheets(train.images[kept]), "test": sheets(test.images)}
        arrays = {f"{split}-{k:03}": sheet for split, found in parts.items() for k, sheet in enumerate(found)}
        arrays |= {"train_labels": train.labels.astype(np.uint8), "test_labels": test.labels.astype(np.uint8)}
        path = folder / f"{name}.npz"
        np.savez(path, kept=kept.astype(np.int32), class_names=np.array(class_names), **arrays)
        again, again_test, again_names = read(path)
        assert (again.images[kept] == train.images[kept]).all()
        assert (again_test.images == test.images).all()
        assert (again.labels == train.labels).all()
        assert again_names == class_names
        print(f"{path}: {len(kept) + len(test)} images, {path.stat().st_size:,} bytes", flush=True)


def pack_commit(folder: Path) -> None:
    """Pack the newest commit as ``git``, without what its files hold: enough to name it, and to notice a change."""
    target = folder / "git"
    shutil.rmtree(target, ignore_errors=True)

    def git(*words: str | Path, given: str | None = None) -> str:
        command = ["git", f"--git-dir={ROOT / '.git'}", *words]
        return subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout

    head = git("rev-parse", "HEAD")
    subprocess.run(["git", "init", "--quiet", "--bare", "--template=", target], check=True)
    objects = git("rev-list", "--objects", "--no-walk", "--filter=blob:none", "HEAD")
    ids = "".join(f"{line.split()[0]}\n" for line in objects.splitlines())
    git("pack-objects", "--quiet", target / "objects" / "pack" / "pack", given=ids)
    for name in ("HEAD", "shallow"):  # what came before the commit is not there
        (target / name).write_text(head)
    subprocess.run(["git", f"--git-dir={target}", "read-tree", head.strip()], check=True)


def read(path: Path) -> tuple[sources.Split, sources.Split, tuple[str, ...]]:
    """Read a packed data set, as `gclib.data` wants it."""
    with np.load(path, allow_pickle=False) as packed:
        labels, test_labels = (packed[f"{split}_labels"].astype(np.int64) for split in ("train", "test"))
        train, test = (
            [packed[k] for k in sorted(packed) if k.startswith(f"{s}-")] for s in ("train", "test")
        )
        kept = packed["kept"]
        full = np.zeros((len(labels), PIXELS, PIXELS, 3), np.uint8)
        full[kept] = images(train, len(kept))
        test_split = sources.Split(images(test, len(test_labels)), test_labels)
        return sources.Split(full, labels), test_split, tuple(map(str, packed["class_names"]))


def whole(found: data.LongTailed) -> data.LongTailed:
    """Return a data set if all its training images are there, none of them black.

    Raises
    ------
    UserError
        If it was packed at a higher ratio.
    """
    if not found.train.images.any(axis=(1, 2, 3)).all():
        at = "as it is" if found.ratio is None else f"at ratio {found.ratio:g}"
        raise UserError(
            f"{found.name} {at} has images that were not packed; pack it again with --ratio of that or less, 1 for "
            "all images, or run ratios above it"
        )
    return found


def use(folder: Path) -> None:
    """Let `gclib.data.load` read the packed files of a folder."""
    for path in folder.glob("*.npz"):
        once = cache(lambda path=path: read(path))
        source = sources.SOURCES[path.stem]
        sources.SOURCES[path.stem] = replace(source, read=lambda root, download, once=once: once())
    load = data.load

    def checked(name: str, *given: Any, **options: Any) -> data.LongTailed:
        found = load(name, *given, **options)
        return whole(found) if (folder / f"{name}.npz").exists() else found

    data.load = checked


def main() -> None:
    """Pack, or run ``gcl`` on what was packed."""
    if sys.argv[1:2] == ["gcl"]:
        from gclib import cli

        use(Path(sys.argv[2]))
        sys.argv = ["gcl", *sys.argv[3:]]
        cli.main()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["make", "commit"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=["cifar10", "cifar100"])
    parser.add_argument("--ratio", type=float, default=100.0)
    given = parser.parse_intermixed_args()  # names may come after --ratio
    if given.action == "commit":
        pack_commit(given.folder)
    else:
        make(given.folder, given.names, given.ratio)


if __name__ == "__main__":
    main()
