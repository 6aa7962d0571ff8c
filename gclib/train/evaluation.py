"""What a network says of a test split becomes what a record keeps of it; logits of all images are never held."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gclib import metrics
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.train import fleet, world

__all__ = ["DivergedError", "evaluated"]


class DivergedError(UserError):
    """A loss or an output that is not finite."""


def evaluated(
    logits: Iterable[tuple[slice, Tensor]], data: LongTailed, stage: str, epoch: int
) -> dict[str, Any]:
    """Measure a network on the test split; see `gclib.metrics.outcome`.

    Parameters
    ----------
    logits
        Of the test images that this process takes: places of some, and their logits ``(B, C)`` on the CPU.
    data
        The data set.
    stage, epoch
        After which 1-based epoch of which stage.

    Returns
    -------
    dict
        The outcome.

    Raises
    ------
    DivergedError
        If a logit is not finite.
    """
    said = torch.zeros(2, len(data.test), dtype=torch.float64)  # class and probability of each image
    for place, part in logits:
        finite = bool(part.isfinite().all())
        answers = fleet.aside(metrics.answers, part) if finite else (torch.nan, torch.nan)
        for row, values in zip(said, answers, strict=True):
            row[place] = torch.as_tensor(values, dtype=torch.float64)
    world.add([said])
    if not said.isfinite().all():  # in every process, for the sums are the same
        raise DivergedError(
            f"{stage}: the network's output is not finite after epoch {epoch}; lower the learning rate or the scale of "
            "the loss, and start again"
        )
    predicted, confidence = said.numpy()
    found = metrics.Answers(predicted.astype(np.int64), confidence)
    return fleet.aside(metrics.outcome, found, data.test.labels, data.class_counts)
