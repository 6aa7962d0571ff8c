"""The temperature of a trained classifier, from images that no stage was trained on."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gclib.classifier import Calibration, Classifier
from gclib.data import LongTailed
from gclib.train.features import images_of

__all__ = ["calibrate", "fitted_temperature"]

LOWEST, HIGHEST = 0.02, 50.0
WRONG = 10  # images


def calibrate(classifier: Classifier, data: LongTailed, device: torch.device) -> Calibration | None:
    """Fit the temperature of a classifier on the training images that all stages held out.

    None where there are none, or too few to tell; see `fitted_temperature`.

    Parameters
    ----------
    classifier
        Not calibrated yet; it is left on the CPU.
    data
        Of its run, normalised as its network takes it.
    device
        Where the images go through it.
    """
    unseen = np.logical_and.reduce([data.held_out(s.held_out) for s in classifier.card.recipe.stages])
    if not unseen.any():
        return None
    split = data.train.of(np.flatnonzero(unseen))
    images = images_of(replace(data, train=split), "train", device, torch.float32)
    # On a GPU in a queue of its own: other runs go on beside it.
    stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()
    with torch.no_grad(), stream:
        classifier.to(device)
        parts = [classifier(part).cpu() for part in images.plain()]
        classifier.cpu()
    return fitted_temperature(torch.cat(parts), torch.from_numpy(split.labels))


def fitted_temperature(logits: Tensor, labels: Tensor) -> Calibration | None:
    """Find the temperature at which the probabilities explain the labels best (Guo et al., ICML 2017).

    Each class counts alike, however many images it has: what is predicted later need not be as long-tailed.

    Parameters
    ----------
    logits
        Shape ``(N, C)``.
    labels
        True classes, int64 ``(N,)``.

    Returns
    -------
    Calibration or None
        None where fewer than `WRONG` are classified wrongly: how sure to be follows from the errors, and without any
        the best temperature is 0, at which every probability is 1.
    """
    from scipy.optimize import minimize_scalar

    if (logits.argmax(1) != labels).sum() < WRONG:
        return None
    logits = logits.double()
    weights = 1 / torch.bincount(labels).double()[labels]
    weights /= weights.sum()

    def loss(log_temperature: float) -> float:
        log_p = (logits / np.exp(log_temperature)).log_softmax(1)
        return -float(weights @ log_p.gather(1, labels[:, None])[:, 0])

    best = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return Calibration(
        temperature=float(np.exp(best.x)),
        images=len(labels),
        loss_before=loss(0.0),
        loss_after=float(best.fun),
    )
