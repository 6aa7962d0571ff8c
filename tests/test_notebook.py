"""Notebooks: their execution, their refresh and their names."""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from pages import files, printed, write

from gclib import notebook
from gclib.errors import NotebookError, UserError
from gclib.notebook import execution

ROOT = Path(__file__).resolve().parent.parent


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


def test_what_a_page_says_must_hold_with_its_defaults_and_is_told_with_others(tmp_path):
    checks = "from gclib.notebook import check_parameters\ncheck_parameters()"
    path = write(tmp_path / "page.ipynb", checks, "assert count < 3, 'not: few'\nprint(count)")
    output = tmp_path / "out.ipynb"
    notebook.execute(path, output, {"count": 4})
    written_for, rest = printed(output).split("\n", 1)
    assert written_for.startswith("The text of this page was written for count = ")
    assert rest == "With these parameters no longer: few\n4\n"
    assert notebook.not_held(output) == ["With these parameters no longer: few"]
    path.write_text(path.read_text().replace("count < 3", "count < 2"))
    output.unlink()
    with pytest.raises(
        NotebookError, match="own parameters do not bear out:\nWith these parameters no longer: few"
    ):
        notebook.execute(path, output)
    assert not output.exists()


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


@pytest.mark.parametrize("last", ["ImportError: libzmq.so.5", ""])
def test_a_kernel_that_dies_at_its_start_is_told_in_one_line(tmp_path, monkeypatch, capfd, last):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{last}' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    path = write(tmp_path / "page.ipynb")
    words = rf"; its last words: {last}" if last else ""
    with pytest.raises(
        NotebookError, match=rf"^page.ipynb: no kernel started in {python}: .* died .*{words}$"
    ):
        notebook.execute(path, tmp_path / "out.ipynb")
    assert capfd.readouterr() == ("", "")
    assert files(tmp_path) == ["page.ipynb", "python"]


@pytest.mark.skipif(os.name != "posix", reason="sockets with names are known to POSIX alone")
@pytest.mark.parametrize(("folder", "transport"), [("short", "ipc"), ("long" * 30, "tcp")])
def test_a_kernel_talks_over_no_port_that_another_may_take(tmp_path, monkeypatch, folder, transport):
    with tempfile.TemporaryDirectory() as short:
        temporary = Path(short, folder)
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        code = "import ipykernel, json; print(json.loads(ipykernel.get_connection_info())['transport'])"
        notebook.execute(write(tmp_path / "page.ipynb", code), tmp_path / "out.ipynb")
        assert list(temporary.iterdir()) == []
    assert printed(tmp_path / "out.ipynb") == f"{transport}\n"


def test_an_output_that_cannot_be_written_is_refused_before_a_kernel_starts(tmp_path, kernel_mark):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "out.ipynb", tmp_path):
        with pytest.raises(UserError, match="cannot write"):
            notebook.execute(write(tmp_path / "page.ipynb"), output)
    assert not kernel_mark.exists()


# Refresh and names


def test_the_notebook_itself_and_what_is_no_notebook_are_no_output(tmp_path, kernel_mark):
    path = write(tmp_path / "page.ipynb", "print(1)")
    (tmp_path / "link.ipynb").symlink_to(path)
    before = path.read_bytes()
    for name, said in (
        ("page.ipynb", "is the notebook itself"),
        ("link.ipynb", "itself"),
        ("x.txt", ".ipynb"),
    ):
        with pytest.raises(UserError, match=said):
            notebook.execute(path, tmp_path / name)
    assert path.read_bytes() == before
    assert not kernel_mark.exists()


def test_an_executed_copy_runs_with_its_defaults_again(tmp_path):
    path, once, twice = (tmp_path / f"{name}.ipynb" for name in ("page", "once", "twice"))
    notebook.execute(write(path, "print(count)"), once, {"count": "3"})
    assert printed(once) == "3\n"
    notebook.execute(once, twice)
    assert printed(twice) == "2\n"


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


def test_the_numbers_of_a_list_stand_on_one_line(tmp_path):
    content = {"x": [1, -2.5e-07, None, 3], "y": ["1", 2, True], "n": 5}
    output = nbformat.v4.new_output("display_data", {"application/json": content})
    cell = nbformat.v4.new_code_cell("x = [\n1,\n2,\n]", id="cell-0", outputs=[output])
    document = nbformat.v4.new_notebook(cells=[cell])
    execution._write(document, tmp_path / "page.ipynb")
    assert nbformat.read(tmp_path / "page.ipynb", as_version=4) == document
    lines = (tmp_path / "page.ipynb").read_text().splitlines()
    assert not [line for line in lines if re.match(r"\s+(-?\d|null)", line)]
