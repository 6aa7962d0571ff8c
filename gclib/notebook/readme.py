"""The parts of the README that are made: its figure and its table of results. ``python -m gclib.notebook.readme``."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from gclib import ROOT, tables
from gclib.data import training_counts
from gclib.errors import UserError
from gclib.figures import derivation, style
from gclib.figures.clouds import half_normal
from gclib.files import write_atomically
from gclib.losses import cloud_sizes

__all__ = ["BEGIN", "END", "main", "refresh"]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NOISE_SCALE, NOISE_STD = 0.5, 1 / 3  # the released code


def refresh(path: str | Path = "README.md", root: str | Path = "results") -> None:
    """Put the results of today between the two marks in the README.

    Raises
    ------
    UserError
        If the file does not hold each mark once.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise UserError(f"{path}: no place for the results; expected {BEGIN} and below it {END}, once each")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_atomically(path, f"{before}{BEGIN}\n{tables.readme_table(root)}\n{END}{after}".encode())


def main() -> None:
    """Draw the clouds of CIFAR-10-LT at ratio 100 (Eq. 11) and put today's results into the README."""
    style.use()
    counts = training_counts("cifar10", 100)
    reduction = np.linspace(-0.5, 0, 401)
    widths = NOISE_SCALE * NOISE_STD * cloud_sizes(counts).numpy()
    densities = np.stack([half_normal(reduction, width) for width in widths])
    derivation.cloud_density(reduction, densities, counts, CLASSES)
    plt.savefig(ROOT / "book" / "_static" / "cloud.png", dpi=120, metadata={"Software": None})
    try:
        refresh(ROOT / "README.md", ROOT / "results")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
