"""The book on paper: it needs a browser, and says so; printed, it holds every chapter."""

import io
import re
import shutil
from pathlib import Path

import pytest
from pypdf import PageObject, PdfReader
from toc import PAGES

from gclib.errors import NotebookError, UserError
from gclib.notebook import edition


def test_without_a_browser_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="install one of them") as refused:
        edition.print_edition(tmp_path / "book.pdf")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_front_page_links_the_edition_or_says_how_to_make_it(book: Path) -> None:
    front = (book / "book" / "welcome.html").read_text(encoding="utf-8")
    if edition.EDITION.is_file():
        assert f'href="../{edition.EDITION.name}"' in front
        assert (book / edition.EDITION.name).read_bytes() == edition.EDITION.read_bytes()
    else:
        assert "make pdf" in re.sub("<[^>]*>", "", front)


CHAPTER = """<div class="toctree-wrapper"><span id="document-{name}"></span>
<section><h2>{name}<a class="headerlink">#</a></h2>{text}</section></div>"""
WIDE = "<tr>" + "".join(f"<td>word{number}</td>" for number in range(40)) + "</tr>"
CODE = """<div class="cell_input" style="display: flex"><div class="highlight-x"><pre style="overflow: auto">{}</pre>
</div></div>"""


@pytest.fixture(scope="module")
def small(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    """A book of three chapters, printed as the large one is."""
    site = tmp_path_factory.mktemp("site")
    links = """<a href="book/welcome.html#document-last">inside</a> <a href="../wide.html#gone">chapter</a>
        <a href="../results/seed0.html">outside</a>
        <a href="https://example.org/">elsewhere</a>"""
    fold = "<table><tr><td>here<details><summary>command</summary>gcl</details></td></tr></table>"
    code = CODE.format("\n".join(f"line{number}" for number in range(60)))
    chapters = {
        "start": links + fold + "<p>text</p>" * 25 + code,
        "wide": f'<table class="dataframe">{WIDE}</table><div><pre style="width: 2000px">ruled</pre></div>',
        "last": '<details class="hide"><summary>open it</summary><p>inner</p></details>',
    }
    text = "".join(CHAPTER.format(name=name, text=text) for name, text in chapters.items())
    captions = "".join(f'<p class="caption">Part {number}</p>' for number in range(3))
    (site / "edition.html").write_text(
        f"""<link rel="stylesheet" href="book.css"><div class="bd-sidebar" hidden>{captions}</div>
        <article class="bd-article"><section><h1>Title</h1>{text}</section></article>"""
    )
    shutil.copy(edition.ROOT / "book" / "_static" / "book.css", site)
    return PdfReader(io.BytesIO(edition.printed(chromium, site)))


def lines(book: PdfReader) -> list[list[str]]:
    """The lines of each page, without its number."""
    return [page.extract_text().splitlines()[:-1] for page in book.pages]


def outside(book: PdfReader) -> list[str]:
    """Addresses that links lead to which do not stay in the book."""
    notes = (note.get_object() for page in book.pages for note in page.get("/Annots", ()))
    return [str(note["/A"]["/URI"]) for note in notes if "/URI" in note.get("/A", ())]


def beyond(page: PageObject) -> list[str]:
    """Words of a page that begin right of its margin, where they are cut off."""
    words = []

    def look(text: str, page_to_paper: list[float], place: list[float], *rest: object) -> None:
        across = place[4] * page_to_paper[0] + page_to_paper[4]
        if text.strip() and across > float(page.mediabox.width) - 45:  # points: the margin has 16 mm
            words.append(text)

    page.extract_text(visitor_text=look)
    return words


def test_the_contents_name_each_chapter_with_the_page_on_which_it_begins(small: PdfReader) -> None:
    pages = lines(small)
    begins = {page[0]: number for number, page in enumerate(pages, 1) if page[0] in ("start", "wide", "last")}
    assert len(begins) == 3
    assert begins["start"] == 3
    contents = "\n".join(pages[1])
    for name, page in begins.items():
        assert re.search(rf"{name}\s*{page}\b", contents), contents
    assert {name: edition.page_numbers_of(small)[f"document-{name}"] for name in begins} == begins
    assert [part for part in pages[1] if part.startswith("Part")] == ["Part 0", "Part 1", "Part 2"]


def test_links_of_the_edition_stay_inside_it_or_lead_to_the_web(small: PdfReader) -> None:
    assert outside(small) == ["https://example.org/"]
    assert "outside" in small.pages[2].extract_text()  # the words stay
    notes = [note.get_object() for note in small.pages[2]["/Annots"]]
    assert [note["/Dest"] for note in notes if "/Dest" in note] == ["/document-last", "/document-wide"]


def test_nothing_on_paper_waits_for_a_click(small: PdfReader) -> None:
    text = "\n".join(page.extract_text() for page in small.pages)
    assert "inner" in text
    assert not re.search("open it|command", text)


def test_a_wide_table_is_made_to_fit_the_paper(small: PdfReader) -> None:
    wide = next(page for page in small.pages if "word39" in page.extract_text())
    assert not beyond(wide)


def test_what_cannot_be_made_to_fit_is_said_and_not_printed(chromium: str, tmp_path: Path) -> None:
    page = '<article class="bd-article"><div style="width: 3000px">wide</div><span id="document-x"></span></article>'
    (tmp_path / "edition.html").write_text(page)
    with pytest.raises(NotebookError, match="wider than the paper"):
        edition.printed(chromium, tmp_path)


def test_a_page_may_end_in_long_code(small: PdfReader) -> None:
    pages = lines(small)
    begun = next(page for page in pages if "line0" in page)
    assert "text" in begun
    assert "line59" not in begun


@pytest.mark.soak
def test_the_edition_holds_every_chapter_and_cuts_nothing(chromium: str, tmp_path: Path) -> None:
    book = PdfReader(edition.print_edition(tmp_path / "book.pdf"))
    assert len(book.pages) > 150
    begins = edition.page_numbers_of(book)
    chapters = [name for name in PAGES if name != "book/welcome"]
    assert [name for name in chapters if f"document-{name}" in begins] == chapters
    assert sorted(begins[f"document-{name}"] for name in chapters) == [
        begins[f"document-{name}"] for name in chapters
    ]
    assert not [address for address in outside(book) if "127.0.0.1" in address]
    assert not [number for number, page in enumerate(lines(book), 1) if not page]
    assert not {number: words for number, page in enumerate(book.pages, 1) if (words := beyond(page))}
