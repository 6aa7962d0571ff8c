"""The cell that installs `gclib` where a notebook is opened without it, as on Colab.

`gcl refresh` puts it before the first code cell once ``_config.yml`` names the public address of the
repository, and takes it out again when that is empty. Where `gclib` can be imported the cell does nothing.
"""

import json
from typing import Any

from gclib import ROOT

__all__ = ["update"]

CELL_ID = "installation"


def update(notebook: Any) -> Any:
    """Give a notebook the cell that the present address asks for.

    Parameters
    ----------
    notebook
        An ``nbformat`` notebook, changed in place.

    Returns
    -------
    NotebookNode
        The same notebook: with the cell of the address and branch in ``_config.yml``, or without any.
    """
    from nbformat.v4 import new_code_cell

    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != CELL_ID]
    first = next((k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"), None)
    repository = _repository()
    if first is not None and repository.get("url"):
        source = _source(repository["url"], repository.get("branch") or "main")
        # The book does not show the cell: its readers have nothing to install.
        cell = new_code_cell(source, id=CELL_ID, metadata={"tags": ["remove-cell"]})
        notebook.cells.insert(first, cell)
    return notebook


def _repository() -> dict[str, str]:
    import yaml

    config = ROOT / "_config.yml"
    if not config.is_file():  # not in a checkout
        return {}
    return yaml.safe_load(config.read_text(encoding="utf-8")).get("repository") or {}


def _source(url: str, branch: str) -> str:
    # A checkout, not the bare package: the pages read its results/. Installed from there, gclib.ROOT is the checkout.
    return f"""\
# Where gclib is missing, as on Colab: clone the repository and install it with what its notebooks need.
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("gclib") is None:
    address = {json.dumps(url)}
    branch = {json.dumps(branch)}
    checkout = Path("gcl-companion").resolve()
    if not checkout.exists():
        subprocess.run(["git", "clone", "--depth=1", f"--branch={{branch}}", address, checkout], check=True)
    needed = f"{{checkout}}[book,photos]"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", needed], check=True)
    sys.path.append(str(checkout))  # a kernel sees what is installed as editable only from its next start"""
