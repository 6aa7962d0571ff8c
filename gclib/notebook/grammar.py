"""The typed parameters of a notebook.

A notebook states them in the code cell tagged ``parameters``, one to a line::

    ratio: float = 20.0  # imbalance ratio n_max / n_min; in [1, 1000]
    scale: str = "smoke"  # length of the run; in {smoke, short, paper}

The grammar of such a line is ``name: type = default  # sentence[; in RANGE]``:

- ``type`` is ``int``, ``float``, ``str``, ``bool``, ``list[int]`` or ``tuple[int, ...]`` and alike, or
  ``Optional[...]`` of any of them, which may be written ``| None``. ``Literal["a", "b"]`` means the same as the
  type of its choices with ``; in {a, b}``. Plain papermill cannot read ``|``, ``...`` and quotes in a type, and
  warns of an unknown parameter; the pages of the book have none.
- ``RANGE`` is an interval such as ``[1, 1000]``, ``(0, 1]`` or ``[0, inf)``, a round bracket leaving its end
  out, or the choices ``{a, b, c}``. Numbers must have one; of a list it holds for each item. No line holds a
  second ``=``, as in ``>= 1``: papermill would not read it.

One rule says which values a parameter takes: those of its type and range, and text that says one, as on a command
line. A whole number does for a float. A bool is no number and no word, a number no word, 3.0 no int, and None does
only for an optional one.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gclib.errors import UserError, nearest

__all__ = ["Parameter", "check", "parameters", "parse", "read"]

LINE = "name: type = default  # sentence; in RANGE"
TYPES = {  # as `ast.unparse` writes them: container, scalar, None allowed
    form.format(scalar) + none: (container, scalar, bool(none))
    for scalar in ("int", "float", "str", "bool")
    for form, container in (("{}", None), ("list[{}]", list), ("tuple[{}, ...]", tuple))
    for none in ("", " | None")
}
INTERVAL = re.compile(r"([\[(])\s*([^\s,]+)\s*,\s*([^\s,]+)\s*([\])])")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes
    ----------
    name
        Name of the variable.
    type
        Type as the notebook writes it, such as ``"list[int]"``; for ``Literal[...]`` the type of its choices.
    default
        Value of the committed notebook.
    description
        What it is, in one sentence.
    range
        Interval such as ``"[1, inf)"`` or choices such as ``"{smoke, short, paper}"``; may be empty.
    """

    name: str
    type: str
    default: Any
    description: str
    range: str = ""

    @property
    def expected(self) -> str:
        """Type and range in words, such as ``float in [1, inf)``."""
        return f"{self.type} in {self.range}" if self.range else self.type

    def convert(self, value: object) -> Any:
        """Return `value`, or the value that its text stands for, in this parameter's type.

        Raises
        ------
        ValueError
            If it is of another type or out of range.
        """
        container, scalar, optional = TYPES[self.type]
        if optional and (value is None or str(value).lower() == "none"):
            return None
        if container is None:
            return self._scalar(value, scalar)
        items = re.findall(r"[^\s,'\"\[\]()]+", value) if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError(value)
        return container(self._scalar(item, scalar) for item in items)

    def _scalar(self, value: object, scalar: str) -> Any:
        converted: Any = value
        if isinstance(value, str) and scalar == "bool":
            converted = {"true": True, "false": False}.get(value.lower())
        elif isinstance(value, str) and scalar != "str":
            converted = int(value) if scalar == "int" else float(value)
        elif scalar == "float" and type(value) is int:
            converted = float(value)
        if type(converted).__name__ != scalar or (self.range and not _within(converted, self.range)):
            raise ValueError(value)
        return converted


def _within(value: Any, range_: str) -> bool:
    interval = INTERVAL.fullmatch(range_)
    if interval is None:
        choices = [choice.strip() for choice in range_.strip("{}").split(",")]
        return str(value) in choices if isinstance(value, bool) else value in map(type(value), choices)
    left, low, high, right = interval.groups()
    number = float(value)
    above = number > float(low) if left == "(" else number >= float(low)
    return above and (number < float(high) if right == ")" else number <= float(high))


def parameters(path: str | Path) -> list[Parameter]:
    """Read the parameters of a notebook from its cell tagged ``parameters``.

    Parameters
    ----------
    path
        The notebook.

    Returns
    -------
    list of Parameter
        In the order of the cell; empty where the notebook has no such cell.

    Raises
    ------
    UserError
        If the file is no notebook, or a line of the cell breaks the grammar above.
    """
    path = Path(path)
    for cell in read(path).cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return parse(cell.source, f"{path.name}, parameters cell")
    return []


