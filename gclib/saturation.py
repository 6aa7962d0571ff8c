"""Where training images sit on the saturation curve, class by class, over the epochs of a run.

``python -m gclib.saturation RECIPE --data cifar10 --ratio 100`` trains the first stage of a recipe as every other
run does, and every fifth epoch also measures the target gradient :math:`g=1-p_y` of each training image, without
augmentation. Killed and started again, it goes on. What it finds is one small file under ``results/saturation/``.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from torch import Tensor

from gclib import ROOT, data, metrics, recipes, records, train
from gclib.device import choose_device
from gclib.environment import environment
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.loop import Trainer
from gclib.losses import target_gradient
from gclib.plan import stage_plan
from gclib.records.fields import Count, Hash, Natural, Number, Percent, Text

__all__ = [
    "Measuring",
    "Saturation",
    "difference",
    "find",
    "load",
    "main",
    "make",
    "place",
    "save",
    "summary",
]

EVERY = 5  # epochs from one measurement to the next; the last epoch is measured in any case
THRESHOLD = 1e-3  # an image whose target gradient is below is saturated
LEADS = np.arange(-12.0, 33.0)  # edges of the histogram


class Saturation(BaseModel):
    r"""What was measured, epoch by epoch (E of them) and class by class (C), and in which run.

    Attributes
    ----------
    recipe, data, seed, environment, command
        As in a run record (`gclib.records.RunRecord`); `command` measures again.
    run, stage
        Identity of the run, and hash of its first stage, the one that was measured.
    class_names
        C names.
    course
        Loss, rate and accuracies of the stage, as in a run record; its seconds include those of measuring.
    epochs
        E epochs, counted from 1, after which the training images were measured.
    threshold
        An image with a target gradient below it counts as saturated.
    saturated
        How many images of each class are, shape ``(E, C)``.
    mean
        Mean target gradient of each class, shape ``(E, C)``.
    train_accuracy, test_accuracy
        Of each class in percent, shape ``(E, C)``; training images without augmentation.
    leads
        B + 1 edges of the bins of the histogram.
    histogram
        Images of each class by their lead :math:`\Delta=z_y-\log\sum_{k\ne y}e^{z_k}`, for which
        :math:`g=1/(1+e^\Delta)`; shape ``(E, C, B)``. The outer bins also hold what lies beyond them.
    digest
        Hash of all other fields; it fills itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    recipe: dict[str, JsonValue]
    data: records.DataSummary
    class_names: tuple[Text, ...]
    seed: Natural
    run: Hash
    stage: Hash
    environment: records.Environment
    command: Text
    course: records.Course
    epochs: tuple[Count, ...]
    threshold: Number
    saturated: tuple[tuple[Natural, ...], ...]
    mean: tuple[tuple[Number, ...], ...]
    train_accuracy: tuple[tuple[Percent, ...], ...]
    test_accuracy: tuple[tuple[Percent, ...], ...]
    leads: tuple[Number, ...]
    histogram: tuple[tuple[tuple[Natural, ...], ...], ...]
    digest: Hash = Field(default_factory=lambda fields: records.content_hash(fields))

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe["name"])

    @property
    def saturated_share(self) -> np.ndarray:
        """Share of the images of each class that are saturated, 0 to 1, shape ``(E, C)``."""
        return np.array(self.saturated) / np.array(self.data.class_counts)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "digest"}
        if records.content_hash(fields) != self.digest:
            raise ValueError("it does not match its digest: it was edited or damaged")
        counts, epochs = np.array(self.data.class_counts), len(self.epochs)
        shape = (epochs, len(counts))
        for name in ("saturated", "mean", "train_accuracy", "test_accuracy"):
            if {len(row) for row in fields[name]} != {shape[1]} or len(fields[name]) != epochs:
                raise ValueError(f"{name}: expected a number for each epoch and class, shape {shape}")
        bins = len(self.leads) - 1
        if {len(row) for rows in self.histogram for row in rows} != {bins}:
            raise ValueError(f"histogram: expected {bins} bins")
        if not all(np.array_equal(np.sum(rows, axis=-1), counts) for rows in self.histogram):
            raise ValueError("histogram: expected each training image in one bin, in every epoch")
        if self.epochs[-1] != len(self.course.loss) or len(self.class_names) != len(counts):
            raise ValueError("epochs, class_names: expected to end with the run, and a name for each class")
        return self


