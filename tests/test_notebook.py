"""Notebooks: the grammar of their parameters, their execution, refresh, and the book made from them."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from gclib import notebook
from gclib.errors import UserError
from gclib.notebook import NotebookError, Parameter, book, execution, installation

ROOT = Path(__file__).resolve().parent.parent

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
BY_NAME = {"count": 2, "share": 0.5, "word": "digits", "kind": "a", "loud": False, "seeds": [0, 1]}
BY_NAME |= {"limit": None, "sizes": (0.5, 2.0)}


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


# The grammar


def test_parameters_hold_name_type_default_range_and_sentence(tmp_path):
    found = notebook.parameters(write(tmp_path / "page.ipynb"))
    assert {p.name: p.default for p in found} == BY_NAME
    assert found[0] == Parameter("count", "int", 2, "how many lines are printed", "[1, 5]")
    assert found[3].expected == "str in {a, b}"
    assert found[6].type == "int | None"


def test_literal_is_the_same_as_choices(tmp_path):
    source = """\
from typing import Literal

kind: Literal["a", "b"] = "b"  # sort of line
n: Literal[1, 2] = 1  # how many
"""
    found = notebook.parameters(write(tmp_path / "page.ipynb", parameters=source))
    assert found == [
        Parameter("kind", "str", "b", "sort of line", "{a, b}"),
        Parameter("n", "int", 1, "how many", "{1, 2}"),
    ]


def test_a_notebook_without_a_parameter_cell_has_none(tmp_path):
    assert notebook.parameters(write(tmp_path / "page.ipynb", "1 + 1", parameters=None)) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("count = 2  # how many; in [1, 5]", "not a parameter"),
        ("print(1)", "not a parameter"),
        ("count: int  # how many; in [1, 5]", "not a parameter"),
        ("count: int = 2", "no comment"),
        ("count: int = 2  # ; in [1, 5]", "no comment"),
        ("count: int = 2  # how many", "without a range"),
        ("count: int = 2  # how many, >= 1", "without a range"),
        ("count: int = 2  # how many; >= 1", "'>= 1' is no range"),
        ("count: int = 2  # how many; in [5, 1]", "is no range"),
        ("count: int = 2  # how many; in [1, many]", "is no range"),
        ("count: int = 9  # how many; in [1, 5]", "default 9"),
        ("count: int = 1.0  # how many; in [1, 5]", "default 1.0"),
        ("count: int = True  # how many; in [1, 5]", "default True"),
        ("count: int = '2'  # how many; in [1, 5]", "default '2'"),
        ("share: float = None  # part; in [0, 1]", "default None"),
        ("loud: bool = 1  # whether", "default 1"),
        ("kind: str = 'c'  # sort; in {a, b}", "default 'c'"),
        ("seeds: list[int] = (0,)  # seeds; in [0, 9]", "default (0,)"),
        ("seeds: list[int] = [0, -1]  # seeds; in [0, 9]", "default [0, -1]"),
        ("seeds: list = [0]  # seeds; in [0, 9]", "type 'list'"),
        ("table: dict[str, int] = {}  # table", "type 'dict[str, int]'"),
        ("either: int | str = 1  # either; in [0, 9]", "type 'int | str'"),
        ("count: int = 1 + one  # how many; in [1, 5]", "expected a plain value"),
        ("seeds: list[int] = [\n    0]  # seeds; in [0, 9]", "more than one line"),
        ("word: str = 'a'  # word\nword: str = 'b'  # word", "a second parameter"),
        ("count: int = (  # how many", "never closed"),
        ("%matplotlib inline", "invalid syntax"),
    ],
)
def test_a_line_that_breaks_the_grammar_is_named(tmp_path, line, complaint):
    path = write(tmp_path / "page.ipynb", parameters="first: str = 'a'  # word\n\n" + line)
    with pytest.raises(UserError) as caught:
        notebook.parameters(path)
    number = 4 if "a second" in complaint else 3
    assert f"page.ipynb, parameters cell, line {number}: " in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"cells": 3, "nbformat": 4}', "\x00"])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "page.ipynb"
    path.write_text(content)
    with pytest.raises(UserError, match="not a notebook"):
        notebook.parameters(path)


# Values


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("count", "3", 3),
        ("count", 3, 3),
        ("share", "1", 1.0),
        ("share", "1e-3", 0.001),
        ("share", 1, 1.0),
        ("word", "3", "3"),
        ("kind", "b", "b"),
        ("loud", "True", True),
        ("loud", "false", False),
        ("seeds", "0,1,2", [0, 1, 2]),
        ("seeds", "[3, 4]", [3, 4]),
        ("seeds", "7", [7]),
        ("limit", "none", None),
        ("limit", "9", 9),
        ("sizes", "0.5, 1", (0.5, 1.0)),
    ],
)
def test_text_becomes_a_value_of_the_type(tmp_path, name, given, value):
    result = notebook.check(notebook.parameters(write(tmp_path / "page.ipynb")), {name: given})
    assert result == {name: value}
    assert type(result[name]) is type(value)


REFUSED = [
    ("count", "six"),
    ("count", "2.0"),
    ("count", 2.0),
    ("count", True),
    ("count", "0"),
    ("count", "6"),
    ("count", "none"),
    ("share", "0"),
    ("share", "1.01"),
    ("share", "nan"),
    ("share", "inf"),
    ("kind", "c"),
    ("loud", "1"),
    ("loud", "maybe"),
    ("seeds", "0,x"),
    ("seeds", "0,-1"),
    ("seeds", 3),
    ("limit", "10"),
    ("word", 3),
    ("sizes", "inf"),
]


@pytest.mark.parametrize(("name", "given"), REFUSED)
def test_a_value_of_another_type_or_out_of_range_is_refused(tmp_path, name, given):
    allowed = notebook.parameters(write(tmp_path / "page.ipynb"))
    with pytest.raises(UserError, match=f"parameter '{name}': expected .*, got") as caught:
        notebook.check(allowed, {name: given})
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"unknown parameter 'cuont'.*did you mean 'count'"):
        notebook.check(notebook.parameters(write(tmp_path / "page.ipynb")), {"cuont": "3"})


# Execution


@pytest.fixture
def kernel_mark(tmp_path, monkeypatch):
    """A Python that leaves a file behind whenever it is started."""
    mark = tmp_path / "started"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{mark}"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return mark


def test_refused_values_start_no_kernel_and_good_ones_do(tmp_path, kernel_mark):
    path, output = write(tmp_path / "page.ipynb", "print(count)"), tmp_path / "made" / "out.ipynb"
    for given in ({"cuont": "3"}, {"count": "six"}, {"count": "6"}):
        with pytest.raises(UserError):
            notebook.execute(path, output, given)
    assert not kernel_mark.exists()
    assert not output.parent.exists()
    notebook.execute(path, output, {"count": "3"})
    assert kernel_mark.exists()
    assert printed(output) == "3\n"


def test_execution_from_another_folder_in_this_python_on_one_thread(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["false"], "display_name": "other", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    for unset in ("GCLIB_PROGRESS", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(unset, raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    names = [
        "OMP_NUM_THREADS",
        "GCLIB_PROGRESS",
        "TQDM_DISABLE",
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_MMAP_THRESHOLD_",
    ]
    show = f"import os, sys\nprint([sys.executable, os.getcwd(), *(os.environ[n] for n in {names})])"
    path = write(tmp_path / "page.ipynb", show)
    assert notebook.execute("../page.ipynb", "out.ipynb") > 0
    seen = ast.literal_eval(printed(elsewhere / "out.ipynb"))
    assert seen == [sys.executable, str(elsewhere), "1", "0", "1", "1", "4000000000"]
    assert files(elsewhere) == ["out.ipynb"]
    assert nbformat.read(path, as_version=4).cells[1].outputs == []


def test_two_executions_are_byte_identical(tmp_path):
    show = "import sys\nprint(count)\nprint('x', file=sys.stderr)\nprint(2)\n{'a': 1}"
    path = write(tmp_path / "page.ipynb", show)
    for name in ("one.ipynb", "two.ipynb"):
        notebook.execute(path, tmp_path / name, {"count": 3})
    one, two = (tmp_path / name for name in ("one.ipynb", "two.ipynb"))
    assert one.read_bytes() == two.read_bytes()
    assert "papermill" not in one.read_text()
    executed = nbformat.read(one, as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3]
    assert [cell.id for cell in executed.cells] == ["parameters", "injected-parameters", "cell-0"]
    assert printed(one) == "3\n2\nx\n"


def test_strip_removes_what_varies_and_keeps_what_is_shown():
    cell = nbformat.v4.new_code_cell("x", execution_count=3)
    cell.metadata = nbformat.from_dict(
        {
            "tags": [],
            "papermill": {"duration": 1},
            "execution": {"iopub.execute_input": "now"},
            "collapsed": True,
        }
    )
    data = {"text/plain": "Output()", "application/vnd.jupyter.widget-view+json": {"model_id": "5f"}}
    cell.outputs = [nbformat.v4.new_output("display_data", data)]
    document = nbformat.v4.new_notebook(cells=[cell])
    document.metadata = nbformat.from_dict(
        {
            "papermill": {"duration": 1},
            "widgets": {"state": {}},
            "language_info": {"name": "python", "version": "3.11.2"},
            "kernelspec": {"name": "mine"},
        }
    )
    stripped = notebook.strip(document)
    assert stripped.metadata == {"language_info": {"name": "python"}, "kernelspec": execution.KERNEL}
    assert stripped.cells[0].metadata == {}
    assert stripped.cells[0].execution_count == 3
    assert stripped.cells[0].outputs[0].data == {"text/plain": "Output()"}
    nbformat.validate(stripped)


def test_plain_papermill_executes_the_same_notebook_to_the_same_outputs(tmp_path):
    path = write(tmp_path / "page.ipynb", "print(count, kind, share)")
    command = [sys.executable, "-m", "papermill", "page.ipynb", "plain.ipynb", "-k", "python3"]
    values = ["-p", "count", "3", "-p", "kind", "b"]
    done = subprocess.run([*command, *values], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "nknown parameter" not in done.stderr
    assert "Unable to parse" not in done.stderr
    notebook.execute(path, tmp_path / "ours.ipynb", {"count": "3", "kind": "b"})
    plain = notebook.strip(nbformat.read(tmp_path / "plain.ipynb", as_version=4))
    assert plain == nbformat.read(tmp_path / "ours.ipynb", as_version=4)
    assert printed(tmp_path / "ours.ipynb") == "3 b 0.5\n"


def test_a_failing_cell_shows_itself_and_leaves_nothing(tmp_path):
    path = write(tmp_path / "page.ipynb", "print(1)", "numbers = [1]\nnumbers[count]")
    with pytest.raises(NotebookError) as caught:
        notebook.execute(path, tmp_path / "out.ipynb")
    message = str(caught.value)
    assert message.startswith("page.ipynb, cell [3] failed: IndexError: list index out of range\n")
    assert "    numbers[count]" in message
    assert "\x1b" not in message
    assert files(tmp_path) == ["page.ipynb"]


def test_a_mistake_of_the_user_found_in_the_notebook_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = write(
        tmp_path / "page.ipynb",
        "from gclib.errors import UserError\nraise UserError('ratio 0: expected >= 1')",
    )
    with pytest.raises(UserError, match=r"^page.ipynb: ratio 0: expected >= 1$"):
        notebook.execute(path, tmp_path / "out.ipynb")
    assert files(tmp_path) == ["page.ipynb"]


def test_all_errors_of_the_user_are_known_by_name():
    sources = "".join(path.read_text() for path in (ROOT / "gclib").rglob("*.py"))
    derived = re.findall(r"^class (\w+)\((?:UserError|RecordError)\b", sources, re.MULTILINE)
    assert sorted(["UserError", *derived]) == sorted(execution.USER_ERRORS)


def test_a_kernel_that_dies_is_told_in_one_line(tmp_path):
    path = write(tmp_path / "page.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookError, match=r"^page.ipynb: the kernel died.*$"):
        notebook.execute(path, tmp_path / "out.ipynb")
    assert files(tmp_path) == ["page.ipynb"]


def test_an_output_that_cannot_be_written_is_refused_before_a_kernel_starts(tmp_path, kernel_mark):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make"):
        notebook.execute(write(tmp_path / "page.ipynb"), tmp_path / "file" / "out.ipynb")
    assert not kernel_mark.exists()


# Refresh and names


def test_refresh_replaces_what_ran_and_leaves_what_failed(tmp_path):
    good = write(tmp_path / "good.ipynb", "print(count)")
    bad = write(tmp_path / "bad.ipynb", "print(count)\n1 / 0")
    before = bad.read_bytes()
    assert [path for path, _ in notebook.refresh([good])] == [good]
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        list(notebook.refresh([bad]))
    assert printed(good) == "2\n"
    assert bad.read_bytes() == before
    assert files(tmp_path) == ["bad.ipynb", "good.ipynb"]


def test_notebooks_are_found_by_name_or_path(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path)
    path = write(tmp_path / "training.ipynb")
    write(tmp_path / "cben.ipynb")
    assert notebook.names() == ["cben", "training"]
    assert notebook.find("training") == path
    assert notebook.find(str(path)) == path
    with pytest.raises(
        UserError, match=r"unknown notebook 'trainig'.*cben, training.*did you mean 'training'"
    ):
        notebook.find("trainig")


# The cell that installs gclib where it is missing


@pytest.fixture
def set_address(tmp_path, monkeypatch):
    """Set the public address of a checkout that is not this one; its branch is `trunk`."""
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the kernels
    monkeypatch.chdir(tmp_path)

    def set_(url: str) -> None:
        (tmp_path / "_config.yml").write_text(f'repository: {{url: "{url}", branch: trunk}}\n')

    return set_


@pytest.fixture
def clonable(tmp_path):
    """Address of a repository with one file on its branch `trunk`."""
    folder = tmp_path / "repository"
    git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "init", "-q", "-b", "trunk", folder], check=True)
    (folder / "file").write_text("")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m"], check=True)
    return folder.as_uri()


def test_refresh_puts_the_installation_in_with_an_address_and_takes_it_out_without(set_address, tmp_path):
    path = write(tmp_path / "page.ipynb", "print(count)", parameters=CELL.strip())
    allowed = notebook.parameters(path)
    list(notebook.refresh([path]))  # no _config.yml at all
    without = path.read_bytes()
    for url in ("https://github.com/someone/old", "https://github.com/someone/new"):
        set_address(url)
        list(notebook.refresh([path]))
    cell, *others = nbformat.read(path, as_version=4).cells
    assert [other.id for other in others] == ["parameters", "cell-0"]
    assert (cell.id, cell.metadata) == ("installation", {"tags": ["remove-cell"]})
    assert "someone/new" in cell.source
    assert (cell.execution_count, cell.outputs) == (1, [])
    assert notebook.parameters(path) == allowed
    assert files(tmp_path) == ["_config.yml", "page.ipynb"]  # nothing was cloned
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        subprocess.run([*ruff, *command, "--config", ROOT / "pyproject.toml", path], check=True)
    set_address("")
    list(notebook.refresh([path]))
    assert path.read_bytes() == without


def test_a_notebook_with_the_installation_runs_as_any_other(set_address, tmp_path):
    set_address("https://github.com/someone/companion")
    path = write(tmp_path / "page.ipynb", "print(count)")
    list(notebook.refresh([path]))
    notebook.execute(path, tmp_path / "ours.ipynb", {"count": "3"})
    assert printed(tmp_path / "ours.ipynb") == "3\n"
    command = [sys.executable, "-m", "papermill", "page.ipynb", "plain.ipynb", "-k", "python3", "-p", "count"]
    subprocess.run([*command, "4"], check=True, capture_output=True)
    assert printed(tmp_path / "plain.ipynb") == "4\n"


def test_the_installation_clones_and_installs_only_where_gclib_is_missing(
    set_address, clonable, tmp_path, monkeypatch
):
    set_address(clonable)
    document = nbformat.read(write(tmp_path / "page.ipynb"), as_version=4)
    source = installation.update(document).cells[0].source
    run, commands = subprocess.run, []

    def record(command: list, check: bool) -> None:
        assert check
        commands.append(command)
        if command[0] == "git":
            run(command, check=True, capture_output=True)

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(source, {})
    assert commands == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(source, {})
    checkout = tmp_path / "gcl-companion"
    install = [sys.executable, "-m", "pip", "install", "-q", "-e", f"{checkout}[book]"]
    clone = ["git", "clone", "--depth=1", "--branch=trunk", clonable, checkout]
    assert commands == [clone, install]
    assert (checkout / "file").is_file()
    assert sys.path[-1] == str(checkout)
    exec(source, {})  # again, as after an installation that failed
    assert commands == [clone, install, install]


@pytest.mark.parametrize("name", notebook.names())
def test_committed_notebooks_have_the_installation_that_the_address_asks_for(name):
    path = notebook.find(name)
    committed, expected = (nbformat.read(path, as_version=4) for _ in range(2))
    sources = [cell.source for cell in installation.update(expected).cells]
    assert [cell.source for cell in committed.cells] == sources, "run `make refresh`"


# The book


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
    end = time.monotonic() + 60
    while not ((tmp_path / "one").exists() and (tmp_path / "two").exists()):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    assert running.communicate(timeout=30)[0] == b"interrupted\n"
    assert not (tmp_path / "three").exists()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"no _toc\.yml"):
        notebook.build(tmp_path / "build")


def test_the_numbers_of_a_list_stand_on_one_line(tmp_path):
    content = {"x": [1, -2.5e-07, None, 3], "y": ["1", 2, True], "n": 5}
    output = nbformat.v4.new_output("display_data", {"application/json": content})
    cell = nbformat.v4.new_code_cell("x = [\n1,\n2,\n]", id="cell-0", outputs=[output])
    document = nbformat.v4.new_notebook(cells=[cell])
    execution._write(document, tmp_path / "page.ipynb")
    assert nbformat.read(tmp_path / "page.ipynb", as_version=4) == document
    lines = (tmp_path / "page.ipynb").read_text().splitlines()
    assert not [line for line in lines if re.match(r"\s+(-?\d|null)", line)]
