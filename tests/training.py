"""Small runs to test training with: a few digits, a few epochs, seconds."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from gclib import data, recipes
from gclib.data import LongTailed, Split

OVERRIDES = {"epochs": 3, "stage-two.epochs": 2}


@cache
def few_digits() -> LongTailed:
    """A third of the long-tailed training digits and an eighth of the test digits, every class among them."""
    digits = data.load("digits", 20)
    train, test = (
        Split(split.images[::step], split.labels[::step])
        for split, step in ((digits.train, 3), (digits.test, 8))
    )
    counts = np.bincount(train.labels, minlength=10)
    return replace(digits, ratio=None, train=train, test=test, class_counts=counts)


def recipe(name: str = "gcl-official", **overrides: Any) -> recipes.Recipe:
    """Resolve a recipe for `few_digits` at smoke scale: three epochs of stage one, two of stage two."""
    named = recipes.get(name)
    stages = len(named.definition.stages(few_digits()))
    fitting = {path: n for path, n in OVERRIDES.items() if stages > 1 or not path.startswith("stage-two")}
    if name == "gcl-official-tau":
        fitting = {"epochs": 3}
    return named.resolve(few_digits(), "smoke", **{**fitting, **overrides})


def no_fingerprint(recipe: recipes.Recipe) -> list[list[float]]:
    """Stand in for the fingerprint, which takes longer than such a run and is tested by itself."""
    return [[1.0] * 12 if stage.epochs else [] for stage in recipe.stages]
