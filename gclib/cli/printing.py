"""Tables for the terminal."""

import sys
from collections.abc import Iterable

from gclib.errors import printable


def print_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table that fits into the terminal; into a pipe or a file, one line to a row."""
    lines = [list(header), *([printable(str(cell)) for cell in row] for row in rows)]
    if sys.stdout.isatty():
        _print_to_terminal(lines)
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["─" * width for width in widths])
    for line in lines:
        print("│", " │ ".join(map(str.ljust, line, widths)), "│")


def _print_to_terminal(lines: list[list[str]]) -> None:
    from rich.console import Console  # a part of the time that a command takes which prints none
    from rich.table import Table

    table = Table()
    for name in lines[0]:
        table.add_column(name, overflow="fold")
    for line in lines[1:]:
        table.add_row(*line)
    Console(highlight=False, markup=False).print(table)
