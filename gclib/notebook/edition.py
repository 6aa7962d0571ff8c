"""The book as one PDF, printed by a browser from one long page: ``python -m gclib.notebook.edition``, or ``make pdf``.

It needs Chromium or Google Chrome beside what the tests need. Links inside the book stay links, and headings are
bookmarks.
"""

import functools
import os
import re
import shutil
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gclib.errors import NotebookError, UserError
from gclib.files import write_atomically
from gclib.notebook.book import sphinx
from gclib.notebook.execution import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pypdf import PdfReader

__all__ = ["EDITION", "find_chromium", "main", "page_numbers_of", "print_edition", "printed"]

EDITION = ROOT / "build" / "book.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROME_ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MINUTES = 10  # until a browser is taken to hang

# What one page of the book needs to be a book on paper: links that stay inside, open folds, tables that fit, contents.
PREPARE = """() => {
  const each = (what, make) => document.querySelectorAll(what).forEach(make);
  document.querySelector('.bd-article').id = 'document-book/welcome';
  each('.bd-article a[href]', link => {
    const [page, place] = link.getAttribute('href').split('#');
    if (page.startsWith('http')) return;
    const chapter = 'document-' + page.replace(/^[./]+|[.]html$/g, '');
    const inside = [place, chapter].find(id => id && document.getElementById(id));
    if (inside) link.setAttribute('href', '#' + inside);
    else link.replaceWith(...link.childNodes);  // pages of records and of source code are not printed
  });
  each('details.hide, dd > details', fold => { fold.open = true; });
  each('td > details', fold => fold.replaceWith(fold.innerText == 'command' ? '' : fold.innerText));
  each('img[loading=lazy]', image => { image.loading = 'eager'; });
  each('.bd-article :is(table, pre)', block => {
    const room = block.parentElement.clientWidth;
    if (block.offsetWidth > room) block.style.zoom = room / block.offsetWidth;
    block.style.breakInside = block.offsetHeight < 400 ? 'avoid' : 'auto';
  });
  const make = (name, text, more) => Object.assign(document.createElement(name), { textContent: text, ...more });
  const contents = make('nav', '', { className: 'contents-in-print' });
  contents.append(make('h2', 'Contents'), make('p', `This is the book on paper. What is folded on its pages stands
    open here, but for long code; what moves there is shown as it begins. Pages of single records are not printed.`));
  const parts = [...document.querySelectorAll('.bd-sidebar p.caption')];
  each('span[id^="document-"]', place => {
    const heading = place.nextElementSibling?.querySelector('h1, h2, h3');
    const chapter = !place.parentElement.parentElement.closest('.toctree-wrapper');
    if (!heading) return;
    if (chapter && place.matches(':first-child')) contents.append(make('h3', parts.shift().textContent));
    const line = make('div', '', { className: chapter ? 'chapter' : '' });
    line.append(make('a', heading.textContent.replace(/#$/, ''), { href: '#' + place.id }), make('span', '000'));
    contents.append(line);
  });
  document.querySelector('span[id^="document-"]').before(contents);
}"""
# Page numbers are known once the book has been printed, so it is printed twice.
NUMBERED = """pages => document.querySelectorAll('.contents-in-print a').forEach(
  link => { link.nextSibling.textContent = pages[link.hash.slice(1)]; })"""
# A4 less its margins, in the pixels of a page printed at this scale.
SCALE, WIDTH = 0.75, round((210 - 2 * 16) / 25.4 * 96 / 0.75)
NUMBER = '<div style="width: 100%; text-align: center; font-size: 8px"><span class="pageNumber"></span></div>'


def find_chromium() -> str | None:
    """Return the path of the browser, or None where there is none."""
    return next(filter(None, map(shutil.which, (*BROWSERS, CHROME_ON_A_MAC))), None)


def print_edition(path: Path = EDITION) -> Path:
    """Build the book as one page from the committed outputs, and print it.

    Parameters
    ----------
    path
        The PDF to write.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    UserError
        If there is no browser.
    NotebookError
        If the book does not build, or the browser does not print it.
    """
    browser = find_chromium()
    if browser is None:
        raise UserError(f"no browser to print with: none of {', '.join(BROWSERS)}; install one of them")
    with TemporaryDirectory(prefix="gclib-") as folder:
        site = sphinx(ROOT, Path(folder), "singlehtml") / "singlehtml"
        text = next((site / "book").glob("*.html")).read_text(encoding="utf-8")
        # Sphinx writes the links of the one page as from the top, and puts it elsewhere.
        (site / "edition.html").write_text(
            re.sub(r'"(?:\.\./)+_static/', '"_static/', text), encoding="utf-8"
        )
        write_atomically(path, printed(browser, site))
    return path


def printed(browser: str, site: Path) -> bytes:
    """Return the PDF of ``edition.html`` in a folder with all that it needs.

    Raises
    ------
    NotebookError
        If the browser does not print it, or something does not fit the width of the paper.
    """
    from playwright.sync_api import Error, sync_playwright
    from pypdf import PdfReader

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            sandbox = [] if os.getuid() else ["--no-sandbox"]  # Chromium refuses one to root
            page = playwright.chromium.launch(executable_path=browser, args=sandbox).new_page(
                viewport={"width": WIDTH, "height": WIDTH}
            )
            page.set_default_timeout(MINUTES * 60_000)
            page.emulate_media(media="print")
            page.goto(f"http://127.0.0.1:{server.server_port}/edition.html", wait_until="load")
            page.evaluate("window.MathJax?.startup?.promise")  # waits until all formulas are set
            page.evaluate(PREPARE)
            page.wait_for_load_state("networkidle")
            if page.evaluate("document.documentElement.scrollWidth") > WIDTH:
                raise NotebookError(
                    "something is wider than the paper: the browser would print all else smaller"
                )
            page.evaluate(NUMBERED, page_numbers_of(PdfReader(BytesIO(_paper(page)))))
            return _paper(page)
    except Error as error:
        raise NotebookError(f"the browser did not print the book: {error.message.splitlines()[0]}") from None
    finally:
        server.shutdown()
        server.server_close()


def _paper(page: "Page") -> bytes:
    return page.pdf(
        format="A4",
        scale=SCALE,
        print_background=True,
        outline=True,
        tagged=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=NUMBER,
        margin={"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
    )


def page_numbers_of(book: "PdfReader") -> dict[str, int]:
    """Return the page, counted from 1, of each place in a PDF that links of its own lead to."""
    found = {name: book.get_destination_page_number(place) for name, place in book.named_destinations.items()}
    return {name.removeprefix("/"): page + 1 for name, page in found.items() if page is not None}


def main() -> None:
    """Print the book, and put it beside the built pages where there are any."""
    try:
        path = print_edition()
    except (UserError, NotebookError) as error:
        sys.exit(f"gcl: {error}")
    site = ROOT / "build" / "_build" / "html"
    if site.is_dir():
        shutil.copy(path, site / path.name)
    print(f"{path} ({path.stat().st_size / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()
