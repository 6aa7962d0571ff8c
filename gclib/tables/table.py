"""A table as a page shows it: HTML for a notebook, Markdown for a README."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

__all__ = ["Code", "Command", "Item", "Link", "Table"]


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


Item = str | Link | Code | Command


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
        names = zip(styles, self.header, strict=True)
        head = "".join(f'<th scope="col"{style}>{html.escape(name)}</th>' for style, name in names)
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
            + (f"<p>{html.escape(self.caption)}</p>" if self.caption else "")
        )

    def to_markdown(self) -> str:
        """Return the table as Markdown, the caption below."""
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[", ".join(map(_item_markdown, cell)) for cell in row] for row in self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{self.caption}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_markdown()


def _is_number(cell: Sequence[Item]) -> bool:
    """Whether a cell is empty, a dash or a number, perhaps with its spread."""
    return all(
        isinstance(item, str) and re.fullmatch(r"–?|[-+−]?\d[\d,.]*( ± [\d.]+)?", item) for item in cell
    )


def _cell_html(cell: Sequence[Item]) -> str:
    """Words and links on one line, commands folded below."""
    line = ", ".join(_item_html(item) for item in cell if not isinstance(item, Command))
    return line + "".join(_item_html(item) for item in cell if isinstance(item, Command))


def _item_html(item: Item) -> str:
    match item:
        case Link():
            return f'<a href="{html.escape(item.target)}">{html.escape(item.text)}</a>'
        case Code():
            return f"<code>{html.escape(item.text)}</code>"
        case Command():
            name, text = html.escape(item.name), html.escape(item.text)
            return f"<details><summary>{name}</summary><code>{text}</code></details>"
    return html.escape(item)


def _item_markdown(item: Item) -> str:
    match item:
        case Link():
            return f"[{item.text}]({item.target})"
        case Code():
            return f"`{item.text}`"
        case Command():
            return _item_html(item)  # Markdown has no way to fold
    return item
