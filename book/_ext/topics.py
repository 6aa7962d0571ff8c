"""Search that finds the page a reader means: `book/topics.toml` says what people type; API objects come last.

Sphinx gives every page that holds the words nearly the same score. Its own way out is a script with another score; it
is made here. Words that a page does not use itself are added to it for the index.
"""

import json
import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from gclib import ROOT

TOPICS = tomllib.loads((ROOT / "book" / "topics.toml").read_text(encoding="utf-8"))

SCORER = """
const TOPICS = %s;
const words = text => text.toLowerCase().split(/[^\\p{L}\\p{N}-]+/u).filter(Boolean);
// 1 where all words of the query stand in one topic of the page, less where the topic has more words.
const fit = page => {
  const query = words(new URLSearchParams(location.search).get("q") || "");
  const shares = (TOPICS[page] || []).map(topic => {
    const known = words(topic);
    return query.every(word => known.includes(word)) ? query.length / known.length : 0;
  });
  return query.length ? Math.max(0, ...shares) : 0;
};
var Scorer = {
  score: ([page, , anchor, , score]) =>
    page.startsWith("book/api") || page.startsWith("_modules") ? score / 1000 : score + (anchor ? 0 : 200 * fit(page)),
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
"""


def write_scorer(app: Sphinx) -> None:
    if missing := TOPICS.keys() - app.env.found_docs:
        raise ExtensionError(f"book/topics.toml: no page {sorted(missing)[0]}")
    scorer = Path(app.doctreedir, "scorer.js")
    scorer.write_text(SCORER % json.dumps(TOPICS), encoding="utf-8")
    app.config.html_search_scorer = str(scorer)


def add_words(app: Sphinx, doctree: nodes.document) -> None:
    topics = TOPICS.get(app.env.docname, [])
    if topics:
        found = dict.fromkeys(re.findall(r"[\w-]+", " ".join(topics).lower()))
        doctree.append(nodes.meta("", name="keywords", lang="en", content=", ".join(found)))


def setup(app: Sphinx) -> dict:
    app.connect("env-updated", lambda app, env: write_scorer(app))
    app.connect("doctree-read", add_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