def parse(source: str, where: str) -> list[Parameter]:
    """Read the parameters of a cell; UserError that says `where` and in which line it breaks the grammar."""
    try:
        return _parse(source)
    except SyntaxError as error:
        raise UserError(f"{where}, line {error.lineno}: {error.msg}; expected `{LINE}`") from None


def _parse(source: str) -> list[Parameter]:
    tree = ast.parse(source)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            continue  # for Literal and Optional
        parameter = _parameter(node, comments.get(node.lineno, ""))
        if parameter.name in found:
            raise _fault(node, f"a second parameter {parameter.name!r}")
        found[parameter.name] = parameter
    return list(found.values())


def _parameter(node: ast.stmt, comment: str) -> Parameter:
    if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
        raise _fault(node, "not a parameter with a type and a default")
    if node.end_lineno != node.lineno:
        raise _fault(node, "more than one line")
    name = node.target.id
    kind = re.sub(r"^Optional\[(.+)\]$", r"\1 | None", ast.unparse(node.annotation))
    sentence, _, tail = (
        (part.strip() for part in comment.rpartition(";")) if ";" in comment else (comment, "", "")
    )
    range_ = tail.removeprefix("in ").strip()
    try:
        default = ast.literal_eval(node.value)
        if literal := re.fullmatch(r"Literal\[(.+)\]( \| None)?", kind):
            choices = ast.literal_eval(f"({literal[1]},)")
            kind = type(choices[0]).__name__ + (literal[2] or "")
            range_ = "{" + ", ".join(map(str, choices)) + "}"
    except ValueError:
        raise _fault(node, f"{name!r}: expected a plain value, such as 3 or 'digits'") from None
    if kind not in TYPES:
        raise _fault(
            node, f"type {kind!r} of {name!r}: expected int, float, str, bool, a list[...] or tuple[..., ...]"
        )
    if not sentence:
        raise _fault(node, f"no comment that says what {name!r} is")
    if (tail and not tail.startswith("in ")) or (range_ and not _readable(range_)):
        raise _fault(
            node, f"{tail!r} is no range: expected `in [low, high]`, `in [low, inf)` or `in {{a, b}}`"
        )
    if not range_ and re.search("int|float", kind):
        raise _fault(node, f"{name!r} is a number without a range, such as `; in [0, inf)`")
    parameter = Parameter(name, kind, default, sentence, range_)
    try:
        same = parameter.convert(default) == default  # False where only its text would do
    except ValueError:
        same = False
    if not same:
        raise _fault(node, f"default {default!r} of {name!r}: expected {parameter.expected}")
    return parameter


def _readable(range_: str) -> bool:
    interval = INTERVAL.fullmatch(range_)
    if interval is None:
        return re.fullmatch(r"\{[^{}]+\}", range_) is not None
    try:
        return float(interval[2]) < float(interval[3])
    except ValueError:
        return False


def _fault(node: ast.stmt, message: str) -> SyntaxError:
    return SyntaxError(message, ("", node.lineno, None, None))


def check(allowed: Iterable[Parameter], given: Mapping[str, object]) -> dict[str, Any]:
    """Check values for the parameters of a notebook before a kernel starts.

    Parameters
    ----------
    allowed
        What `parameters` returned.
    given
        Values by name, each as such or as text from the command line: ``true``, ``none``, ``0.5``, ``0,1,2``.

    Returns
    -------
    dict
        The values given, each in the type of its parameter.

    Raises
    ------
    UserError
        If a name is unknown, or a value of another type or out of range.
    """
    by_name = {parameter.name: parameter for parameter in allowed}
    values = {}
    for name, value in given.items():
        if name not in by_name:
            options = ", ".join(by_name) or "none"
            raise UserError(f"unknown parameter {name!r}: expected one of {options}{nearest(name, by_name)}")
        try:
            values[name] = by_name[name].convert(value)
        except ValueError:
            raise UserError(f"parameter {name!r}: expected {by_name[name].expected}, got {value!r}") from None
    return values


def read(path: Path) -> Any:
    """Read a notebook with nbformat; UserError where the file is none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a notebook") from None
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        raise UserError(f"{path}: not a notebook ({type(error).__name__}); expected a file .ipynb") from None
