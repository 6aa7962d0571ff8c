"""Let autodoc import gclib without torch, which it then need not have to build the book.

Sphinx's stand-ins (`autodoc_mock_imports`) do not know ``Tensor | None``, so they learn it here.
"""

from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import _MockObject


def setup(app: Sphinx) -> dict:
    _MockObject.__or__ = _MockObject.__ror__ = lambda self, other: self
    return {"parallel_read_safe": True, "parallel_write_safe": True}
