"""A table as a page shows it: HTML for a notebook, Markdown for a README."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

__all__ = ["Code", "Item", "Link", "Table"]


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere."""

    text: str
    target: str


@dataclass(frozen=True)
class Code:
    """A command to copy."""

    text: str


Item = str | Link | Code


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows as HTML, and that a README holds as Markdown.

    The HTML names no colour and no width, so it follows the page, light or dark, wide or narrow. Its class is
    the one that themes know from pandas.

    Attributes
    ----------
    header
        Names of the columns.
    rows
        Cells, each a sequence of items.
    caption
        What the table shows, and by which rule.
    prose
        Whether cells hold sentences, which run over several lines, and not numbers.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Sequence[Item]]]
    caption: str
    prose: bool = False

    @classmethod
    def of(cls, header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Self:
        """Make a table of plain values; floats get two decimals, None stays empty."""

        def text(value: object) -> str:
            return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

        return cls(header, [[[text(value)] for value in row] for row in rows], caption)

    def to_html(self) -> str:
        """Return the table as HTML."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.header)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{', '.join(map(_item_html, cell))}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        kind = 'class="dataframe prose"' if self.prose else 'class="dataframe" style="white-space: nowrap"'
        return (
            '<div style="overflow-x: auto" tabindex="0">\n'
            f"<table {kind}>\n"
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


def _item_html(item: Item) -> str:
    match item:
        case Link():
            return f'<a href="{html.escape(item.target)}">{html.escape(item.text)}</a>'
        case Code():
            return f"<code>{html.escape(item.text)}</code>"
    return html.escape(item)


def _item_markdown(item: Item) -> str:
    match item:
        case Link():
            return f"[{item.text}]({item.target})"
        case Code():
            return f"`{item.text}`"
    return item
