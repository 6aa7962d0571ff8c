"""The parameters of a notebook: their grammar, and the values that they take."""

from pathlib import Path

import pytest
from pages import write

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
