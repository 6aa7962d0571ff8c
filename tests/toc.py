"""The pages of the book, as ``_toc.yml`` lists them."""

from pathlib import Path

import yaml

__all__ = ["NOTEBOOKS", "PAGES", "ROOT"]

ROOT = Path(__file__).parents[1]


def pages(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in pages(item)]
    if isinstance(node, dict):
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [name for value in node.values() for name in pages(value)]
    return []


PAGES = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
NOTEBOOKS = [name for name in PAGES if (ROOT / f"{name}.ipynb").is_file()]
