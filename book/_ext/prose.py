"""What belongs together in a line stays together: a formula and the sign behind it, a word and the mark of its test.

And what is folded says what it is: below code that shows, it is no code.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx

SIGNS = re.compile(r"[.,;:!?)”’]+")


def bind(app: Sphinx, doctree: nodes.document) -> None:
    for formula in list(doctree.findall(nodes.math)):
        behind = formula.next_node(descend=False, siblings=True)
        signs = SIGNS.match(behind.astext()) if isinstance(behind, nodes.Text) else None
        if signs:
            rest = nodes.Text(behind.astext()[signs.end() :])
            behind.parent.replace(behind, rest)
            bound = nodes.inline("", "", formula.deepcopy(), nodes.Text(signs.group()), classes=["unbroken"])
            formula.parent.replace(formula, bound)
    for mark in list(doctree.findall(nodes.reference)):
        place = mark.parent.index(mark)
        before = mark.parent[place - 1] if place else None
        if "checked" in mark["classes"] and isinstance(before, nodes.Text):
            mark.parent.replace(before, nodes.Text(before.astext().rstrip()))


def name_what_is_folded(app: Sphinx, doctree: nodes.document) -> None:
    for cell in doctree.findall(nodes.container):
        if cell.get("hide_mode") == "output" and cell["prompt_show"] == app.config.nb_code_prompt_show:
            cell["prompt_show"], cell["prompt_hide"] = "Show what it gives", "Hide what it gives"


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", bind)
    app.connect("doctree-read", name_what_is_folded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
