"""Where two recipes differ, setting by setting."""

from gclib.data import without_images
from gclib.recipes import get, settings_table
from gclib.tables.table import Table

__all__ = ["settings_difference"]


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
        [stage, setting, left.get((stage, setting)), right.get((stage, setting))] for stage, setting in keys
    ]
    caption = f"Settings in which {first} and {second} differ. Empty: the recipe leaves it at its default."
    return Table.of(["stage", "setting", first, second], sorted(rows, key=lambda row: str(row[0])), caption)
