"""Notebooks as programs: their typed parameters, their execution, and the book made from them."""

from gclib.notebook.book import build, pages
from gclib.notebook.execution import ROOT, execute, find, names, refresh, strip
from gclib.notebook.grammar import Parameter, check, parameters
from gclib.notebook.kernel import KEEP_MEMORY
from gclib.notebook.outputs import not_held, printed_records
from gclib.notebook.page import check_parameters
from gclib.notebook.surroundings import surroundings, terminated_as_interrupted

__all__ = [
    "KEEP_MEMORY",
    "ROOT",
    "Parameter",
    "build",
    "check",
    "check_parameters",
    "execute",
    "find",
    "names",
    "not_held",
    "pages",
    "parameters",
    "printed_records",
    "refresh",
    "strip",
    "surroundings",
    "terminated_as_interrupted",
]
