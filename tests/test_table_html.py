"""A table as HTML: well formed, escaped, in no colour of its own, words to the left and numbers to the right."""

from html.parser import HTMLParser

from factories import paper_run
from markdown_it import MarkdownIt

from gclib import tables


class Page(HTMLParser):
    """Cells and attributes of a piece of HTML, which must be well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.cells, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        self.attributes += attrs
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_the_html_follows_the_page_and_never_changes() -> None:
    table = tables.results_table([paper_run("ce"), paper_run("ce", 1)])
    text = table._repr_html_()
    assert text == tables.results_table([paper_run("ce", 1), paper_run("ce")])._repr_html_()
    page = Page(text)
    assert len(page.cells) == len(table.header) * (len(table.rows) + 1)
    names = {name for name, _ in page.attributes}
    styles = " ".join(value for name, value in page.attributes if name == "style")
    assert "id" not in names
    assert "color" not in styles
    assert "background" not in styles
    assert "overflow-x: auto" in styles


def test_text_is_escaped() -> None:
    table = tables.Table(
        ["<a>"],
        [[["x < y & z", tables.Code("a > b"), tables.Link("<", 'q"'), tables.Command("& d", "c++ ")]]],
        "1 < 2",
    )
    assert Page(table.to_html()).cells == ["<a>", "x < y & z, a > b, <c++ & d"]


NASTY = ["$x$ and $y$", "_x_", "<b>b</b>", "a|b", "**x**", "[x](y)", "&lt;", r"\\*a", "`c`", "~~x~~", "a_b"]


def test_markdown_shows_text_as_it_is() -> None:
    items = [
        [name, tables.Code(name), tables.Link(name, "place (1)"), tables.Command(name)] for name in NASTY
    ]
    table = tables.Table(NASTY[:1], [[row] for row in items], NASTY[0])
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page = Page(markdown.render(table.to_markdown()))
    expected = [f"{name}, {name}, {name}, command{name}" for name in NASTY]
    assert page.cells == [NASTY[0], *expected]
    assert page.text.strip().endswith(NASTY[0])
    assert {value for name, value in page.attributes if name == "href"} == {"place%20%281%29"}


def test_html_lets_no_page_read_mathematics_into_it() -> None:
    page = Page(tables.Table(["$a$"], [[["$x$ and $y$"]]], "$c$").to_html())
    ignored = [value for name, value in page.attributes if name == "class" and "tex2jax_ignore" in value]
    assert len(ignored) == 3, "header, cell and caption"


def test_words_stand_left_and_wrap_and_numbers_do_neither() -> None:
    rows = [[["a sentence"], ["80.00 ± 1.20"]], [[], ["–"]], [["3"], []]]
    table = tables.Table(["words", "numbers"], rows, "")
    styles = [value for name, value in Page(table.to_html()).attributes if name == "style"]
    assert sum("left" in style and "normal" in style for style in styles) == len(rows) + 1
    assert sum("nowrap" in style for style in styles) == 1, "the table's own, for all columns of numbers"
