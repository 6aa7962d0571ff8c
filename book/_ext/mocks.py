"""Let autodoc import gclib without torch, which it then need not have to build the book.

Sphinx's stand-ins (`autodoc_mock_imports`) do not know ``Tensor | None``, so they learn it here. What packages load
when it is asked for is loaded at the start: where autodoc asks for it, the stand-ins are away.
"""

import pkgutil
from importlib import import_module

from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import _MockObject, mock

import gclib


def load(app: Sphinx) -> None:
    with mock(app.config.autodoc_mock_imports):  # the walk imports, too
        found = pkgutil.walk_packages(gclib.__path__, "gclib.")
        for package in [gclib, *(import_module(name) for _, name, is_package in found if is_package)]:
            for name in getattr(package, "__all__", ()):
                getattr(package, name)


def setup(app: Sphinx) -> dict:
    _MockObject.__or__ = _MockObject.__ror__ = lambda self, other: self
    app.connect("builder-inited", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
