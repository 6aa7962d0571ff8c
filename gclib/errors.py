"""Errors that a person can mend: one line that says what is wrong, what was expected and what to do."""

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "nearest"]


class UserError(Exception):
    """A mistake of the caller. The message is one line; the command line prints it without a traceback."""


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
