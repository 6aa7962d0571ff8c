"""What a run takes, said before it starts: images, and about which time and memory."""

from gclib.data import LongTailed
from gclib.data.photos import Photos
from gclib.methods.settings import StageSettings
from gclib.recipes import Recipe

__all__ = ["effort"]

# Measured on one core of a Xeon at 8, 32 and 64 pixels a side: seconds for an image forward and backward, once for
# each image and once for each 32 x 32 pixels; smoke runs compute in float64, others in float32 or bfloat16.
SECONDS = {"smoke": (0.004, 0.025), "short": (0.0005, 0.0022), "paper": (0.0005, 0.0022)}
BYTES = {"smoke": 8, "short": 4, "paper": 4}  # of a value
TESTED_AT_ONCE = (500, 32 * 32 * 4)  # images, and of how many bytes a channel, as in gclib.train.resident
TRAINING_VALUES, TESTING_VALUES = 1100, 260  # for each pixel of an image of the batch, in ResNet-32
PACKAGES = 0.7e9  # bytes that torch and the rest take


def effort(recipe: Recipe, data: LongTailed) -> str:
    """Say how many images a run sees, and about what it takes on one CPU core.

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
    '7,705 images in training and 5,920 in tests: about 1 minute on one CPU core, 0.8 GB of memory'
    """
    height, width = data.train.images.shape[1:3]
    # A second stage runs twice: from the last and from the best epoch of the first.
    runs = [(stage, 1 if position == 0 else 2) for position, stage in enumerate(recipe.stages)]
    trained = sum(stage.epochs * len(data.train) * times for stage, times in runs)
    tested = sum(_tests(stage) * len(data.test) * times for stage, times in runs)
    each, area = SECONDS[recipe.scale]
    seconds = (trained + tested / 3) * (each + area * height * width / 1024)
    shift = data.augmentation.shift
    padded = (height + 2 * shift) * (width + 2 * shift) * 3
    images = (len(data.train) + len(data.test)) * (height * width * 3 + padded)
    if isinstance(data.train.images, Photos):  # they stay in their files
        images = 0
    batch = max(stage.batch_size for stage in recipe.stages)
    most, size = TESTED_AT_ONCE
    channel = height * width * BYTES[recipe.scale]
    at_once = min(most, len(data.test), max(1, most * size // max(1, channel)))
    memory = PACKAGES + images + (batch * TRAINING_VALUES + at_once * TESTING_VALUES) * channel
    return (
        f"{trained:,} images in training and {tested:,} in tests: about {_time(seconds)} on one CPU core, "
        f"{memory / 1e9:.1f} GB of memory"
    )


def _tests(stage: StageSettings) -> int:
    """Tests of a stage: every fifth epoch, each one in the last fifth, and the last; see `gclib.train.loop`."""
    epochs = range(1, stage.epochs + 1)
    return sum(e % 5 == 0 or e > 0.8 * stage.epochs or e == stage.epochs for e in epochs) or 1


def _time(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 minute" if seconds >= 45 else f"{max(seconds, 1):.0f} seconds"
