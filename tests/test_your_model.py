"""GCL in a model of one's own: the loop is short and needs none of the book's tools, and the page's exercises run."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from toc import ROOT

from gclib import losses, notebook, sampling

PAGE = ROOT / "notebooks" / "your-model.ipynb"
# What only the extras of pyproject.toml install.
TOOLS = "papermill nbformat nbclient IPython jupyter_book sphinx plotly yaml snakemake psutil pytest".split()


def cell(name: str) -> str:
    return next(cell.source for cell in nbformat.read(PAGE, as_version=4).cells if cell.id == name)


def test_the_loop_has_at_most_20_lines_and_takes_two_names_of_the_package() -> None:
    source = cell("the-loop")
    assert len(source.splitlines()) <= 20
    from_package = re.findall(r"^from gclib\S* import (.*)", cell("your-model-03"), re.MULTILINE)
    names = {name for line in from_package for name in line.split(", ") if re.search(rf"\b{name}\b", source)}
    assert names == {"GCLLoss", "CosineClassifier"}


def test_the_loop_runs_without_the_tools_that_make_the_book() -> None:
    code = f"""
import sys
for tool in {TOOLS}:
    sys.modules[tool] = None  # as if it were not installed
import numpy as np, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from gclib.losses import GCLLoss
from gclib.networks import CosineClassifier
from gclib.sampling import ClassSampler
seed, epochs, counts = 0, 1, [90, 9]
train_set = TensorDataset(torch.randn(99, 16), torch.tensor([0] * 90 + [1] * 9))
backbone = lambda: nn.Linear(16, 32)
report = lambda *words, **numbers: print("done", float(loss) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code + cell("the-loop")], capture_output=True, text=True)
    assert done.stdout == "done True\n", done.stderr


def test_the_page_and_its_exercises_run_on_a_shorter_tail(tmp_path: Path) -> None:
    document = nbformat.read(PAGE, as_version=4)
    text = "\n\n".join(cell.source for cell in document.cells if cell.cell_type == "markdown")
    solutions = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(solutions) == 2
    document.cells += [
        nbformat.v4.new_code_cell(source, id=f"solution-{k}") for k, source in enumerate(solutions)
    ]
    nbformat.write(document, tmp_path / "your-model.ipynb")
    given = {"ratio": 20.0, "seed": 3, "spread": 0.7, "epochs": 2}
    notebook.execute(tmp_path / "your-model.ipynb", tmp_path / "out.ipynb", given)


@pytest.mark.parametrize("module", [losses, sampling])
def test_every_public_loss_and_sampler_shows_itself_at_work(module: object) -> None:
    shown = {
        name: getattr(module, name).__doc__ for name in module.__all__ if callable(getattr(module, name))
    }
    without = [name for name, text in shown.items() if ">>>" not in text and name != "ClassIndex"]
    assert without == [], "no executed example in the docstring"
