"""A table as a page shows it: HTML for a notebook, Markdown for a README."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

__all__ = ["Code", "Command", "Item", "Link", "Singles", "Table"]


NO_MATHS = "tex2jax_ignore mathjax_ignore"  # JupyterLab's MathJax then leaves dollars alone
WORDS = ' style="text-align: left; white-space: normal"'


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere."""

    text: str
    target: str


@dataclass(frozen=True)
class Code:
    """A name from the code."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command to copy, folded behind its name."""

    text: str
    name: str = "command"


@dataclass(frozen=True)
class Singles:
    """The single values behind a mean, small below it."""

    texts: tuple[str, ...]


# Marks of Markdown that may mean something where they stand: an underscore within a word does not.
MARKDOWN = re.compile(r"[*`|$~]|\](?=\()|\\(?=[!-/:-@[-`{-~])|(?<!\w)_|_(?!\w)")
URL = "/:#?=&%@+,;!'~*$"  # beside letters and digits, what an address may hold

Item = str | Link | Code | Command | Singles


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows as HTML, and that a README holds as Markdown.

    The HTML names no colour and no width, so it follows the page, light or dark, wide or narrow. Its class is
    the one that themes know from pandas. Columns of words stand left and run over several lines; columns of numbers
    stand right and do not.

    Attributes
    ----------
    header
        Names of the columns.
    rows
        Cells, each a sequence of items.
    caption
        What the table shows, and by which rule.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Sequence[Item]]]
    caption: str

    @classmethod
    def of(cls, header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Self:
        """Make a table of plain values; floats get two decimals, None stays empty."""

        def text(value: object) -> str:
            return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

        return cls(header, [[[text(value)] for value in row] for row in rows], caption)

    def to_html(self) -> str:
        """Return the table as HTML."""
        columns = [[row[place] for row in self.rows] for place in range(len(self.header))]
        styles = ["" if all(map(_is_number, column)) else WORDS for column in columns]
        if styles and styles[0]:  # the names of rows need not break after each word
            styles[0] = WORDS.replace("white-space", "min-width: 10em; white-space")
        names = zip(styles, self.header, strict=True)
        head = "".join(f'<th scope="col"{style}>{_text_html(name)}</th>' for style, name in names)
        body = "\n".join(
            "<tr>"
            + "".join(f"<td{style}>{_cell_html(cell)}</td>" for style, cell in zip(styles, row, strict=True))
            + "</tr>"
            for row in self.rows
        )
        return (
            '<div style="overflow-x: auto" tabindex="0">\n'
            '<table class="dataframe" style="white-space: nowrap">\n'
            f"<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
            + (f"<p>{_text_html(self.caption)}</p>" if self.caption else "")
        )

    def to_markdown(self) -> str:
        """Return the table as Markdown, the caption below."""
        lines = [[*map(_markdown, self.header)], ["---"] * len(self.header)]
        lines += [[_cell_markdown(cell) for cell in row] for row in self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{_markdown(self.caption)}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_markdown()


def _is_number(cell: Sequence[Item]) -> bool:
    """Whether a cell is empty, a dash or a number, perhaps with its spread."""
    return all(
        isinstance(item, Singles)
        or (isinstance(item, str) and re.fullmatch(r"–?|[-+−]?\d[\d,.]*( ± [\d.]+)?", item))
        for item in cell
    )


def _cell_html(cell: Sequence[Item]) -> str:
    """Words and links on one line, or parted by single values into lines that do not break; folded commands below."""
    shown = [item for item in cell if not isinstance(item, Command)]
    commands = "".join(_item_html(item) for item in cell if isinstance(item, Command))
    parted = next((place for place, item in enumerate(shown) if isinstance(item, Singles)), None)
    if parted is None:
        return ", ".join(map(_item_html, shown)) + commands
    above, below = (", ".join(map(_item_html, part)) for part in (shown[:parted], shown[parted + 1 :]))
    return f'<div style="white-space: nowrap">{above}{_item_html(shown[parted])}{below}</div>{commands}'


def _cell_markdown(cell: Sequence[Item]) -> str:
    """Words and links on one line, single values in brackets behind what they follow."""
    return "".join(
        (" " if isinstance(item, Singles) else ", ") * (place > 0) + _item_markdown(item)
        for place, item in enumerate(cell)
    )


def _item_html(item: Item) -> str:
    match item:
        case Link():
            return f'<a href="{html.escape(item.target)}">{_text_html(item.text)}</a>'
        case Code():
            return f"<code>{_text_html(item.text)}</code>"
        case Command():
            name, text = _text_html(item.name), _text_html(item.text)
            return f"<details><summary>{name}</summary><code>{text}</code></details>"
        case Singles():
            return f'<small style="display: block; font-size: 0.85em">{_text_html(", ".join(item.texts))}</small>'
    return _text_html(item)


def without_maths(shown: str) -> str:
    """Wrap HTML such that JupyterLab and the book read no mathematics into it; most needs no wrapping.

    A frame of pandas keeps its class, by which pages know tables.
    """
    if not re.search(r"[$\\]", shown):
        return shown
    tag = "div" if "<div" in shown else "span"
    return f'<{tag} class="{NO_MATHS}">{shown}</{tag}>'


def _text_html(text: str) -> str:
    return without_maths(html.escape(text))


def _item_markdown(item: Item) -> str:
    match item:
        case Link():
            return f"[{_markdown(item.text)}]({quote(item.target, safe=URL)})"
        case Code():
            code = " ".join(item.text.split()).replace("|", r"\|")
            return f"`` {code} ``" if "`" in code else f"`{code}`"
        case Command():
            # Markdown has no way to fold; it reads what stands between tags.
            return MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", _item_html(item))
        case Singles():
            return f"({_markdown(', '.join(item.texts))})"
    return _markdown(item)


def _markdown(text: str) -> str:
    """Escape what Markdown would not show as it is."""
    shown = html.escape(" ".join(text.split()), quote=False)
    return MARKDOWN.sub(r"\\\g<0>", shown)
