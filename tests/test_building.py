"""A book made from notebooks: executed in a copy, built strictly, and stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from pages import write
from processes import until

from gclib import notebook
from gclib.errors import NotebookError, UserError
from gclib.notebook import book, status

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tiny_book(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    (root / "book").mkdir()
    (root / "_config.yml").write_text('title: Tiny\nexecute: {execute_notebooks: "off"}\n')
    chapters = "- file: notebooks/one\n  sections:\n  - file: notebooks/two\n"
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/welcome\nchapters:\n{chapters}")
    (root / "book" / "welcome.md").write_text("# Welcome\n")
    for name in ("one", "two"):
        path = write(root / "notebooks" / f"{name}.ipynb", "print('fresh', 6 * 7)")
        document = nbformat.read(path, as_version=4)
        document.cells.insert(0, nbformat.v4.new_markdown_cell(f"# Page {name}", id="title"))
        nbformat.write(document, path)
    # Whoever imports torch here stops.
    (tmp_path / "without" / "torch").mkdir(parents=True)
    (tmp_path / "without" / "torch" / "__init__.py").write_text("raise ImportError('no torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    monkeypatch.setattr(book, "ROOT", root)
    return root


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_book_is_executed_in_a_copy_and_built_from_it(tiny_book, tmp_path):
    before, times = contents(tiny_book), {}
    index = notebook.build(tmp_path / "build", execute_first=True, report=times.__setitem__)
    assert contents(tiny_book) == before
    assert list(times) == ["one", "two"]
    assert min(times.values()) > 0
    for name in ("one", "two"):
        assert "fresh 42" in (index.parent / "notebooks" / f"{name}.html").read_text()
    assert "Welcome" in (index.parent / "book" / "welcome.html").read_text()
    assert index.is_file()


def test_a_book_is_not_built_among_its_sources(tiny_book):
    for name in ("book", "notebooks"):
        with pytest.raises(UserError, match="is a source of the book"):
            notebook.build(tiny_book / name / "build", execute_first=True)
        assert not list((tiny_book / name).glob("build/**/*.ipynb"))


def test_the_longest_page_starts_first_and_little_memory_holds_one_at_a_time(
    tiny_book, tmp_path, monkeypatch
):
    monkeypatch.setattr(book, "sphinx", lambda source, output, builder: output)  # what is built is seen above
    status.note(tiny_book / "notebooks" / "two.ipynb", status.Effort(9.0, 100))
    order = []
    notebook.build(tmp_path / "build", execute_first=True, report=lambda name, seconds: order.append(name))
    assert order == ["two", "one"]
    memory = tmp_path / "meminfo"
    for free, expected in ((2_900_000, 1), (3_100_000, 2)):
        memory.write_text(f"MemTotal:  9000000 kB\nMemAvailable:   {free} kB\n")
        assert book.side_by_side(memory) == expected
    assert book.side_by_side(tmp_path / "none") == 2


def test_a_warning_fails_the_build_every_time_it_is_made(tiny_book, tmp_path):
    (tiny_book / "book" / "welcome.md").write_text("# Welcome\n\n{ref}`nowhere`\n")
    for _ in range(2):
        with pytest.raises(NotebookError, match=r"did not build:(.|\n)*welcome\.md:3: WARNING: .*nowhere"):
            notebook.build(tmp_path / "build")


def test_all_failing_pages_are_told(tiny_book, tmp_path):
    for name in ("one", "two"):
        write(tiny_book / "notebooks" / f"{name}.ipynb", "1 / 0")
    with pytest.raises(NotebookError) as caught:
        notebook.build(tmp_path / "build", execute_first=True)
    for name in ("one", "two"):
        assert f"{name}.ipynb, cell [2] failed: ZeroDivisionError" in str(caught.value)
    assert not (tmp_path / "build" / "_build").exists()


def test_an_interrupt_stops_all_pages_of_the_book(tiny_book, tmp_path):
    names = ("one", "two", "three", "four")  # more than run at once
    chapters = "".join(f"- file: notebooks/{name}\n" for name in names)
    (tiny_book / "_toc.yml").write_text(f"format: jb-book\nroot: book/welcome\nchapters:\n{chapters}")
    for name in names:
        sleep = f"import time\nopen({str(tmp_path / name)!r}, 'w').close()\ntime.sleep(600)"
        write(tiny_book / "notebooks" / f"{name}.ipynb", sleep, parameters=None)
    code = f"""
from pathlib import Path
from gclib.notebook import book
if __name__ == "__main__":
    book.ROOT = Path({str(tiny_book)!r})
    try:
        book.build(Path({str(tmp_path / "build")!r}), execute_first=True)
    except KeyboardInterrupt:
        print("interrupted")
"""
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    until(lambda: (tmp_path / "one").exists() and (tmp_path / "two").exists())
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    assert running.communicate(timeout=30)[0] == b"interrupted\n"
    assert not (tmp_path / "three").exists()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"no _toc\.yml"):
        notebook.build(tmp_path / "build")
