"""Lets pages that are no chapters share their sidebar.

Pages of records and of sources, three quarters of all, are in no table of contents, so nothing in it is marked as the
current page: it is the same for all that lie equally deep. Drawn for each of them, it took a third of a build.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def share(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if page in app.env.all_docs or "toctree" not in context:
        return
    draw, drawn = context["toctree"], app.env.temp_data.setdefault("sidebars", {})

    def toctree(**options: Any) -> str:
        key = (page.count("/"), *sorted(options.items()))
        if key not in drawn:
            drawn[key] = draw(**options)
        return drawn[key]

    context["toctree"] = toctree


def name_chapters_only(app: Sphinx, config: Config) -> None:
    config.html_theme_options["max_navbar_depth"] = (
        2  # deeper, sections of all pages are copied and thrown away
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", name_chapters_only, priority=100)  # before the theme reads its options
    app.connect("html-page-context", share, priority=400)  # before the theme takes it from the context
    return {"parallel_read_safe": True, "parallel_write_safe": True}
