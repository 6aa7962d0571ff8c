"""Make stored features: ``python -m gclib.embeddings.pretrained``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gclib import data
from gclib.embeddings.pretrained.classifiers import compare
from gclib.embeddings.pretrained.features import FILE, Features, embedded, save, shortened
from gclib.errors import UserError
from gclib.files import home_expanded

MEASURED = ("ce", "gcl-official-cben")  # on the whole features as well: what the cut costs
GROUPS = ("top1", "many", "medium", "few")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute the features of the data set that the command line names, and keep them."""
    parser = argparse.ArgumentParser(
        prog="python -m gclib.embeddings.pretrained",
        description="Pass a data set through a pretrained network once, and keep the features in a small file.",
    )
    parser.add_argument("--data", default="cifar100", help="name of a data set, such as folder:PATH@224")
    parser.add_argument("--ratio", type=float, help="imbalance ratio [default: 100 of CIFAR, else as it is]")
    parser.add_argument("--file", type=Path, default=FILE, help="where they are kept")
    given = parser.parse_args(arguments)
    try:
        file = home_expanded(given.file)
        images = data.load(given.data, data.ratio_of(given.data, given.ratio))
        whole = embedded(images)
        kept = shortened(whole)
        measured = {"whole": _measured(whole), "kept": _measured(kept)}
        save(Features(kept.data, kept.about | {"measured": measured}), file)
    except UserError as error:
        sys.exit(str(error))
    count = len(images.train) + len(images.test)
    print(f"{file}: features of {count:,} images, {file.stat().st_size / 1e6:.2f} MB")
    for name in MEASURED:
        of_whole, of_kept = (measured[which][name]["top1"] for which in ("whole", "kept"))
        print(f"{name}: {of_whole:.2f}% on whole features, {of_kept:.2f}% on what is kept of them")


def _measured(features: Features) -> dict[str, dict[str, float]]:
    found = compare(MEASURED, features.data, [0])
    return {name: {group: outcomes[0][-1][group] for group in GROUPS} for name, outcomes in found.items()}


if __name__ == "__main__":
    main()
