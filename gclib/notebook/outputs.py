"""What an executed notebook printed: the records that it made, and what of its text does not hold."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gclib import ROOT
from gclib.notebook.grammar import read
from gclib.notebook.page import NOT_HELD

if TYPE_CHECKING:
    from gclib.records import RunRecord

__all__ = ["not_held", "printed_records"]


def printed_records(path: str | Path) -> dict[Path, "RunRecord"]:
    """Records that an executed notebook made: those in the files after ``record:`` on lines that it printed.

    The notebook prints a path as seen from the checkout. Other lines that begin so name no record.
    """
    from gclib.records import RecordError, load  # what is only listed or built needs none of it

    found = {}
    for name in re.findall(r"^record: (.+)$", _printed(read(Path(path))), re.MULTILINE):
        file = ROOT / name.strip()
        with suppress(RecordError):
            if os.path.isfile(file):  # False for what cannot be a name, where Path.is_file raises
                found[file.resolve()] = load(file)
    return found


def not_held(path: str | Path) -> list[str]:
    """Lines by which an executed notebook tells what of its text does not hold with its parameters."""
    return wrong(read(Path(path)))


def wrong(notebook: Any) -> list[str]:
    """As `not_held`, of an ``nbformat`` notebook."""
    return [line for line in _printed(notebook).splitlines() if line.startswith(NOT_HELD)]


def _printed(notebook: Any) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")
