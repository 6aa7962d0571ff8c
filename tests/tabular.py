"""Tables as text."""

from gclib.tables import Table


def cells(table: Table) -> dict[str, dict[str, str]]:
    """The table by its first column, every other cell by the header."""
    header, _, *rows = (
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in table.to_markdown().splitlines()
        if line.startswith("|")
    )
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
