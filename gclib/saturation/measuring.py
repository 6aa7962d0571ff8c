r"""A run's training images measured while it trains: the target gradient :math:`g=1-p_y` of each, class by class."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gclib import data, metrics, recipes, records, train
from gclib.losses import target_gradient
from gclib.saturation.files import Saturation, command
from gclib.train.device import choose_device
from gclib.train.environment import environment
from gclib.train.loop import Trainer
from gclib.train.plan import stage_plan

EVERY = 5  # epochs from one measurement to the next; the last epoch is measured in any case
THRESHOLD = 1e-3  # an image whose target gradient is below is saturated
LEADS = np.arange(-12.0, 33.0)  # edges of the histogram


def summary(logits: Tensor, labels: Tensor, num_classes: int) -> dict[str, list[Any]]:
    """Summarise the training images of one epoch class by class.

    Parameters
    ----------
    logits
        Of the training images, float64, shape ``(N, C)``.
    labels
        True classes, int64, shape ``(N,)``; every class has an image.
    num_classes
        Number of classes C.

    Returns
    -------
    dict
        ``"saturated"``, ``"mean"``, ``"train_accuracy"`` and ``"histogram"`` of `Saturation`, for this epoch.
    """
    gradients = target_gradient(logits, labels)
    leads = (-torch.logit(gradients)).clamp(LEADS[0], LEADS[-1])
    of_class = [labels == label for label in range(num_classes)]
    return {
        "saturated": [int((gradients[own] < THRESHOLD).sum()) for own in of_class],
        "mean": [float(gradients[own].mean()) for own in of_class],
        "train_accuracy": metrics.per_class_accuracy(logits, labels, num_classes).tolist(),
        "histogram": [np.histogram(leads[own], LEADS)[0].tolist() for own in of_class],
    }


class Measuring(Trainer):
    """A `Trainer` that every fifth epoch also measures its training images; it trains the same way to the last bit."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.measured: dict[str, list[Any]] = {"epochs": [], "test_accuracy": []}

    def evaluate(self, epoch: int) -> float:
        """Evaluate as every run does, and measure after every fifth epoch and the last."""
        accuracy = super().evaluate(epoch)
        if epoch % EVERY == 0 or epoch == self.settings.epochs:
            logits, labels = self.logits(self.train_set), self.train_set.labels.cpu()
            found = summary(logits, labels, self.data.num_classes)
            for name, values in found.items():
                self.measured.setdefault(name, []).append(values)
            self.measured["epochs"].append(epoch)
            self.measured["test_accuracy"].append(self.last["per_class"])
        return accuracy

    def state(self, epoch: int) -> dict[str, Any]:
        """Add what was measured to the state of a stage."""
        return {**super().state(epoch), "measured": self.measured}

    def restore(self, state: dict[str, Any]) -> int:
        """Go back to a saved state; return the number of epochs done."""
        self.measured = state["measured"]
        return super().restore(state)


def make(
    recipe: str,
    dataset: str,
    ratio: float,
    seed: int = 0,
    scale: str = "paper",
    *,
    device: str = "auto",
    workdir: str | Path = "runs",
) -> Saturation:
    """Train the first stage of a recipe and measure on the way.

    Parameters
    ----------
    recipe, dataset, ratio, seed, scale
        Which run; see `gclib.recipes.get` and `gclib.data.load`.
    device, workdir
        See `gclib.train.fit`. Checkpoints go to a folder ``saturation`` of `workdir`, apart from those of other runs.

    Raises
    ------
    UserError
        If there is no such run, or it cannot be trained; see `gclib.train.fit`.
    """
    images = data.load(dataset, ratio, scale=scale)
    resolved = recipes.get(recipe).resolve(images, scale)
    described, seen = resolved.model_dump(mode="json"), records.DataSummary.of(images)
    state = train.fit_first_stage(
        resolved, images, seed=seed, device=device, workdir=Path(workdir, "saturation"), trainer=Measuring
    )
    return Saturation(
        recipe=described,
        data=seen,
        class_names=images.class_names,
        seed=seed,
        run=records.run_identity(described, seen, seed),
        stage=stage_plan(resolved, images, seed)[0].hash,
        environment=environment(choose_device(device), [state]),
        command=command(recipe, dataset, ratio, seed, scale),
        course=records.Course(**state["course"]),
        threshold=THRESHOLD,
        leads=LEADS.tolist(),
        **state["measured"],
    )
