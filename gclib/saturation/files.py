"""What was measured of a run as one checked file under ``results/saturation/``."""

import shlex
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, JsonValue, ValidationError, model_validator

from gclib import ROOT, records
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.records.fields import Count, Hash, Model, Natural, Number, Percents, Text


class Saturation(Model):
    r"""What was measured, epoch by epoch (E of them) and class by class (C), and in which run.

    Attributes
    ----------
    recipe, data, seed, environment, command
        As in a run record (`gclib.records.RunRecord`); `command` measures again and follows from what comes before.
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
    train_accuracy: tuple[Percents, ...]
    test_accuracy: tuple[Percents, ...]
    leads: tuple[Number, ...]
    histogram: tuple[tuple[tuple[Natural, ...], ...], ...]
    digest: Hash = Field(default_factory=lambda fields: records.content_hash(fields))

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe["name"])

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "digest"}
        if records.content_hash(fields) != self.digest:
            raise ValueError("it does not match its digest: it was edited or damaged")
        if self.run != records.run_identity(self.recipe, self.data, self.seed):
            raise ValueError("run: expected the hash of recipe, data and seed")
        measures = command(
            self.name, self.data.name, self.data.ratio or 1.0, self.seed, str(self.recipe.get("scale"))
        )
        if self.command != measures:
            raise ValueError("command: expected the one that recipe, data and seed give")
        counts, epochs = np.array(self.data.class_counts), len(self.epochs)
        shape = (epochs, len(counts))
        for name in ("saturated", "mean", "train_accuracy", "test_accuracy"):
            if {len(row) for row in fields[name]} != {shape[1]} or len(fields[name]) != epochs:
                raise ValueError(f"{name}: expected a number for each epoch and class, shape {shape}")
        bins = len(self.leads) - 1
        if len(self.histogram) != epochs:
            raise ValueError(f"histogram: expected {epochs} epochs")
        if {len(row) for rows in self.histogram for row in rows} != {bins}:
            raise ValueError(f"histogram: expected {bins} bins")
        if not all(np.array_equal(np.sum(rows, axis=-1), counts) for rows in self.histogram):
            raise ValueError("histogram: expected each training image in one bin, in every epoch")
        if self.epochs[-1] != len(self.course.loss) or len(self.class_names) != len(counts):
            raise ValueError("epochs, class_names: expected to end with the run, and a name for each class")
        return self


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
        raise UserError(f"{recipe} is not measured yet: {command(recipe, dataset, ratio, seed, scale)}")
    return load(path)


def difference(measured: Saturation, root: str | Path = ROOT / "results") -> np.ndarray | None:
    """Compare the test accuracies of the run that was measured with those of the record of the same run.

    Returns
    -------
    ndarray or None
        Ours minus the record's after each tested epoch, in points; None where there is no record.
    """
    for record in records.find(root, dataset=measured.data.name, recipe=measured.name, seed=measured.seed):
        if record.stages[0].hash == measured.stage:
            return np.array(measured.course.test_accuracy) - record.stages[0].course.test_accuracy
    return None


def command(recipe: str, dataset: str, ratio: float, seed: int, scale: str) -> str:
    """Return the command that measures a run."""
    where = f"--data {shlex.quote(dataset)} --ratio {ratio:.12g} --seed {seed} --scale {scale}"
    return f"python -m gclib.saturation {recipe} {where}"
