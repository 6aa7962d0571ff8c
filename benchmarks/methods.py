"""A step of each method beside the forward and backward passes that it is made of."""

from collections.abc import Callable

import torch

from benchmarks.contests import CPU, Timings, train
from benchmarks.timing import interleave
from gclib import recipes
from gclib.data import LongTailed
from gclib.train.loop import Trainer
from gclib.train.making import draw_seed, make_stage

__all__ = ["PASSES", "steps_of_all"]

# Recipe and number of its stage -> passes forward and backward, passes forward alone, of one batch each.
PASSES: dict[tuple[str, int], tuple[int, int]] = {
    ("ce-mixup", 1): (1, 0),
    ("focal", 1): (1, 0),
    ("class-balanced-ce", 1): (1, 0),
    ("ldam-drw", 1): (1, 0),
    ("logit-adjustment", 1): (1, 0),
    ("gcl-official", 1): (1, 0),
    ("tde", 1): (1, 0),  # with a tail more than the others: 1.16 times the weights
    ("bbn", 1): (2, 0),  # two streams
    ("hybrid-psc", 1): (2, 0),  # two streams
    ("hybrid-sc", 1): (3, 0),  # two streams, one of them in two views
    ("oltr", 2): (1, 0),
    ("gcl-official", 2): (0, 1),
    ("gcl-official-lws", 2): (0, 1),
    ("ce-mixup-crt", 2): (0, 1),
    ("mislas", 2): (0, 1),
    ("disalign", 2): (0, 1),
}


def steps_of_all(data: LongTailed, precision: str, batch_size: int, steps: int, repeats: int) -> Timings:
    """A step of each method, and of cross-entropy's passes: both ways, and forward alone. Nothing is compiled."""
    reference = _trainer("ce", 1, data, precision, batch_size)
    contestants: dict[str, Callable[[], None]] = {
        "both ways": lambda: train(reference, steps),
        "forward": lambda: _forward(reference, steps),
    }
    for name, number in PASSES:
        trainer = _trainer(name, number, data, precision, batch_size)
        contestants[f"{name}, stage {number}"] = lambda trainer=trainer: train(trainer, steps)
    return interleave(contestants, repeats, steps)


def _trainer(name: str, number: int, data: LongTailed, precision: str, batch_size: int) -> Trainer:
    recipe = recipes.get(name).resolve(data, "paper")
    # A later stage starts from a network that nobody has trained, which its own rate would drive to infinity.
    changes = {"batch_size": batch_size, "learning_rate": 1e-6}
    settings = recipe.stages[number - 1].model_copy(update=changes)
    stage = make_stage(settings, recipe.head, data, 0, number - 1, None)
    return Trainer(stage, data, CPU, precision, draw_seed(0, number - 1))


@torch.no_grad()
def _forward(trainer: Trainer, steps: int) -> None:
    trainer.stage.eval()
    size = trainer.settings.batch_size
    trainer.stage.num_images = steps * size
    draws = trainer.stage.draw(trainer.generator)
    for step in range(steps):
        batch = trainer.train_set.batch(draws, torch.arange(size) + step * size, torch.tensor([step]))
        trainer.stage(batch.images)
