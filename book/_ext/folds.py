"""Fold what stands below the first sentences of an entry of the API: a page is then a list of what there is."""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

LONG = 200  # characters below which nothing is worth a click


def fold(app: Sphinx, doctree: nodes.document) -> None:
    if app.builder.format != "html" or not app.env.docname.startswith("book/api/"):
        return
    for entry in list(doctree.findall(addnodes.desc_content)):
        below = entry.children[1:]
        details = [node for node in below if not isinstance(node, addnodes.desc | addnodes.index)]
        if sum(len(node.astext()) for node in details) < LONG:
            continue
        members = [node for node in below if node not in details]
        opening = nodes.raw("", f"<details><summary>{_names(details)}</summary>", format="html")
        entry.children[1:] = []
        entry.extend([opening, *details, nodes.raw("", "</details>", format="html"), *members])


def _names(details: list[nodes.Node]) -> str:
    """Names of the sections that are folded, as in ``Parameters, Returns``."""
    names = [
        heading.astext()
        for node in details
        for heading in node.findall(lambda part: isinstance(part, nodes.rubric | nodes.field_name))
    ]
    return ", ".join(dict.fromkeys(names)) or "More"


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
