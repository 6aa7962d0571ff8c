"""The index of equations and the page of symbols: complete, and each name in them exists."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module

import nbformat
import pytest
from toc import NOTEBOOKS, ROOT

INDEX = (ROOT / "book" / "equations.md").read_text(encoding="utf-8")
SYMBOLS = (ROOT / "book" / "symbols.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## \[.*\]\(\.\./(notebooks/.*)\.ipynb\)$", INDEX, flags=re.MULTILINE)[1:]
ENTRIES = [  # chapter, number, text of the entry
    (chapter, number, text)
    for chapter, section in zip(SECTIONS[::2], SECTIONS[1::2], strict=True)
    for number, text in re.findall(
        r"^Eq\. \{eq\}`eq-(\w+)`(.*?)(?=^Eq\.|\Z)", section, re.MULTILINE | re.DOTALL
    )
]
DISPLAY = re.compile(r"^```\{math\}\n(?::[^\n]*\n)*(.*?)^```|\$\$(.*?)\$\$", re.MULTILINE | re.DOTALL)


def named(name: str) -> object:
    """Return the thing that a dotted name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def prose(name: str) -> str:
    cells = nbformat.read(ROOT / f"{name}.ipynb", as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


# The index


def test_the_index_has_the_equations_of_the_paper_in_their_order() -> None:
    assert [number for _, number, _ in ENTRIES] == [str(number) for number in range(1, 15)]
    assert [chapter for chapter, *_ in ENTRIES] == sorted(
        (chapter for chapter, *_ in ENTRIES), key=NOTEBOOKS.index
    )


@pytest.mark.parametrize(("chapter", "number", "text"), ENTRIES, ids=[f"eq-{n}" for _, n, _ in ENTRIES])
def test_an_entry_names_what_exists(chapter: str, number: str, text: str) -> None:
    assert re.search(rf"^:label: eq-{number}$|\$\$ \(eq-{number}\)$", prose(chapter), re.MULTILINE)
    functions = re.findall(r"\{py:\w+\}`([\w.]+)`", text)
    assert functions
    assert functions == re.findall(r"\{source\}`([\w.]+)`", text)
    assert all(callable(named(name)) for name in functions)
    tests = re.findall(r"\{test\}`(\w+\.py)::(\w+)`", text)
    assert tests
    for file, test in tests:
        assert test.startswith("test_"), test
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert test in [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    (variant,) = re.findall(r"^: The released code: (.*)$", text, re.MULTILINE)
    assert variant.endswith(".")


def test_all_numbered_equations_of_the_chapters_are_in_the_index_or_our_own() -> None:
    text = "".join(map(prose, NOTEBOOKS))
    labels = re.findall(r"^:label: eq-(\w+)$|\$\$ \(eq-(\w+)\)$", text, re.MULTILINE)
    numbers = [first or second for first, second in labels]
    assert len(set(numbers)) == len(numbers)
    assert {number for number in numbers if number.isdigit()} == {number for _, number, _ in ENTRIES}


# The symbols


def letters(formula: str) -> Iterator[str]:
    """Letters of a formula: a, \\alpha, \\tilde z; not words, functions, environments or what only shapes it."""
    formula = re.sub(r"\\(?:text|operatorname|mathrm|begin|end|tag)\*?\{[^}]*\}", " ", formula)
    formula = re.sub(r"\\\\(?:\[[^\]]*\])?", " ", formula)  # a new line, and its height
    for accent, body in re.findall(r"\\(tilde|bar|hat)\s*\{?(\\[a-zA-Z]+|[a-zA-Z])", formula):
        yield rf"\{accent} {body}"
    formula = re.sub(r"\\(?:tilde|bar|hat)\s*\{?(?:\\[a-zA-Z]+|[a-zA-Z])", " ", formula)
    for kind, letter in re.findall(r"\\(mathbb|mathcal)\s*\{?(\w)", formula):
        yield rf"\{kind} {letter}"
    formula = re.sub(r"\\math(?:bb|cal)\s*\{?\w", " ", formula)
    for word in re.findall(r"\\([a-zA-Z]+)", formula):
        if word.lower() in GREEK:
            yield f"\\{word}"
    yield from re.findall(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", " ", formula))


GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega"
).split()
ROWS = re.findall(r"^\| (\$.*?) \|(.*)$", SYMBOLS, re.MULTILINE)


def test_letters_of_a_formula() -> None:
    found = letters(
        r"\tilde z_j = \frac{w_j^\top f}{\lVert w_j\rVert} + \delta_{\max}\,\text{if}\,\log n\\[4pt] \mathbb E"
    )
    assert list(found) == [r"\tilde z", r"\mathbb E", r"\delta", "j", "w", "j", "f", "w", "j", "n"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_letter_of_a_display_equation_is_among_the_symbols(name: str) -> None:
    known = {letter for first, _ in ROWS for letter in letters(first)}
    used = {letter for pair in DISPLAY.findall(prose(name)) for letter in letters("".join(pair))}
    assert used <= known


def test_parameters_that_the_symbols_name_exist() -> None:
    named_there = re.findall(r"`(\w+)` of \{py:(\w+)\}`~?([\w.]+)`", SYMBOLS)
    assert len(named_there) > 10
    for parameter, _, name in named_there:
        assert parameter in inspect.signature(named(name)).parameters, f"{name} takes no {parameter}"


def test_each_row_of_the_symbols_is_whole() -> None:
    assert len(ROWS) > 30
    for symbol, rest in ROWS:
        assert [bool(cell.strip()) for cell in rest.rstrip("|").split("|")] == [True] * 4, symbol
