"""Measure a run: ``python -m gclib.saturation RECIPE``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gclib import ROOT
from gclib.errors import UserError
from gclib.files import home_expanded
from gclib.saturation.files import difference, place, save
from gclib.saturation.measuring import make


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the run that the command line names, and say whether it is the recorded one."""
    parser = argparse.ArgumentParser(
        prog="python -m gclib.saturation",
        description="Train stage one of a recipe and measure where its training images sit on the saturation curve.",
    )
    parser.add_argument("recipe", help="name of a recipe, for example ce")
    parser.add_argument("--data", default="cifar10", help="name of a data set")
    parser.add_argument("--ratio", type=float, default=100.0, help="imbalance ratio")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and draws")
    parser.add_argument("--scale", default="paper", help="how long it trains: smoke, short or paper")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workdir", type=Path, default=ROOT / "runs", help="where checkpoints go")
    parser.add_argument("--root", type=Path, default=ROOT / "results", help="folder of the results")
    given = parser.parse_args(arguments)
    run = (given.recipe, given.data, given.ratio, given.seed, given.scale)
    try:
        root = home_expanded(given.root)
        measured = make(*run, device=given.device, workdir=home_expanded(given.workdir))
        path = place(*run, root=root)
        save(measured, path)
        apart = difference(measured, root)
    except UserError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {len(measured.epochs)} epochs measured")
    if apart is None:
        print(f"there is no record of this run under {root} to compare it with")
    elif not apart.any():
        print("every test accuracy is that of the run's record")
    else:
        print(
            f"test accuracies differ from the run's record, by up to {abs(apart).max():.4g} points, by "
            f"{abs(apart[-1]):.4g} after the last epoch"
        )


if __name__ == "__main__":
    main()
