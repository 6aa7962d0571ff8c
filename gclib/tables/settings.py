"""How recipes are trained, and where two of them differ, setting by setting."""

import re
from collections.abc import Mapping

from gclib.data import without_images
from gclib.methods.settings import StageSettings
from gclib.recipes import get, label, settings_table
from gclib.tables.rows import ROWS
from gclib.tables.table import Table

__all__ = ["settings_difference", "training_table"]

NAME = re.compile(r"[a-z_]+(\.[a-z_]+)*")
WORDS = {"stage-one": "stage one", "stage-two": "stage two", "True": "yes", "False": "no"}
WORDS |= {"parameters.reinitialise": "classifier starts anew"}
DRAWS = {"instance": "plain draws", "class": "balanced draws", "effective": "EN draws", "cben": "CBEN draws"}


def settings_difference(first: str, second: str, dataset: str = "cifar10", ratio: float = 100) -> Table:
    """Show the settings in which two recipes differ at paper scale; no image is needed.

    Parameters
    ----------
    first, second
        Names of recipes.
    dataset
        ``"digits"``, ``"cifar10"`` or ``"cifar100"``.
    ratio
        Imbalance ratio.

    Raises
    ------
    UserError
        For another data set or an unknown recipe.
    """
    data = without_images(dataset, ratio)
    columns = []
    for name in (first, second):
        table = settings_table(get(name).resolve(data), data)
        settings = table.pop("setting")
        del table["source"]
        columns.append(
            {
                (stage, setting): value
                for stage, values in table.items()
                for setting, value in zip(settings, values, strict=True)
            }
        )
    left, right = columns
    keys = [key for key in dict.fromkeys([*left, *right]) if left.get(key, "") != right.get(key, "")]
    rows = [
        [
            f"{in_words(stage)}: {in_words(setting)}",
            *(in_words(of.get((stage, setting), "")) for of in columns),
        ]
        for stage, setting in sorted(keys, key=lambda key: key[0])
    ]
    names = [label(first), label(second)]
    caption = f"Settings in which {' and '.join(names)} differ. Empty: the recipe leaves it at its default."
    return Table.of(["setting", *names], rows, caption)


def in_words(path: str) -> str:
    """Return a stage, a setting or its value as a sentence has it.

    Examples
    --------
    >>> in_words("stage-one"), in_words("loss.parameters.noise_scale"), in_words("False")
    ('stage one', 'loss, noise scale', 'no')
    """
    if path in WORDS:
        return WORDS[path]
    return (
        path.replace(".parameters", "").replace(".", ", ").replace("_", " ") if NAME.fullmatch(path) else path
    )


def training_table() -> Table:
    """Show how each row of Table 1 is trained on CIFAR-10-LT at ratio 100, a stage in a cell; no image is needed."""
    data = without_images("cifar10", 100)
    rows = []
    for row in ROWS[1]:
        if row.part == "paper":
            recipe = get(row.recipe).resolve(data)
            first, second = [*map(_stage_in_words, recipe.stages), "–"][:2]
            rows.append([label(recipe.name), recipe.head, first, second])
    return Table.of(["recipe", "classifier", "stage one", "stage two"], rows, "")


def _stage_in_words(stage: StageSettings) -> str:
    mixed = f", mixup {stage.mixup:g}" if stage.mixup else ""
    schedule = stage.schedule
    falls = zip(schedule.factors, schedule.milestones, strict=True)
    rate = ", ".join(f"× {factor:g} from {round(place * stage.epochs)}" for factor, place in falls)
    how = "" if stage.method == "train" else f"{_called(stage.method, stage.parameters)}; "
    return (
        f"{how}{stage.epochs} epochs, batches of {stage.batch_size}, rate {stage.learning_rate:g} "
        f"({'cosine' if schedule.kind == 'cosine' else rate}), weight decay {stage.weight_decay:g}{mixed}; "
        f"{_called(stage.loss.name, stage.loss.parameters)}; "
        f"{DRAWS[stage.sampler.strategy]}"
    )


def _called(name: str, parameters: Mapping[str, float | str | bool]) -> str:
    words = {key: WORDS.get(f"parameters.{key}", in_words(key)) for key in parameters}
    told = ", ".join(f"{words[key]} {in_words(str(value))}" for key, value in parameters.items())
    return f"{in_words(name)} ({told})" if told else in_words(name)
