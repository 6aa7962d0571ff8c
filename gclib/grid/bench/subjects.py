"""What is tried: data of CIFAR's shape, and trainers whose epochs are short."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from gclib import data, recipes
from gclib.data import CIFAR, LongTailed, Split, class_counts
from gclib.errors import UserError
from gclib.networks import use
from gclib.recipes import Recipe
from gclib.train.device import choose_precision
from gclib.train.loop import Trainer
from gclib.train.making import draw_seed, make_stage

__all__ = ["Scene", "few_digits", "full", "stages_of", "trainer"]


@dataclass(frozen=True)
class Scene:
    """Where and how much is tried.

    Attributes
    ----------
    device
        What is tried.
    precision
        In which runs at paper scale train there.
    data
        Long-tailed images.
    steps
        Of an epoch.
    beside
        Numbers of runs side by side, the most telling first.
    """

    device: torch.device
    precision: str
    data: LongTailed
    steps: int
    beside: tuple[int, ...]

    @classmethod
    def on(cls, device: torch.device) -> "Scene":
        """All of it on a GPU; on a CPU just enough to see that it runs."""
        precision = choose_precision("paper", device)
        if device.type == "cuda":
            return cls(device, precision, full(), 24, (8, 1, 16, 4, 12, 2))
        return cls(device, precision, few_digits(), 2, (2, 1))

    def synchronize(self) -> None:
        """Wait until all that was launched is computed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def trainer(self, name: str, variant: str, seed: int = 0) -> Trainer:
        """Make a trainer of a recipe's first stage; on a CPU its batches are small."""
        recipe = recipes.get(name).resolve(self.data, "paper")
        size = None if self.device.type == "cuda" else 8
        ways = self.device, self.precision, variant
        return trainer(recipe, 0, self.data, *ways, steps=self.steps, seed=seed, batch_size=size)


def full() -> LongTailed:
    """CIFAR-10-LT at ratio 100 where it is at hand, else random images of its shape."""
    try:
        return data.load("cifar10", 100, download=False)
    except UserError:
        counts = class_counts(5_000, 10, 100)
        drawn = np.random.default_rng(0)
        train, test = (
            Split(drawn.integers(0, 256, (len(y), 32, 32, 3), dtype=np.uint8), y)
            for y in (np.repeat(np.arange(10), counts), np.repeat(np.arange(10), 1000))
        )
        return LongTailed("random", 100, train, test, counts, tuple("0123456789"), CIFAR, "")


def few_digits() -> LongTailed:
    """A third of the long-tailed digits: small enough for float64 on a CPU."""
    digits = data.load("digits", 20)
    train = Split(digits.train.images[::3], digits.train.labels[::3])
    return replace(digits, ratio=None, train=train, class_counts=np.bincount(train.labels, minlength=10))


# Rows of Table 1 first: what is not tried in time is then what matters least.
FIRST = "ce gcl-official-cben ce-mixup ce-mixup-crt mislas ldam-drw tde bbn hybrid-sc gcl-paper".split()


def stages_of(few: LongTailed) -> Iterator[tuple[str, Recipe, int]]:
    """Each trained stage of the published recipes once: its name, its recipe and its position there."""
    seen = set()
    for name in dict.fromkeys([*FIRST, *recipes.names()]):
        if name.endswith("-unified"):
            continue
        recipe = recipes.get(name).resolve(few, "smoke")
        for position, settings in enumerate(recipe.stages):
            key = recipe.head, settings.model_dump_json(exclude={"name"})
            if settings.epochs and key not in seen:
                seen.add(key)
                yield f"{name}, stage {position + 1}", recipe, position


def trainer(
    recipe: Recipe,
    position: int,
    images: LongTailed,
    device: torch.device,
    precision: str,
    variant: str,
    *,
    steps: int,
    seed: int = 0,
    **changed: float | None,
) -> Trainer:
    """Make a trainer of one stage whose epochs have so many steps, from new weights; settings may be changed."""
    wanted = {name: value for name, value in changed.items() if value is not None}
    settings = recipe.stages[position].model_copy(update=wanted)
    stage = make_stage(settings, recipe.head, images, seed, position, None)
    made = Trainer(stage, images, device, precision, draw_seed(seed, position))
    use(stage.network, variant)
    stage.num_images = steps * settings.batch_size
    return made


@contextmanager
def synchronisation_is_an_error() -> Iterator[None]:
    """Let everything raise that makes the host wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