def summary(logits: Tensor, labels: Tensor, num_classes: int) -> dict[str, list[Any]]:
    """Summarise the training images of one epoch class by class.

    Parameters
    ----------
    logits
        Of the training images, float64, shape ``(N, C)``.
    labels
        True classes, int64, shape ``(N,)``; every class has an image.
    num_classes
        C.

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
    images = data.load(dataset, ratio)
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
        environment=environment(choose_device(device), state),
        command=_command(recipe, dataset, ratio, seed, scale),
        course=records.Course(**state["course"]),
        threshold=THRESHOLD,
        leads=LEADS.tolist(),
        **state["measured"],
    )


def place(
    recipe: str, dataset: str, ratio: float, seed: int = 0, scale: str = "paper", root: str | Path = "results"
) -> Path:
    """Return where a measurement belongs: ``<root>/saturation/<scale>/<dataset>-ir<ratio>/<recipe>-seed<k>.json``."""
    run = records.place(scale, dataset, ratio, recipe, seed)
    return Path(root, "saturation", run.parent.with_name(f"{recipe}-{run.name}"))


def save(measured: Saturation, path: str | Path) -> None:
    """Write a measurement, whole or not at all (then a `UserError`); one that is there is replaced."""
    write_atomically(Path(path), measured.model_dump_json().encode() + b"\n")


def load(path: str | Path) -> Saturation:
    """Read a measurement and check it.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else.
    """
    try:
        return Saturation.model_validate_json(Path(path).read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = ": ".join([*map(str, first["loc"][:1]), first["msg"].removeprefix("Value error, ")])
    except (OSError, ValueError) as error:
        reason = str(error)
    reason = " ".join(reason.split())
    raise UserError(f"{path} holds no measurement ({reason}); make it again with python -m gclib.saturation")


def find(
    recipe: str,
    dataset: str,
    ratio: float,
    seed: int = 0,
    scale: str = "paper",
    root: str | Path = ROOT / "results",
) -> Saturation:
    """Load the measurement of a run.

    Raises
    ------
    UserError
        If it is not made yet, with the command that makes it, or damaged.
    """
    path = place(recipe, dataset, ratio, seed, scale, root)
    if not path.exists():
        raise UserError(f"{recipe} is not measured yet: {_command(recipe, dataset, ratio, seed, scale)}")
    return load(path)


def difference(measured: Saturation, root: str | Path = ROOT / "results") -> float | None:
    """Compare the test accuracies of the run that was measured with those of the record of the same run.

    Returns
    -------
    float or None
        The largest difference of all epochs, in points; None where there is no record.
    """
    for record in records.find(root, dataset=measured.data.name, recipe=measured.name, seed=measured.seed):
        if record.stages[0].hash == measured.stage:
            known = np.array(record.stages[0].course.test_accuracy)
            return float(abs(known - measured.course.test_accuracy).max())
    return None


def _command(recipe: str, dataset: str, ratio: float, seed: int, scale: str) -> str:
    where = f"--data {shlex.quote(dataset)} --ratio {ratio:.12g} --seed {seed} --scale {scale}"
    return f"python -m gclib.saturation {recipe} {where}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the run that the command line names, and say whether it is the recorded one."""
    parser = argparse.ArgumentParser(
        prog="python -m gclib.saturation",
        description="Train stage one of a recipe and measure where its training images sit on the saturation curve.",
    )
    parser.add_argument("recipe", help="name of a recipe, for example ce")
    parser.add_argument("--data", default="cifar10", help="name of a data set")
    parser.add_argument("--ratio", type=float, default=100.0, help="imbalance ratio")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and draws")
    parser.add_argument("--scale", default="paper", help="how long it trains: smoke, short or paper")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workdir", type=Path, default=Path("runs"), help="where checkpoints go")
    parser.add_argument("--root", type=Path, default=Path("results"), help="folder of the results")
    given = parser.parse_args(arguments)
    run = (given.recipe, given.data, given.ratio, given.seed, given.scale)
    try:
        measured = make(*run, device=given.device, workdir=given.workdir)
        path = place(*run, root=given.root)
        save(measured, path)
        apart = difference(measured, given.root)
    except UserError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {len(measured.epochs)} epochs measured")
    if apart is None:
        print(f"there is no record of this run under {given.root} to compare it with")
    elif apart == 0:
        print("every test accuracy is that of the run's record")
    else:
        print(f"test accuracies differ from the run's record, by up to {apart:.4g} points")


if __name__ == "__main__":
    main()
