"""The pages "Add your loss" and "Your images": their steps with other parameters, and their exercises."""

import re
from pathlib import Path

import nbformat
import pytest

from gclib import data, notebook, recipes

ROOT = Path(__file__).parents[1]


# What costs most and is the same for all parameters: the pages have it where they are executed as they stand.
STAND_INS = f"""
def stand_in():
    import sys

    sys.path.append({str(ROOT / "tests")!r})
    from gclib.train import making, runner, runs
    from training import no_fingerprint, small_network

    def make(name, *others, usual=making.make_network):
        return (small_network if name == "resnet32" else usual)(name, *others)

    runs.fingerprint, making.make_network, runner.make_network = no_fingerprint, make, make
    sys.path.pop()

stand_in()
"""


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
        checked = next(k for k, cell in enumerate(page.cells) if "check_parameters()" in cell.source)
        page.cells.insert(checked + 1, nbformat.v4.new_code_cell(STAND_INS, id="stand-ins"))
        path, output = tmp_path / "page.ipynb", tmp_path / "executed.ipynb"
        nbformat.write(page, path)
        before = checkout()
        notebook.execute(path, output, parameters)
        assert notebook.not_held(output) == []
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
    (ce, *_) = rows(text, "Cross-entropy")
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


def test_photos_go_from_the_folder_to_a_decision_and_data_get_a_name(run) -> None:
    text = run(
        "add-your-data",
        largest=12,
        ratio=4.0,
        tested=3,
        size=66,
        recipe="gcl-official-cben",
        epochs=1,
        seed=3,
    )
    counts = data.class_counts(12, 3, 4).tolist()
    assert f"folder:photos@66: 3 classes, {sum(counts)} training and 9 test images, brought to 66x66" in text
    assert f"training images of a class: {counts[0]} (building) to {counts[-1]} (portrait)" in text
    assert f"images through the network: {sum(counts) + 9}, tests included" in text
    for name in ("ce", "logit-adjustment", "gcl-official-cben"):
        ((_, *accuracies),) = rows(text, recipes.label(name))
        assert len(accuracies) == 4
    verdict = r"^GCL, released code, CBEN over Cross-entropy, rare.*:\n  ([+-]\d+\.\d) points, (\d+) would show: (.*)$"
    gap, shows, said = re.search(verdict, text, re.MULTILINE).groups()
    assert said == ("more than chance" if abs(float(gap)) > float(shows) else "undecided")
    assert "again: gcl run training -p data folder:photos@66 -p ratio 0 -p recipe ce -p seed 3" in text
    shares = re.findall(r"^(?:building|flower|portrait): ([01]\.\d\d)$", text, re.MULTILINE)
    assert len(shares) == 3
    assert abs(sum(map(float, shares)) - 1) < 0.02
    refusals = re.findall(r"^- (.*)$", text, re.MULTILINE)
    expected = (
        *("files are not images: train/building/notes.txt;", "000.png (not a readable image", "star holds 0"),
        *("one folder of images", f"at most {counts[-1]}", "unknown data set"),
    )
    assert len(refusals) == 6
    assert all(part in refusal for part, refusal in zip(expected, refusals, strict=True))
    assert "accepted: folder:photos@66" in text
    assert f"training images: {data.class_counts(1000, 4, 10).tolist()}" in text
    assert f"in memory: (48, 48, 3) building {[counts[-1]] * 3}" in text
    assert "the same data: False\nthe same data: True" in text
    assert re.search(r"^test images: \d+$", text, re.MULTILINE)
    assert "turned-digits" not in data.names()
