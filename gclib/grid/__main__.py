"""Train a first stage that several cells share: ``python -m gclib.grid DATA RATIO RECIPE SEED SCALE WORKDIR``."""

import sys

from gclib import recipes, train
from gclib.data import load
from gclib.errors import UserError


def main(name: str, ratio: str, recipe: str, seed: str, scale: str, workdir: str) -> None:
    """Train it, or say in one line why not."""
    try:
        data = load(name, float(ratio) or None, download=False, scale=scale)
        resolved = recipes.get(recipe).resolve(data, scale)
        train.fit_first_stage(resolved, data, seed=int(seed), workdir=workdir)
    except UserError as error:
        sys.exit(str(error))


main(*sys.argv[1:])
