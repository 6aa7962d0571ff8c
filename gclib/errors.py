"""Errors that a person can mend: one line that says what is wrong, what was expected and what to do."""

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Real

__all__ = [
    "NotebookError",
    "UserError",
    "nearest",
    "one_line",
    "printable",
    "require_one_of",
    "require_positive",
    "require_range",
    "without_middle",
]

LONG_WORD, LONG_LINE = 300, 1600  # characters that fit paths, and the list of all recipes


class UserError(Exception):
    """A mistake of the caller. The message is one line; command line and notebook show it without a traceback."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows
        return [f"{type(self).__name__}: {self}"]

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotebookError(Exception):
    """A notebook failed, or the book did not build. The message shows where; it may have several lines."""


def one_line(message: str) -> str:
    r"""Bring a message that quotes what was given to one line that every terminal prints.

    Parameters
    ----------
    message
        May hold anything: line breaks, control characters, lone surrogates, words of any length.

    Returns
    -------
    str
        Line breaks as blanks, other characters that do not print as escapes; a word beyond 300 characters and a line
        beyond 1,600 lose their middle.

    Examples
    --------
    >>> print(one_line("unknown name 'a\x1b[0m\nb'"))
    unknown name 'a\x1b[0m b'
    """
    line = re.sub(
        rf"\S{{{LONG_WORD + 1},}}", lambda m: without_middle(m[0], 100), printable(" ".join(message.split()))
    )
    return without_middle(line, LONG_LINE)


def printable(text: str) -> str:
    r"""Return text on one line, with escapes for what does not print.

    Examples
    --------
    >>> print(printable("red \x1b[31m\n"))
    red \x1b[31m\n
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_middle(text: str, length: int) -> str:
    """Return text of at most about so many characters, its middle replaced by dots."""
    if len(text) <= length:
        return text
    return f"{text[: length * 2 // 3]} ... {text[-length // 3 :]}"


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a hint at the option that `name` was probably meant to be.

    Parameters
    ----------
    name
        What was given.
    options
        What would have been right.

    Returns
    -------
    str
        ``"; did you mean 'x'?"``, or an empty string where nothing comes close.

    Examples
    --------
    >>> nearest("cifar-10", ["digits", "cifar10"])
    "; did you mean 'cifar10'?"
    """
    close = difflib.get_close_matches(name, list(options), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def require_one_of(what: str, name: str, options: Iterable[str]) -> None:
    """Refuse a name that is not among the options.

    Parameters
    ----------
    what
        What the name is of, for the message.
    name
        What was given.
    options
        What would be right, in the order in which the message lists them.

    Raises
    ------
    UserError
        If the name is not among them: with all of them, and the one that was probably meant.

    Examples
    --------
    >>> require_one_of("scale", "smok", ["smoke", "short", "paper"])
    Traceback (most recent call last):
    gclib.errors.UserError: unknown scale 'smok'; expected one of smoke, short, paper; did you mean 'smoke'?
    """
    known = list(options)
    if name not in known:
        raise UserError(
            f"unknown {what} {name!r}; expected one of {', '.join(known)}{nearest(str(name), known)}"
        )


def require_range(low: float, high: float, **values: float) -> None:
    """Raise a UserError for a value that is no number, or outside [low, high)."""
    for name, value in values.items():
        if not (isinstance(value, Real) and low <= value < high):
            raise UserError(f"{name} is {value!r}, expected a number in [{low:g}, {high:g}); change {name}")


def require_positive(**values: float) -> None:
    """Raise a UserError for a value that is no number, or not above 0 and finite."""
    for name, value in values.items():
        if not (isinstance(value, Real) and 0 < value < math.inf):
            raise UserError(f"{name} is {value!r}, expected a number above 0; change {name}")
