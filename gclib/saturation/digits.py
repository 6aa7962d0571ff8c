"""Whose images saturate on a small network: the digits cut to a long tail, with every target gradient of a training."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gclib import metrics
from gclib.data import LongTailed, Split, load, long_tailed_indices
from gclib.losses import target_gradient
from gclib.methods.settings import LossSettings, StageSettings
from gclib.methods.stage import Stage
from gclib.networks import CosineClassifier
from gclib.train.loop import Trainer
from gclib.train.making import seeded

__all__ = ["CROSS_ENTROPY", "Followed", "by_class", "follow", "long_tailed_digits"]

CROSS_ENTROPY = LossSettings(name="cross-entropy")
HIDDEN = 64  # units of the one hidden layer


def long_tailed_digits(rotation: int, ratio: float, seed: int = 0, shift: int = 0) -> LongTailed:
    """Cut the digits to a long tail whose most frequent class is the digit `rotation`.

    Parameters
    ----------
    rotation
        Digit that becomes the head, 0 to 9; the others follow in their order.
    ratio
        Imbalance ratio, >= 1.
    seed
        Of the subset.
    shift
        Largest random shift of a training image in pixels.
    """
    whole = load("digits")
    train_labels = (whole.train.labels - rotation) % 10
    chosen = long_tailed_indices(train_labels, ratio, seed)
    return replace(
        whole,
        ratio=ratio,
        train=Split(whole.train.images[chosen], train_labels[chosen]),
        test=Split(whole.test.images, (whole.test.labels - rotation) % 10),
        class_counts=np.bincount(train_labels[chosen]),
        class_names=tuple(str((place + rotation) % 10) for place in range(10)),
        augmentation=replace(whole.augmentation, shift=shift),
    )


class Tempered(torch.nn.Linear):
    """A linear classifier whose logits are divided by a temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__(HIDDEN, 10)
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, 10) of features (B, 64)."""
        return super().forward(features) / self.temperature


class Followed(NamedTuple):
    """A training of E epochs on N images.

    Attributes
    ----------
    gradients
        Target gradient of each training image after each epoch, shape ``(E, N)``.
    logits
        Of the training images after each epoch, E of shape ``(N, 10)``.
    accuracy
        Of each class on the test set after the last epoch in percent, shape ``(10,)``.
    """

    gradients: np.ndarray
    logits: list[Tensor]
    accuracy: np.ndarray


def follow(
    data: LongTailed,
    epochs: int,
    seed: int = 0,
    loss: LossSettings = CROSS_ENTROPY,
    temperature: float = 1.0,
) -> Followed:
    """Train a network with one hidden layer, and note the target gradient of every training image.

    Parameters
    ----------
    data
        Of `long_tailed_digits`.
    epochs
        Length of the training.
    seed
        Of weights and order of images.
    loss
        Cross-entropy has a linear classifier, any other loss a cosine one.
    temperature
        What the logits of the linear classifier are divided by, > 0.
    """
    with seeded(seed):
        hidden = [torch.nn.Flatten(), torch.nn.Linear(192, HIDDEN), torch.nn.ReLU()]
        head = Tempered(temperature) if loss == CROSS_ENTROPY else CosineClassifier(HIDDEN, 10)
    settings = StageSettings(
        name="stage-one", method="train", epochs=epochs, batch_size=32, learning_rate=0.05, loss=loss
    )
    network: Any = torch.nn.Sequential(*hidden, head).double()
    stage = Stage(settings, network, data)
    trainer = Trainer(stage, data, torch.device("cpu"), "float64", seed)
    course = []
    for epoch in range(epochs):
        trainer.train_epoch(epoch)
        course.append(trainer.logits(trainer.train_set))
    gradients = [target_gradient(logits, trainer.train_set.labels).numpy() for logits in course]
    accuracy = metrics.per_class_accuracy(trainer.test_logits(), data.test.labels, 10)
    return Followed(np.array(gradients), course, accuracy)


def by_class(values: np.ndarray, data: LongTailed) -> np.ndarray:
    """Return the mean over the images of each class; images are the last axis of `values`, classes of the result."""
    members = (data.train.labels == label for label in range(10))
    return np.stack([values[..., member].mean(-1) for member in members], -1)
