"""What lies in a data set: damaged, odd and double files of a person's own, and what its test images can show."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gclib.data.alike import pairs_alike, thumbnail
from gclib.data.own import Listing
from gclib.data.pictures import AT_ONCE, read_image, several, side_by_side
from gclib.errors import UserError

__all__ = ["Examination", "cautions", "examine", "resolvable"]

ENOUGH = 100  # test images in the rarest third of the classes, with which they show 14 points
EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Examination:
    """What `examine` found in files of images.

    Attributes
    ----------
    unreadable
        Files that cannot be used, each with the reason.
    odd
        Kind of oddity to the files that have it: they are read, but perhaps not as they were meant.
    doubles
        Files with the same content, two or more.
    across_splits, across_classes
        Those of `doubles` that lie in both splits, or in several classes.
    alike_splits, alike_classes
        Pairs of images that look nearly the same, in both splits or in two classes; those of `doubles` are not here.
    """

    unreadable: list[str]
    odd: dict[str, list[Path]]
    doubles: list[list[Path]]
    across_splits: list[list[Path]]
    across_classes: list[list[Path]]
    alike_splits: list[list[Path]]
    alike_classes: list[list[Path]]

    @property
    def doubtful(self) -> bool:
        """Whether an image, or nearly the same one, stands on two sides."""
        return bool(self.across_splits or self.across_classes or self.alike_splits or self.alike_classes)

    def lines(self, root: Path) -> Iterator[str]:
        """Say it, a line for each kind; paths start at `root`."""

        def name(path: Path) -> str:
            return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

        for kind, files in self.odd.items():
            yield f"{kind}: {len(files)} ({several([name(path) for path in files], 3)})"
        for kind, groups in (
            ("the same image in training and test", self.across_splits),
            ("the same image in several classes", self.across_classes),
            ("the same image more than once", self.doubles),
            ("nearly the same image in training and test", self.alike_splits),
            ("nearly the same image in two classes", self.alike_classes),
        ):
            if groups:
                yield f"{kind}: {len(groups)} ({several([' = '.join(map(name, g[:3])) for g in groups], 3)})"


def examine(found: Listing, size: int) -> Examination:
    """Read every file, and hold none.

    Parameters
    ----------
    found
        The files.
    size
        Side in pixels to which images are brought.
    """
    paths = [*found.train.paths, *found.test.paths]
    labels = np.concatenate([found.train.labels, found.test.labels])
    in_test = np.arange(len(paths)) >= len(found.train)
    unreadable: list[str] = []
    odd: dict[str, list[Path]] = {}
    same: dict[bytes, list[int]] = {}
    thumbnails = np.zeros((len(paths), 256), np.float32)
    parts = side_by_side(
        lambda start: [_look(path, size) for path in paths[start : start + AT_ONCE]],
        range(0, len(paths), AT_ONCE),
    )
    for number, (complaint, oddities, content, small) in enumerate(
        looked for part in parts for looked in part
    ):
        if complaint:
            unreadable.append(f"{paths[number]} ({complaint})")
            continue
        for kind in oddities:
            odd.setdefault(kind, []).append(paths[number])
        same.setdefault(content, []).append(number)
        thumbnails[number] = small
    doubles = [group for group in same.values() if len(group) > 1]
    known = {number: group[0] for group in doubles for number in group}

    def alike(sides: np.ndarray) -> list[list[Path]]:
        pairs = (pair for pair in pairs_alike(thumbnails, sides) if len({known.get(k, k) for k in pair}) > 1)
        return named(list(pairs))

    def named(groups: Sequence[Sequence[int]]) -> list[list[Path]]:
        return [[paths[k] for k in group] for group in groups]

    return Examination(
        unreadable,
        odd,
        named(doubles),
        named([group for group in doubles if len({in_test[k] for k in group}) > 1]),
        named([group for group in doubles if len({labels[k] for k in group}) > 1]),
        alike(in_test),
        alike(labels),
    )


def _look(path: Path, size: int) -> tuple[str, list[str], bytes, np.ndarray | float]:
    """Return what is wrong with a file, what is odd about it, the hash of its content, and its thumbnail."""
    try:
        small = thumbnail(read_image(path, size))
        return "", list(_oddities(path, size)), hashlib.sha256(path.read_bytes()).digest(), small
    except UserError as error:
        return str(error), [], b"", 0.0


def _oddities(path: Path, size: int) -> Iterator[str]:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode == "F" or image.mode.startswith("I"):
            yield "more than 8 bits a pixel, brought to 8"
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            yield "turned as the camera wrote down"
        if image.has_transparency_data:
            yield "transparent, laid on white"
        try:
            frames = getattr(image, "n_frames", 1)
        except Exception:  # of whatever type, by format and damage
            yield "damaged behind the first frame, which is used"
        else:
            if frames > 1:
                yield "several frames, the first is used"
        # A JPEG with a preview, as phones write them, is one of several pictures to Pillow.
        found = "JPEG" if image.format == "MPO" else image.format
        if Image.registered_extensions().get(path.suffix.lower(), found) not in (found, image.format):
            yield "of another format than the name says"
        if min(image.size) < size:
            yield f"smaller than {size} pixels, enlarged"


def resolvable(images: int) -> float:
    """Return by how many points, or more, chance parts two accuracies on so many test images once in twenty times.

    1.96 standard errors of a difference of two independent shares of one half, at most 100. Shares further from one
    half, or of the same images, differ by less.
    """
    return min(100.0, 100 * 1.96 * float(np.sqrt(0.5 / images)))


def cautions(class_counts: np.ndarray, test_counts: np.ndarray) -> list[str]:
    """Say what a test split cannot show, before something is trained; nothing where it shows enough.

    Parameters
    ----------
    class_counts, test_counts
        Training and test images of each class, int, shape ``(C,)``.
    """
    if test_counts.max() == 1:
        return [
            "one test image a class: this test split is no evidence for any comparison; test on more images"
        ]
    rare = np.argsort(class_counts, kind="stable")[: max(1, len(class_counts) // 3)]
    images = int(test_counts[rare].sum())
    if images >= ENOUGH:
        return []
    return [
        f"the rarest {len(rare)} of {len(class_counts)} classes have {images} test images together, "
        f"{test_counts[rare].min()} at least: among them, a difference below {resolvable(images):.0f} points may be "
        "chance"
    ]
