"""Mend what autodoc and napoleon leave wrong on the API pages.

A class that derives from a stand-in for torch gets its signature from its own constructor, not from the stand-in's
``(*args, **kwargs)``. Attributes that share a line of a docstring (``train, test``) get an entry each. What Python and
pydantic say of every field is left out.
"""

import inspect
import re

from sphinx.application import Sphinx

SHARED = re.compile(r":ivar (\w+(?:, \w+)+):(.*)")


def constructor(
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Return the signature of the nearest constructor that gclib writes; None leaves what there is."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    for base in inspect.getmro(thing):
        own = vars(base).get("__init__")
        if own is not None and base.__module__.startswith("gclib"):
            parameters = list(inspect.signature(own).parameters.values())[1:]  # without self
            plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
            return str(inspect.Signature(plain)), returns
    return "()", returns


def attributes(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Give each of the attributes that share a line its own entry, after napoleon has made it a field."""
    mended: list[str] = []
    shared: list[str] = []  # names that the lines to come describe
    body: list[str] = []
    for line in [*lines, ":end:"]:
        if shared and line and not line[0].isspace():
            for attribute in shared:
                mended += [f":ivar {attribute}:{body[0]}", *body[1:]]
            shared = []
        found = SHARED.fullmatch(line)
        if found:
            shared, body = found[1].split(", "), [found[2]]
        elif shared:
            body.append(line)
        else:
            mended.append(line)
    lines[:] = mended[:-1]


def boilerplate(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Skip a member of which nothing is said but that it is one; None leaves the choice to autodoc."""
    same_for_all = name == "model_config" or (inspect.getdoc(thing) or "").startswith(
        "Alias for field number"
    )
    return True if same_for_all else None


def setup(app: Sphinx) -> dict:
    app.connect("autodoc-skip-member", boilerplate)
    app.connect("autodoc-process-signature", constructor)
    app.connect("autodoc-process-docstring", attributes, priority=900)  # napoleon's is 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
