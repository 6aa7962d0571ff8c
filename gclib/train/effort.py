"""What a run takes, said before it starts: images, and about which time and memory."""

from typing import TYPE_CHECKING

from gclib.data import LongTailed
from gclib.data.photos import Photos
from gclib.methods.settings import StageSettings
from gclib.recipes import Recipe, get

if TYPE_CHECKING:
    from gclib.methods.stage import Stage

__all__ = ["MULTIPLICATIONS", "effort", "method_of", "tests_of", "trains_embedding"]

MULTIPLICATIONS = {
    "resnet32": 3.39,
    "resnet18": 1.81,
    "resnet50": 4.09,
    "resnet101": 7.80,
    "resnet152": 11.51,
    "resnext50_32x4d": 4.23,
    "efficientnet-lite0": 0.41,
}
"""Multiplications of an image of 224 x 224 pixels forward, in 10^9, as torchvision states them."""

# Of the other networks, relative to ResNet-32 on as many pixels: time, and values that training keeps; measured beside
# it in one run, at 224 pixels, on one core of a Xeon.
RELATIVE = {
    "resnet32": (1.0, 1.0),
    "resnet18": (0.37, 0.18),
    "resnet50": (0.94, 0.71),
    "resnet101": (1.9, 1.06),
    "resnet152": (2.4, 1.48),
    "resnext50_32x4d": (1.1, 0.93),
    "efficientnet-lite0": (0.29, 0.69),
}
# Measured on one core of a Xeon at 8, 32 and 64 pixels a side: seconds for an image forward and backward, once for
# each image and once for each 32 x 32 pixels; smoke runs compute in float64, others in float32 or bfloat16.
SECONDS = {"smoke": (0.004, 0.025), "short": (0.0005, 0.0022), "paper": (0.0005, 0.0022)}
ON_FEATURES = 2e-5  # seconds for a feature forward and backward through a classifier
BYTES = {"smoke": 8, "short": 4, "paper": 4}  # of a value
TESTED_AT_ONCE = (500, 32 * 32 * 4)  # images, and of how many bytes a channel, as in gclib.train.resident
# For each pixel of an image of the batch, in ResNet-32, in training and in tests: smoke runs as on small images; others
# as measured in float32 at 32 and at 224 pixels, where ResNet-50 took 631 and 149, EfficientNet-Lite0 530 and 96.
VALUES: dict[str, tuple[float, float]] = {"smoke": (1100, 260), "short": (870, 150), "paper": (870, 150)}
PACKAGES = 0.7e9  # bytes that torch and the rest take


def effort(recipe: Recipe, data: LongTailed) -> str:
    """Say how many images a run sees, and about what it takes on one CPU core; of a short run, what it is not.

    Parameters
    ----------
    recipe
        Resolved recipe.
    data
        The data set that it was resolved for.

    Examples
    --------
    >>> from gclib import data, recipes
    >>> digits = data.load("digits", 20)
    >>> effort(recipes.get("ce").resolve(digits, "smoke"), digits)
    '7,705 images in training and 5,180 in tests: about 1 minute on one CPU core, 0.8 GB of memory'
    """
    trained, tested = _images(recipe, data)
    return (
        f"{trained:,} images in training and {tested:,} in tests: about {_time(_seconds(recipe, data))} on one CPU "
        f"core, {_memory(recipe, data) / 1e9:.1f} GB of memory{_caution(recipe, data)}"
    )


def _runs(recipe: Recipe) -> list[tuple[StageSettings, int]]:
    """Stages, and how often each runs: a second one from the last and from the best epoch of the first."""
    return [(stage, 1 if position == 0 else 2) for position, stage in enumerate(recipe.stages)]


def _images(recipe: Recipe, data: LongTailed) -> tuple[int, int]:
    trained = sum(stage.epochs * len(data.train) * times for stage, times in _runs(recipe))
    tests = sum(tests_of(stage, times == 1) * times for stage, times in _runs(recipe))
    return trained, tests * len(data.test)


def _seconds(recipe: Recipe, data: LongTailed) -> float:
    height, width = data.train.images.shape[1:3]
    each, area = SECONDS[recipe.scale]
    through = each + RELATIVE[recipe.network][0] * area * height * width / 1024
    seconds, embedded = 0.0, False
    for stage, times in _runs(recipe):
        trained, tested = stage.epochs * len(data.train), tests_of(stage, times == 1) * len(data.test)
        if method_of(stage).on_features(stage):
            seconds += times * (trained + tested / 3) * ON_FEATURES
            # Each image once for each embedding; one that never learns is the same for all stages.
            trained, tested = 0, 0 if embedded else len(data.train) + len(data.test)
            embedded |= stage.trains == "head"
        elif method_of(stage).keeps_features(stage) and not isinstance(data.train.images, Photos):
            tested = len(data.test)  # once for all tests, see gclib.train.steps
        seconds += times * (trained * _passes(stage) + tested / 3) * through
    return seconds


def _passes(stage: StageSettings) -> float:
    """Passes forward and backward that an image costs; forward alone, but for the last block or classifier, a third."""
    return method_of(stage).passes(stage) if trains_embedding(stage) else 1 / 3


def trains_embedding(stage: StageSettings) -> bool:
    """Whether gradients go through the embedding, beyond its last block."""
    return stage.trains == "all" and not method_of(stage).keeps_embedding


def _memory(recipe: Recipe, data: LongTailed) -> float:
    height, width = data.train.images.shape[1:3]
    shift = data.augmentation.shift
    padded = (height + 2 * shift) * (width + 2 * shift) * 3
    images = (len(data.train) + len(data.test)) * (height * width * 3 + padded)
    if isinstance(data.train.images, Photos):  # they stay in their files
        images = 0
    training, testing = VALUES[recipe.scale]
    training *= RELATIVE[recipe.network][1]
    at_a_step = [
        s.batch_size * (training * method_of(s).passes(s) if trains_embedding(s) else testing)
        for s in recipe.stages
        if not method_of(s).on_features(s)
    ]
    most, size = TESTED_AT_ONCE
    channel = height * width * BYTES[recipe.scale]
    at_once = min(most, len(data.test), max(1, most * size // max(1, channel)))
    return PACKAGES + images + (max(at_a_step, default=0) + at_once * testing) * channel


def _caution(recipe: Recipe, data: LongTailed) -> str:
    if recipe.scale != "short":
        return ""
    whole = get(recipe.name).resolve(data, "paper", **recipe.overrides)
    ran, of = recipe.stages[0].epochs, whole.stages[0].epochs
    if ran == of:
        return ""
    return (
        f"; {ran} of {of} epochs do not tell which method is better: for that take scale paper, "
        f"about {_time(_seconds(whole, data))}"
    )


def method_of(stage: StageSettings) -> "type[Stage]":
    """The class that trains a stage."""
    from gclib.methods.stage import Stage  # with torch

    return Stage.methods[stage.method]


def tests_of(stage: StageSettings, first: bool) -> int:
    """Tests of a stage; one that trains nothing is tested once."""
    return sum(stage.tested(epoch, first) for epoch in range(1, stage.epochs + 1)) or 1


def _time(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 minute" if seconds >= 45 else f"{max(seconds, 1):.0f} seconds"
