"""GCL in a model of one's own: the loop is short, and the page's exercises run."""

import re
from pathlib import Path

import nbformat
import pytest
from toc import ROOT

from gclib import losses, notebook, sampling

PAGE = ROOT / "notebooks" / "your-model.ipynb"


def cell(name: str) -> str:
    return next(cell.source for cell in nbformat.read(PAGE, as_version=4).cells if cell.id == name)


def test_the_loop_has_at_most_20_lines_and_takes_two_names_of_the_package() -> None:
    source = cell("the-loop")
    assert len(source.splitlines()) <= 20
    from_package = re.findall(r"^from gclib\S* import (.*)", cell("your-model-03"), re.MULTILINE)
    names = {name for line in from_package for name in line.split(", ") if re.search(rf"\b{name}\b", source)}
    assert names == {"GCLLoss", "CosineClassifier"}


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
    assert notebook.not_held(tmp_path / "out.ipynb") == []


@pytest.mark.parametrize("module", [losses, sampling])
def test_every_public_loss_and_sampler_shows_itself_at_work(module: object) -> None:
    shown = {
        name: getattr(module, name).__doc__ for name in module.__all__ if callable(getattr(module, name))
    }
    without = [name for name, text in shown.items() if ">>>" not in text and name != "ClassIndex"]
    assert without == [], "no executed example in the docstring"
