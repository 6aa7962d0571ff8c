"""The pages "Add your loss" and "Add your data set": their steps with other parameters, and their exercises."""

import re
from pathlib import Path

import nbformat
import pytest

from gclib import data, notebook, recipes

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return ``run(name, **parameters)``: what a page prints, with the solutions of its exercises executed as well."""
    scratch, elsewhere = tmp_path / "scratch", tmp_path / "elsewhere"
    scratch.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.chdir(elsewhere)

    def run_(name: str, **parameters: object) -> str:
        page = nbformat.read(notebook.find(name), as_version=4)
        place = next(k for k, cell in enumerate(page.cells) if cell.source.startswith("## Exercises"))
        solutions = re.findall(r"```python\n(.*?)```", page.cells[place].source, re.DOTALL)
        assert len(solutions) == 3
        page.cells[place:place] = [
            nbformat.v4.new_code_cell(source, id=f"solution-{k}") for k, source in enumerate(solutions)
        ]
        path, output = tmp_path / "page.ipynb", tmp_path / "executed.ipynb"
        nbformat.write(page, path)
        before = checkout()
        notebook.execute(path, output, parameters)
        assert checkout() == before
        assert not [*scratch.rglob("*.py"), *scratch.rglob("*.png"), *scratch.rglob("record.json")]
        assert list(elsewhere.iterdir()) == []
        return printed(output)

    return run_


def checkout() -> dict[Path, int]:
    """Files of the package and beside it, each with the time of its last change; not what Python compiles."""
    folders = (ROOT / name for name in ("gclib", "tests", "notebooks", "results"))
    files = (path for folder in folders for path in folder.rglob("*.*") if path.suffix != ".pyc")
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def printed(path: Path) -> str:
    """Everything that the cells of an executed page print or show as text."""
    outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs)


def rows(text: str, first: str) -> list[list[str]]:
    """Rows of Markdown tables whose first cell is `first`."""
    lines = re.findall(rf"^\| ({re.escape(first)} \|.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_a_loss_is_added_in_two_files_and_gets_its_row(run) -> None:
    known = recipes.names()
    text = run("add-your-loss", seed=3, ratio=5.0, tau=1.5, gamma=0.5, epochs=1)
    assert "defined in: gclib.methods.seesaw" in text
    assert len(re.findall(r"^passed: test_\w+$", text, re.MULTILINE)) == 4
    smoke, of_results = rows(text, "seesaw")
    (ce, *_) = rows(text, "ce")
    assert len(smoke) == len(ce) == 6
    assert re.fullmatch(r"\d+\.\d\d", smoke[1])
    assert smoke[5] != ce[5]  # another record
    assert "not run yet" in of_results[-1]
    assert "-p recipe seesaw" in of_results[-1]
    again = re.search(r"^again: (.*)$", text, re.MULTILINE)[1]
    assert "-p ratio 5 -p recipe seesaw -p seed 3" in again
    assert "loss.parameters.tau=1.5 loss.parameters.gamma=0.5" in again
    assert "the same: True" in text
    assert "'gamma': 0.0" in text
    assert "mitigation in epoch 5: False\nmitigation in epoch 6: True" in text
    assert recipes.names() == known


def test_a_data_set_is_added_as_a_folder_and_by_name(run) -> None:
    text = run(
        "add-your-data", images_per_class=20, size=6, ratio=4.0, recipe="logit-adjustment", epochs=1, seed=3
    )
    counts = data.class_counts(16, 4, 4).tolist()
    assert f"training images: {[16] * 4} of (6, 6, 3)" in text
    assert f"training images: {counts}" in text
    assert "test images: [4, 4, 4, 4]" in text
    ((name, ratio, recipe, *_, again),) = rows(text, "folder:shapes@6")
    assert (name, ratio, recipe) == ("folder:shapes@6", "4", "logit-adjustment")
    assert again.startswith("gcl run training -p data folder:shapes@6 -p ratio 4 -p recipe logit-adjustment")
    assert re.search(
        r"kept at: results/smoke/folder-shapes-6-[0-9a-f]{8}-ir4/logit-adjustment/seed3\.json", text
    )
    refusals = re.findall(r"^- (.*)$", text, re.MULTILINE)
    expected = (
        *("files are not images: circle/notes.txt;", "0000.png (not a readable image", "star holds 0"),
        *("one folder of images", "at most 16"),
    )
    assert len(refusals) == 6
    assert all(part in refusal for part, refusal in zip(expected, refusals, strict=False))
    assert "accepted: folder:shapes@6" in text
    assert f"training images: {data.class_counts(1000, 4, 4).tolist()}" in text
    assert f"head: 0-triangle {counts[0]}" in text
    assert "the same data: False\nthe same data: True" in text
    assert "turned-digits" not in data.names()
