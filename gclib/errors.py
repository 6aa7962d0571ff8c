"""Errors that a person can mend: one line that says what is wrong, what was expected and what to do."""

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "nearest", "require_one_of"]


class UserError(Exception):
    """A mistake of the caller. The message is one line; command line and notebook show it without a traceback."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows
        return [f"{type(self).__name__}: {self}"]


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
        raise UserError(f"unknown {what} {name!r}; expected one of {', '.join(known)}{nearest(name, known)}")
