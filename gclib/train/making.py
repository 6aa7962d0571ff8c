"""What a stage starts from: its seeds, its weights, and pixels as its network takes them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gclib.data import NETWORKS, LongTailed
from gclib.data.photos import Photos
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network, make_network
from gclib.train.features import images_of

__all__ = ["draw_seed", "make_stage", "normalised_for", "seeded", "started"]

CPU = torch.device("cpu")
_one_at_a_time = threading.Lock()  # the random state that a stage is made with is the process's


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw new weights from a seed in this context; the caller's random state is left alone."""
    with _one_at_a_time, torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the caller's CUDA generators as well.
        torch.default_generator.manual_seed(seed)
        yield


def started(name: str, head: str, num_classes: int, start: dict[str, Tensor] | None) -> Network:
    """Build a network that starts from some weights; see `make_stage`."""
    network = make_network(name, num_classes, head)
    if start is not None:
        network.start_from(start)
    return network


def make_stage(
    settings: StageSettings,
    head: str,
    data: LongTailed,
    seed: int,
    position: int,
    start: dict[str, Tensor] | None,
    network: str = "resnet32",
    device: torch.device = CPU,
) -> Stage:
    """Build a stage; the caller's random state is left alone.

    Parameters
    ----------
    settings
        Of the stage.
    head, network
        Classifier and network; see `gclib.networks.make_network`.
    data
        The data set.
    seed
        Of the run: it decides the new weights, and with `position` what the stage draws as it begins.
    position
        Place of the stage in the recipe, from 0.
    start
        Weights of the network, or of its embedding alone, to start from, on the CPU; None for new ones.
    device
        Where a pass over photos is made, if the stage begins with one.

    Raises
    ------
    UserError
        If no stage can be built from the settings; see `gclib.methods.stage.Stage.check`.
    """
    with seeded(seed):
        stage = Stage.make(settings, started(network, head, data.num_classes, start), data)
        stage.first = position == 0
        torch.default_generator.manual_seed(draw_seed(seed, position))
        stage.begin()
    if stage.measures:
        # On the CPU, so that a GPU goes on from the same bits; photos would take hours there.
        where = device if isinstance(data.train.images, Photos) else CPU
        stage.to(where).measure(images_of(data, "train", where, torch.float32))
    return stage


def normalised_for(network: str, data: LongTailed) -> LongTailed:
    """Return the data set with its pixels normalised as a network takes them, if that has constants of its own."""
    constants = NETWORKS[network]
    if constants is None:
        return data
    mean, std = constants
    return replace(data, augmentation=replace(data.augmentation, mean=mean, std=std))


def draw_seed(seed: int, position: int) -> int:
    """Seed of a stage's draws: the same for every recipe, so that recipes are compared on the same draws."""
    return int(np.random.SeedSequence([seed, position]).generate_state(1, np.uint64)[0] >> 1)
