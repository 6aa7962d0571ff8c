"""The chapters with other parameters: each runs, its exercises' solutions run, and what it concludes still holds."""

import re
from pathlib import Path

import nbformat
import pytest
from toc import NOTEBOOKS, ROOT

from gclib import notebook, recipes

# CIFAR-100-like counts, ratio 50, another seed; fewer draws and runs where that saves time.
COUNTS = {"num_classes": 100, "n_max": 500, "ratio": 50.0, "seed": 1}
CHAPTERS = {
    "long-tail": {**COUNTS, "digits_ratio": 50.0},
    "chance": {"digits_ratio": 50.0, "num_subsets": 5, "num_runs": 2, "seed": 1},
    "softmax-saturation": {"num_classes": 100, "ratio": 50.0, "seed": 1},
    "clouded-logits": {"num_classes": 100, "dimension": 128, "draws": 2000, "seed": 1},
    "embedding": {
        "ratio": 50.0,
        "epochs": 12,
        "plane_epochs": 20,
        "per_class": 15,
        "perplexity": 20.0,
        "seed": 1,
    },
    "gaussian-cloud": {**COUNTS, "draws": 1000},
    "logit-adjustment": {**COUNTS, "num_classes": 20, "draws": 1000},
    "rebalancing": COUNTS,
    "repairs": {"digits_ratio": 50.0, "repeats": 2, "seed": 1},
    "temperature-and-labels": {"ratio": 50.0, "seed": 1},
}
TRUTH = re.compile(r"\b(True|False)$", re.MULTILINE)


def solutions(document: nbformat.NotebookNode) -> list[str]:
    """Code of the folded solutions, in order."""
    text = "\n\n".join(cell.source for cell in document.cells if cell.cell_type == "markdown")
    exercises = text.split("\n## Exercises\n")[1].split("\n## Further reading\n")[0]
    return re.findall(r"^```python\n(.*?)^```$", exercises, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_has_three_exercises_with_solutions_and_further_reading(name: str) -> None:
    document = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert len(solutions(document)) == 3
    hidden = [cell.source for cell in document.cells if "remove-cell" in cell.metadata.get("tags", [])]
    assert sum(source.count("assert ") for source in hidden) >= 4, "a chapter checks what it concludes"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_page_prints_true_or_false_as_evidence(name: str) -> None:
    for cell in nbformat.read(ROOT / f"{name}.ipynb", as_version=4).cells:
        printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
        assert not TRUTH.search(printed), f"{name}, {cell.id}: show the number, and assert in a hidden cell"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_shows_what_recipes_are_called_and_no_python(name: str) -> None:
    """Names for the command line stand in commands and settings; what is printed are words and numbers."""
    own = set(recipes.names()) - {
        "focal",
        "bbn",
        "tde",
        "oltr",
        "mislas",
        "disalign",
    }  # words of the field as well
    for cell in nbformat.read(ROOT / f"{name}.ipynb", as_version=4).cells:
        if {"remove-cell", "remove-output"} & set(
            cell.metadata.get("tags", [])
        ) or "name in commands" in cell.source:
            continue
        outputs = cell.get("outputs", [])
        printed = "".join(output.get("text", "") for output in outputs)
        assert not re.search(r"\{'|array\(|dtype=", printed), f"{name}, {cell.id}: {printed[:80]}"
        html = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
        raw = own & set(re.findall(r"<t[hd][^>]*>([\w-]+)</t", html))
        assert not raw, f"{name}, {cell.id}: {raw} stand for what recipes.label says"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_holds_with_other_parameters(name: str, tmp_path: Path) -> None:
    committed = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for number, source in enumerate(solutions(committed)):
        committed.cells.append(nbformat.v4.new_code_cell(source, id=f"solution-{number}"))
    copy = tmp_path / f"{name}.ipynb"
    nbformat.write(committed, copy)
    notebook.execute(copy, tmp_path / "out.ipynb", CHAPTERS[name])
    assert not notebook.not_held(tmp_path / "out.ipynb")
