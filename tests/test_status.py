"""The status page: what an execution took is noted, and the book accounts for every notebook and every open row."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from pages import write
from toc import NOTEBOOKS, ROOT

from gclib import __version__, recipes
from gclib.errors import UserError
from gclib.notebook import status
from gclib.notebook.execution import execute_in_place


def test_a_note_replaces_the_last_one_and_notes_of_notebooks_that_are_gone_go(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(tmp_path / f"{name}.ipynb")
        status.note(tmp_path / f"{name}.ipynb", status.Effort(1.26, 300))
    status.note(tmp_path / "first.ipynb", status.Effort(2.0, None))
    notes = status.noted(tmp_path)
    assert [(name, notes[name]["seconds"], notes[name]["megabytes"]) for name in notes] == [
        ("first", 2.0, None),
        ("second", 1.3, 300),
    ]
    assert len((tmp_path / status.STATUS).read_text().splitlines()) == 4, "a line for each page"
    (tmp_path / "second.ipynb").unlink()
    status.note(tmp_path / "first.ipynb", status.Effort(2.0, None))
    assert list(status.noted(tmp_path)) == ["first"]


def test_damaged_notes_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / status.STATUS).write_text("{")
    with pytest.raises(UserError, match="remove it, and `gcl refresh`") as refused:
        status.noted(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process took")
def test_an_execution_says_what_memory_its_kernel_took(tmp_path: Path) -> None:
    efforts = [
        execute_in_place(write(tmp_path / f"{size}.ipynb", f"taken = bytearray({size})"))
        for size in (1, 200_000_000)
    ]
    assert min(effort.seconds for effort in efforts) > 0
    small, large = (effort.megabytes for effort in efforts)
    assert 150 < large - small < 300


def test_every_notebook_has_a_note_and_a_row(book: Path) -> None:
    names = {Path(name).name for name in NOTEBOOKS}
    notes = status.noted(ROOT / "notebooks")
    assert set(notes) == names, "gcl refresh NAME notes an execution"
    page = (book / "book" / "status.html").read_text(encoding="utf-8")
    for name, note in notes.items():
        (row,) = re.findall(rf'<tr><td[^>]*><a href="\.\./notebooks/{name}\.html">.*?</tr>', page)
        assert f">{note['executed']}<" in row
        assert f">{note['seconds']}<" in row


def test_no_page_took_more_memory_than_its_text_says() -> None:
    notes = status.noted(ROOT / "notebooks")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, 4).cells[:4]
        text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        said = float(re.search(r"([\d.]+) GB", text)[1])
        assert notes[path.stem]["megabytes"] <= 1000 * said, path.stem


def test_the_front_page_names_the_paper_s_authors_the_version_and_the_date(book: Path) -> None:
    front = (book / "book" / "welcome.html").read_text(encoding="utf-8")
    dates = [note["executed"] for note in status.noted(ROOT / "notebooks").values()]
    assert f"Version {__version__}, last executed on {max(dates)}." in front
    assert all(name in front for name in ("Mengke Li", "Yang Lu"))


def test_every_entry_of_the_bibliography_leads_somewhere(book: Path) -> None:
    text = (book / "book" / "bibliography.html").read_text(encoding="utf-8")
    entries = re.findall(r'<div class="citation".*?</div>', text, re.DOTALL)
    assert len(entries) > 60
    assert [entry for entry in entries if 'href="https://' not in entry] == []


def test_rows_without_a_run_are_named(book: Path) -> None:
    page = (book / "book" / "status.html").read_text(encoding="utf-8")
    (row,) = re.findall(r"<tr><td[^>]*>CIFAR-10-LT, ratio 200</td>.*?</tr>", page)
    made = {
        json.loads(path.read_text())["recipe"]["name"]
        for path in ROOT.glob("results/paper/cifar10-ir200/*/*.json")
    }
    assert (recipes.label("bbn") in row) == ("bbn" not in made)
