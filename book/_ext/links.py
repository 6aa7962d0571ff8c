"""Roles that lead from prose to code.

``{source}`gclib.losses.GCLLoss` `` is a link to the page of its source that sphinx.ext.viewcode makes.
``{test}`test_every_loss.py::test_gradients` `` is, on the index of equations, the path of the test, and a link to its
line once `_config.yml` names a public address. On all other pages it is a mark that leads there.
"""

import ast
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from gclib import ROOT

logger = logging.getLogger(__name__)
INDEX = "book/equations"


class Source(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        module, _, name = self.text.rpartition(".")
        with mock(self.config.autodoc_mock_imports):
            defined_in = getattr(import_module(module), name).__module__
        page = self.env.app.builder.get_relative_uri(
            self.env.docname, f"_modules/{defined_in.replace('.', '/')}"
        )
        return [nodes.reference("", "source", refuri=f"{page}#{name}", internal=True)], []


class Test(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        name, _, function = self.text.partition("::")
        line = line_of(ROOT / "tests" / name, function)
        if line is None:
            logger.warning("no test %s", self.text, location=self.get_location())
        place = nodes.make_id(function)
        if self.env.docname != INDEX:
            page = self.env.app.builder.get_relative_uri(self.env.docname, INDEX)
            target = f"{page.partition('#')[0]}#{place}"
            words = f"checked by tests/{self.text}"
            mark = nodes.reference("", "✓", refuri=target, internal=True, reftitle=words, classes=["checked"])
            return [mark], []
        placed = self.env.temp_data.setdefault("tests of equations", set())
        text = nodes.literal("", f"tests/{self.text}", ids=[place] if place not in placed else [])
        placed.add(place)
        theme = self.config.html_theme_options
        if not theme.get("repository_url"):
            return [text], []
        target = (
            f"{theme['repository_url']}/blob/{theme.get('repository_branch', 'main')}/tests/{name}#L{line}"
        )
        return [nodes.reference("", "", text, refuri=target)], []


def line_of(path: Path, function: str) -> int | None:
    """Line on which a file defines a function of that name; None if it does not."""
    if not path.is_file():
        return None
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return next((n.lineno for n in body if isinstance(n, ast.FunctionDef) and n.name == function), None)


def setup(app: Sphinx) -> dict:
    app.add_role("source", Source())
    app.add_role("test", Test())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
