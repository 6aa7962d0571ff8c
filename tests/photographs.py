"""Small photos to test with."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(number: int, width: int = 120, height: int = 90) -> Image.Image:
    """A smooth pattern of its own for each number."""
    y, x = np.mgrid[:height, :width] / 30
    drawn = np.random.default_rng(number).uniform(0, 3, (3, 3))
    waves = [np.sin(a + b * x) + np.cos(c * y) for a, b, c in drawn]
    return Image.fromarray((np.stack(waves, 2) * 60 + 128).clip(0, 255).astype(np.uint8))


def folder(root: Path, counts: tuple[int, ...] = (12, 8, 5)) -> Path:
    number = 0
    for label, count in enumerate(counts):
        (root / f"class{label}").mkdir(parents=True)
        for _ in range(count):
            number += 1
            image = photo(number, 90 + 7 * number, 150 - 2 * number)
            image.save(root / f"class{label}" / f"{number}.jpg", quality=92)
    return root


def tiny_folder(folder: Path) -> Path:
    """Three classes of a few images of 8 x 8 pixels."""
    generator = np.random.default_rng(0)
    for name, count in (("a", 12), ("b", 8), ("c", 6)):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / name / f"{k}.png")
    return folder
