"""Tables as text."""

from gclib import recipes
from gclib.tables import Table

NAMES = {recipes.label(name): name for name in recipes.names()}


def cells(table: Table) -> dict[str, dict[str, str]]:
    """The table by its first column, every other cell by the header; a recipe by its name, not its label."""
    header, _, *rows = (
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in table.to_markdown().splitlines()
        if line.startswith("|")
    )
    return {named(row[0]): dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def named(label: str) -> str:
    """Put the name of a recipe where its label stands."""
    bare = label.replace("\\", "")
    stage_one = ", stage one" * bare.endswith(", stage one")
    label_alone = bare.removesuffix(stage_one)
    return NAMES[label_alone] + stage_one if label_alone in NAMES else label
