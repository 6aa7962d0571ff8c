"""Give equations the numbers of the paper: the label `eq-12` shows as (12), `eq-12b` as (12b), on any page.

Sphinx alone would count the labelled equations of each page from 1.
"""

from docutils import nodes
from sphinx.application import Sphinx


def number(app: Sphinx, doctree: nodes.document) -> None:
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        label = equation.get("label") or ""
        if label.startswith("eq-"):
            equation["number"] = label.removeprefix("eq-")
            domain.data["objects"][label] = (app.env.docname, equation["number"])


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", number)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
