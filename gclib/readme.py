"""The parts of the README that are made: its figure and its table of results. ``python -m gclib.readme``."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from gclib import ROOT, tables
from gclib.data import class_counts
from gclib.figures import derivation, style
from gclib.losses import cloud_sizes

__all__ = ["main"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NOISE_SCALE, NOISE_STD = 0.5, 1 / 3  # the released code


def main() -> None:
    """Draw the clouds of CIFAR-10-LT at ratio 100 (Eq. 11) and put today's results into the README."""
    style.use()
    counts = class_counts(5000, 10, 100)
    reduction = np.linspace(-0.5, 0, 401)
    widths = NOISE_SCALE * NOISE_STD * cloud_sizes(counts).numpy()[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        densities = np.where(widths > 0, 2 * norm.pdf(reduction / widths) / widths, 0)
    derivation.cloud_density(reduction, np.nan_to_num(densities), counts, CLASSES)
    plt.savefig(ROOT / "book" / "_static" / "cloud.png", dpi=120, metadata={"Software": None})
    tables.refresh_readme(ROOT / "README.md", ROOT / "results")


if __name__ == "__main__":
    main()
