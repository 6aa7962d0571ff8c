"""What a method is made of: stages.

A stage owns the network, whatever state its method adds (as buffers, so that a checkpoint holds it), all that is
random in an epoch (`Stage.draw`) and the loss of one step. The loop in `gclib.train.loop` knows nothing else of a
method.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from gclib import losses, sampling
from gclib.data import LongTailed
from gclib.data.views import NUMBERS
from gclib.errors import UserError, require_one_of
from gclib.losses.common import CosineLoss
from gclib.methods.images import Batch, Draws, Images
from gclib.methods.settings import (
    LossSettings,
    SamplerSettings,
    StageSettings,
    require_in_range,
    require_known,
    require_same_kind,
)
from gclib.networks import Network

__all__ = ["LOSSES", "Batch", "Draws", "Stage"]

# Name in a recipe -> constructor from class counts and the recipe's parameters.
LOSSES: dict[str, Callable[..., nn.Module]] = {
    "cross-entropy": lambda class_counts: losses.CrossEntropyLoss(),
    "gcl": losses.GCLLoss,
}

NOISE_AT_ONCE = (
    2**27
)  # values of a stochastic loss's noise that are drawn for a whole epoch, at most: half a gigabyte


class Stage(nn.Module):
    """One stage of a method: by default, training of the whole network with one of `LOSSES`.

    Parameters
    ----------
    settings
        Resolved settings of the stage.
    network
        Backbone and classifier, trained in place.
    data
        The long-tailed data set: its class counts shape loss and sampler.
    """

    methods: ClassVar[dict[str, type["Stage"]]] = {}
    defaults: ClassVar[Mapping[str, float | str | bool]] = {}  # of ``settings.parameters``; see `setting`
    # Of each that is no switch: lowest and highest number, or the words.
    ranges: ClassVar[Mapping[str, tuple]] = {}
    trains: ClassVar[bool] = True  # False for a post-hoc method, a stage of zero epochs
    keeps_embedding: ClassVar[bool] = False  # whether the method trains nothing of the embedding
    takes_features: ClassVar[bool] = True  # whether features in the place of images will do
    views: ClassVar[bool] = False  # whether it is made of augmented views
    measures: bool = False  # whether it begins with a pass over the training images
    whole_batches: bool = False  # whether an epoch's last, smaller batch is left out
    first: bool = True  # in its recipe
    takes_parts: ClassVar[bool] = True  # whether a batch may be cut: not where its images are coupled
    weighs: ClassVar[bool] = False  # whether it gives class weights to the loss
    heads: ClassVar[tuple[str, ...]] = ()  # what `make_network` may have made; empty: any
    takes_mixup: ClassVar[bool] = True  # whether `loss` knows the partners of mixup and the noise of a loss
    network: Network
    criterion: Any
    correct: Tensor

    def __init__(self, settings: StageSettings, network: Network, data: LongTailed) -> None:
        super().__init__()
        self.settings = settings
        self.network = network
        self.augmentation = data.augmentation
        self.kept = [] if settings.trains == "all" else network.kept(settings.trains)  # any module has "all"
        for module in self.kept:
            module.requires_grad_(False)
        # Positions of the images that it trains on.
        self.seen = torch.from_numpy(np.flatnonzero(~data.held_out(settings.held_out)))
        self.num_images, self.num_classes = len(self.seen), data.num_classes
        self.index = sampling.ClassIndex.from_labels(data.train.labels[self.seen], data.num_classes)
        self.criterion = make_loss(settings.loss, data.class_counts)
        self.scale = float(settings.loss.parameters.get("scale", getattr(self.criterion, "scale", 1.0)))
        self.probabilities = make_probabilities(settings.sampler, data.class_counts)
        self.register_buffer("correct", torch.zeros(()), persistent=False)

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            Stage.methods[name] = cls

    @staticmethod
    def make(settings: StageSettings, network: Network, data: LongTailed) -> "Stage":
        """Build the stage that `settings.method` names."""
        Stage.check(settings, data)
        return Stage.methods[settings.method](settings, network, data)

    @staticmethod
    def check(settings: StageSettings, data: LongTailed, head: str | None = None) -> None:
        """Raise a UserError for settings that no stage can be built from, with this head where it is known."""
        require_one_of("method", settings.method, Stage.methods)
        method = Stage.methods[settings.method]
        owner = f"method {settings.method!r}"
        if head and method.heads and head not in method.heads:
            raise UserError(
                f"{owner} was given a {head} classifier; expected {' or '.join(method.heads)}: start from a recipe "
                "that has one, which `gcl recipes NAME` shows"
            )
        for name in settings.parameters:
            require_known(owner, name, method.defaults)
            require_same_kind(owner, name, settings.parameters[name], method.defaults[name])
            require_in_range(owner, name, settings.parameters[name], method.ranges.get(name, ()))
        if settings.epochs and not method.trains:
            raise UserError(
                f"method {settings.method!r} trains nothing, but was given {settings.epochs} epochs; expected 0"
            )
        if settings.trains != "all" and (method.keeps_embedding or not method.takes_features):
            raise UserError(
                f"method {settings.method!r} was given trains {settings.trains!r}, but it says itself what it trains; "
                "expected all"
            )
        if settings.parts > 1 and not method.takes_parts:
            raise UserError(
                f"method {settings.method!r} was given parts {settings.parts}, but it couples the images of a whole "
                "batch; expected parts 1"
            )
        if method.views and not settings.augment:
            raise UserError(f"method {settings.method!r} is made of augmented views; expected augment true")
        loss = make_loss(settings.loss, data.class_counts)
        make_probabilities(settings.sampler, data.class_counts)
        if method.weighs and not hasattr(loss, "weight"):
            raise UserError(
                f"method {settings.method!r} was given loss {settings.loss.name!r}, which takes no class weights; "
                "expected one that does, such as cross-entropy, focal or ldam"
            )
        if (settings.mixup or loss.stochastic) and not method.takes_mixup:
            given = f"mixup {settings.mixup:g}" if settings.mixup else f"loss {settings.loss.name!r}"
            raise UserError(
                f"method {settings.method!r} was given {given}; expected no mixup and a loss without noise, "
                "for its loss is its own; leave that setting as it is"
            )
        if head not in (None, "cosine") and isinstance(loss, CosineLoss):
            raise UserError(
                f"loss {settings.loss.name!r} takes cosines, but the recipe has a {head} classifier; "
                "start from a recipe with a cosine classifier, such as gcl-official"
            )

    @classmethod
    def passes(cls, settings: StageSettings) -> int:
        """Passes forward and backward through the network that an image of the epoch costs."""
        return 1

    @classmethod
    def keeps_features(cls, settings: StageSettings) -> bool:
        """Whether an image as it is has the same feature after every epoch of such a stage."""
        return cls.takes_features and (cls.keeps_embedding or settings.trains == "head")

    @classmethod
    def on_features(cls, settings: StageSettings) -> bool:
        """Whether an image has the same feature in every epoch of such a stage."""
        return cls.keeps_features(settings) and not settings.augment

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but what does not learn, which keeps its batch-norm statistics."""
        super().train(mode)
        for module in self.kept:
            module.eval()
        return self

    def setting(self, name: str) -> Any:
        """Value of a parameter of the method: what the recipe says, or else the method's default."""
        return self.settings.parameters.get(name, self.defaults[name])

    def begin(self) -> None:
        """Prepare once, after the weights of the stage before are loaded."""

    def measure(self, images: Images) -> None:
        """Pass over the training images, after `begin`, if it `measures`; what is held out teaches it nothing."""

    def begin_epoch(self, epoch: int) -> None:
        """Fill the buffers that change with the 0-based epoch."""

    def draw(self, generator: torch.Generator) -> Draws:
        """Draw one epoch's randomness from `generator` (CPU), always in the same order."""
        count, size = self.num_images, self.settings.batch_size
        if self.whole_batches:
            count = count // size * size or count
        draws = self.draw_views(self.draw_indices(self.probabilities, count, generator), generator)
        partners = weights = noise = seeds = None
        if self.settings.mixup:
            sizes = [min(size, count - start) for start in range(0, count, size)]
            parts = [stop - start for images in sizes for start, stop in self.settings.bounds(images)]
            partners = torch.cat([torch.randperm(n, generator=generator) for n in parts])
            weights = _beta(self.settings.mixup, len(sizes), generator)
        if self.criterion.stochastic:
            shape = (count, self.noises, self.num_classes)
            if math.prod(shape) > NOISE_AT_ONCE:
                seeds = torch.randint(2**62, (-(-count // size),), generator=generator)
            else:
                noise = self.criterion.draw(shape, generator)
        return replace(draws, partners=partners, weights=weights, noise=noise, seeds=seeds)

    @property
    def noises(self) -> int:
        """How many draws of a stochastic loss an image has, one for each of mixup's two targets."""
        return 2 if self.settings.mixup else 1

    def noise(self, seed: int, count: int) -> Tensor:
        """Draw the noise of a step of `count` images from its seed, on the device, where it is not that of the CPU."""
        generator = torch.Generator(self.correct.device).manual_seed(seed)
        return self.criterion.draw((count, self.noises, self.num_classes), generator)

    def draw_indices(
        self, probabilities: np.ndarray | None, count: int, generator: torch.Generator
    ) -> Tensor:
        """Draw the images of an epoch, of those that the stage trains on; see `gclib.sampling.epoch_indices`."""
        return self.seen[sampling.epoch_indices(self.index, probabilities, count, generator)]

    def draw_views(self, indices: Tensor, generator: torch.Generator) -> Draws:
        """Draw crop, mirror and colours of images; see `Draws`."""
        count, augmentation = len(indices), self.augmentation
        if not self.settings.augment:
            return Draws(
                indices, torch.full((count, 2), augmentation.shift), torch.zeros(count, dtype=torch.bool)
            )
        if augmentation.resized:
            crops = torch.rand(count, NUMBERS, generator=generator)
        else:
            crops = torch.randint(0, 2 * augmentation.shift + 1, (count, 2), generator=generator)
        flips = torch.rand(count, generator=generator) < (0.5 if augmentation.flip else 0.0)
        colours = None
        if augmentation.jitter:
            colours = 1 + augmentation.jitter * (2 * torch.rand(count, 3, generator=generator) - 1)
        return Draws(indices, crops, flips, colours=colours)

    def logits(self, images: Tensor) -> Tensor:
        """Output of the network in training, before the loss: logits or cosines ``(B, C)``."""
        return self.network(images)

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of one step; a fixed function of the batch's tensors. Also counts what is classified right."""
        logits = self.logits(batch.images)
        loss, correct = self._loss_and_hits(logits, batch.targets, batch.noise, 0)
        if batch.partner_targets is not None and batch.weight is not None:
            other, other_correct = self._loss_and_hits(logits, batch.partner_targets, batch.noise, 1)
            weight = batch.weight.to(loss.dtype)
            loss = torch.lerp(other, loss, weight)
            correct = torch.lerp(other_correct, correct, weight.to(correct.dtype))
        self.correct.add_(correct)
        return loss

    def _loss_and_hits(
        self, logits: Tensor, target: Tensor, noise: Tensor | None, view: int
    ) -> tuple[Tensor, Tensor]:
        arguments = (logits, target) if noise is None else (logits, target, noise[:, view])
        hits = (logits.detach().argmax(1) == target).sum().to(self.correct.dtype)
        return self.criterion(*arguments), hits

    def forward(self, images: Tensor) -> Tensor:
        """Test-time logits ``(B, C)``; cosines are multiplied by the scale, so that a softmax of them is meant."""
        return self.scale * self.logits(images)

    def parameter_groups(self) -> Iterable[nn.Parameter] | Iterable[dict[str, Any]]:
        """What is trained, as torch's optimisers take it; a group's ``"factor"`` scales its learning rate.

        All parameters of the stage unless a method says otherwise: the network's, and those that the method adds. None
        for a post-hoc method.
        """
        return self.parameters() if self.trains else []


class TrainNetwork(Stage, name="train"):
    """Train backbone and classifier together."""


def make_loss(settings: LossSettings, class_counts: np.ndarray) -> nn.Module:
    """Build the loss that `settings` names for these class counts.

    Raises
    ------
    UserError
        For an unknown loss or parameter, or a value of another kind or out of its range.
    """
    require_one_of("loss", settings.name, LOSSES)
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(LOSSES[settings.name]).parameters.items()
        if parameter.default is not parameter.empty
    }
    for name, value in settings.parameters.items():
        require_known(f"loss {settings.name!r}", name, known)
        require_same_kind(f"loss {settings.name!r}", name, value, known[name])
    return LOSSES[settings.name](class_counts, **settings.parameters)


def make_probabilities(settings: SamplerSettings, class_counts: np.ndarray) -> np.ndarray | None:
    """Return the class probabilities of a sampler; None for instance-balanced, which permutes instead."""
    probabilities = sampling.class_probabilities(class_counts, settings.strategy, **settings.parameters)
    return None if settings.strategy == "instance" else probabilities


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Beta(alpha, alpha) draws by inversion: torch's own sampler takes no generator."""
    from scipy.special import betaincinv

    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.from_numpy(np.asarray(betaincinv(alpha, alpha, uniform.numpy())))


# Last, for they need what stands above: whoever knows `Stage` knows the stages of all methods.
from gclib.methods import stages  # noqa: E402, F401
