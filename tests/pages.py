"""Small notebooks to test with."""

from pathlib import Path

import nbformat

CELL = """\
count: int = 2  # how many lines are printed; in [1, 5]

share: float = 0.5  # part of the whole; in (0, 1]
word: str = "digits"  # any word
kind: str = "a"  # sort of line; in {a, b}
loud: bool = False  # whether in capitals
seeds: list[int] = [0, 1]  # seeds of the runs; in [0, inf)
limit: int | None = None  # where to stop, None is nowhere; in [1, 9]
sizes: tuple[float, ...] = (0.5, 2.0)  # sizes; in (0, inf)
"""


def write(path: Path, *cells: str, parameters: str | None = CELL) -> Path:
    """A notebook with a parameter cell and further code cells."""
    notebook_ = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    if parameters is not None:
        cell = nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]})
        notebook_.cells.insert(0, cell)
    nbformat.write(notebook_, path)
    return path


def printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
