"""Mend what theme and extensions leave wrong for readers of screens, in the HTML as it was written.

Each mend is one rule of axe-core; `tests/access.py` runs all of its rules on every page.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

MENDS = (
    # The arrow that opens a part of the contents has no name.
    (
        re.compile(
            r'(<a class="(?:current )?reference internal" href="[^"]*">([^<]+)</a><details[^>]*><summary)>'
        ),
        r'\1 aria-label="Pages below \2">',
    ),
    # The column with logo, search and contents is no landmark.
    (
        re.compile(r'<div class="bd-sidebar-primary bd-sidebar([^"]*)"'),
        r'<div role="complementary" aria-label="Book" class="bd-sidebar-primary bd-sidebar\1"',
    ),
    # Roles of the bibliography: one is out of use, and a list has nothing but items.
    (re.compile(r' role="doc-biblioentry"'), ""),
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # The corner of a table of pandas heads nothing.
    (re.compile(r"<th([^>]*)></th>"), r"<td\1></td>"),
)


def mend(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        if "_static" in page.parts:
            continue
        before = after = page.read_text(encoding="utf-8")
        for pattern, mended in MENDS:
            after = pattern.sub(mended, after)
        if after != before:
            page.write_text(after, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
