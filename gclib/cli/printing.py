"""Tables for the terminal."""

import sys
from collections.abc import Iterable


def print_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table that fits into the terminal; into a pipe or a file, one line to a row."""
    from rich.console import Console  # a part of the time that a command takes which prints none
    from rich.table import Table

    table = Table()
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1000)
    console.print(table)
