"""The directive ``edition``: a link to the PDF of the book where `make pdf` has made one, else how to make it."""

import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gclib.notebook.edition import EDITION


class Edition(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        if self.env.app.builder.name != "html":  # in the PDF itself it says nothing
            return []
        if not EDITION.is_file():
            text = "To print: `make pdf` makes one PDF of the whole book. It needs Chromium or Google Chrome."
            return self.parse_text_to_nodes(text)
        target = "../" * self.env.docname.count("/") + EDITION.name
        link = nodes.reference("", "the whole book as one PDF", refuri=target, internal=True)
        return [nodes.paragraph("", "", nodes.Text("To print: "), link, nodes.Text("."))]


def copy_edition(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html" and EDITION.is_file():
        shutil.copyfile(EDITION, Path(app.outdir, EDITION.name))


def setup(app: Sphinx) -> dict:
    app.add_directive("edition", Edition)
    app.connect("build-finished", copy_edition)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
