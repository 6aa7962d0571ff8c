"""The parameters of a notebook: their grammar, and the values that they take."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
from pages import CELL, write

from gclib import notebook
from gclib.errors import UserError
from gclib.notebook import Parameter

ROOT = Path(__file__).resolve().parent.parent

BY_NAME = {"count": 2, "share": 0.5, "word": "digits", "kind": "a", "loud": False, "seeds": [0, 1]}
BY_NAME |= {"limit": None, "sizes": (0.5, 2.0)}


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
        ("loud: Literal[True] = False  # whether", "default False"),
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


# In the page itself


@pytest.fixture
def kernel():
    """Run cells one after another as a kernel does; what one raises is raised here."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()

    def run(*cells: str) -> dict[str, object]:
        for cell in cells:
            shell.run_cell(cell, store_history=True, silent=False).raise_error()
        return shell.user_ns

    yield run
    InteractiveShell.clear_instance()


CHECK = "from gclib.notebook import check_parameters\n\ncheck_parameters()"


@pytest.mark.parametrize(("name", "given"), [*REFUSED, ("word", False), ("count", None), ("loud", 1)])
def test_the_page_refuses_what_gcl_run_refuses_in_the_same_words(tmp_path, kernel, capfd, name, given):
    allowed = notebook.parameters(write(tmp_path / "page.ipynb"))
    with pytest.raises(UserError) as before:
        notebook.check(allowed, {name: given})
    with pytest.raises(UserError) as within:
        kernel(CELL, f"# Parameters\n{name} = {given!r}\n", CHECK)
    assert str(within.value) == str(before.value)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().out).strip()
    assert shown == f"UserError: {within.value}", "one line, no traceback"


def test_the_page_gives_each_value_its_type(kernel):
    given = {"count": "3", "share": 1, "loud": "true", "seeds": (0, 5), "limit": "none", "sizes": [1, 2.5]}
    cell = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    found = kernel(CELL, cell, CHECK)
    expected = {"count": 3, "share": 1.0, "word": "digits", "kind": "a", "loud": True}
    expected |= {"seeds": [0, 5], "limit": None, "sizes": (1.0, 2.5)}
    assert {name: found[name] for name in expected} == expected
    assert all(type(found[name]) is type(value) for name, value in expected.items())


def test_the_page_refuses_an_unknown_name_and_a_default_that_was_edited(kernel):
    with pytest.raises(UserError, match=r"^unknown parameter 'cuont'.*did you mean 'count'\?$"):
        kernel(CELL, "# Parameters\ncuont = 3\n", CHECK)
    with pytest.raises(UserError, match=r"^parameters cell, line 1: default 9 of 'count': expected int in"):
        kernel(CELL.replace("count: int = 2", "count: int = 9"), CHECK)
    assert kernel(CELL.replace("count: int = 2", "count: int = 5"), CHECK)["count"] == 5, (
        "the newest cell counts"
    )


def test_names_in_a_frame_of_pandas_are_text_to_jupyterlab_and_the_book(kernel):
    from IPython import get_ipython

    kernel(CELL, CHECK)
    formatted = get_ipython().display_formatter.format
    for frame in (
        pd.DataFrame({"accuracy": [1.0, 2.0]}, index=["a$b$c", "<b>"]),
        pd.DataFrame({r"\(x\)": [1.0]}),
    ):
        shown = formatted(frame)[0]["text/html"]
        assert re.match('<div class="[^"]*mathjax_ignore[^"]*">', shown)
        assert "a$b$c" in shown or r"\(x\)" in shown
        assert "<b>" not in shown
    plain = pd.DataFrame({"accuracy": [1.0]})
    assert formatted(plain)[0]["text/html"] == plain._repr_html_(), "no class where none is needed"


def test_outside_of_a_kernel_that_ran_parameters_there_is_nothing_to_check(kernel):
    with pytest.raises(UserError, match="no cell with parameters was run"):
        kernel("count = 2", CHECK)


def test_with_parameters_an_assertion_that_fails_is_told_and_ends_nothing(kernel, capfd):
    kernel(CELL, CHECK)
    cell = (
        "def never():\n    assert False, 'told'\nassert count == 2, 'not: two'\nassert count > 2\nafter = 1"
    )
    assert kernel(cell)["after"] == 1
    kernel("assert 1 > 2, 'not: larger,\\nby far'\nassert not count, {'a': count}\nnever()")
    assert capfd.readouterr().out.splitlines() == [
        "With these parameters no longer: count > 2",
        "With these parameters no longer: larger, by far",
        "With these parameters instead: {'a': 2}",
        "With these parameters instead: told",
    ]


def test_a_page_with_other_values_than_its_defaults_says_so(kernel, capfd):
    kernel(CELL, CHECK)
    kernel(CELL, "# Parameters\ncount = 2\n", CHECK)
    assert capfd.readouterr().out == ""
    kernel(CELL, "# Parameters\ncount = 3\n", CHECK)
    assert capfd.readouterr().out.startswith(
        "The text of this page was written for count = 2; here count = 3. "
    )


def test_a_kernel_without_history_runs_what_is_committed(kernel):
    from IPython import get_ipython

    kernel()
    for cell in ("count: int = 2", CHECK):
        get_ipython().run_cell(cell, store_history=False).raise_error()


@pytest.mark.parametrize("name", notebook.names())
def test_every_page_checks_its_parameters_first_and_papermill_reads_all_of_them(name):
    path = notebook.find(name)
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    place = next(k for k, cell in enumerate(code) if "parameters" in cell.metadata.get("tags", []))
    assert code[place + 1].source == CHECK
    read = papermill.inspect_notebook(str(path))
    assert list(read) == [p.name for p in notebook.parameters(path)]


def test_keep_no_in_a_parameter_file_of_plain_papermill_is_refused_in_one_line(tmp_path):
    (tmp_path / "values.yaml").write_text("keep: no\n")
    command = [sys.executable, "-m", "papermill", notebook.find("training"), "out.ipynb", "-k", "python3"]
    done = subprocess.run([*command, "-f", "values.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "UserError: parameter 'keep': expected str in {no, new, replace, repeat}, got False"
