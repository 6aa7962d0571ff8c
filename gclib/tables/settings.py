"""Where two recipes differ, setting by setting."""

import re

from gclib.data import without_images
from gclib.recipes import get, label, settings_table
from gclib.tables.table import Table

__all__ = ["settings_difference"]

NAME = re.compile(r"[a-z_]+(\.[a-z_]+)*")
WORDS = {"stage-one": "stage one", "stage-two": "stage two", "True": "yes", "False": "no"}
WORDS |= {"parameters.reinitialise": "classifier starts anew"}


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
