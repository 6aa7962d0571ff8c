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
from pathlib import Path
from tempfile import TemporaryDirectory

from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.notebook.book import sphinx
from gclib.notebook.execution import ROOT, NotebookError

__all__ = ["EDITION", "find_chromium", "main", "print_edition"]

EDITION = ROOT / "build" / "book.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROME_ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MINUTES = 10  # until a browser is taken to hang

# On paper the chapters are listed at the front, as the column beside the page does on a screen.
CONTENTS = """() => {
  const list = document.createElement('ul');
  document.querySelectorAll('span[id^="document-"]').forEach(place => {
    const heading = place.nextElementSibling?.querySelector('h1, h2, h3');
    if (!heading) return;
    const link = Object.assign(document.createElement('a'), { href: '#' + place.id });
    link.textContent = heading.textContent.replace(/#$/, '');
    list.append(Object.assign(document.createElement('li')));
    list.lastChild.append(link);
  });
  const contents = Object.assign(document.createElement('nav'), { className: 'contents-in-print' });
  contents.append(Object.assign(document.createElement('h2'), { textContent: 'Contents' }), list);
  document.querySelector('span[id^="document-"]').before(contents);
  document.querySelectorAll('details.hide, dd > details').forEach(fold => { fold.open = true; });
  document.querySelectorAll('img[loading=lazy]').forEach(image => { image.loading = 'eager'; });
}"""
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
        write_atomically(path, _printed(browser, site))
    return path


def _printed(browser: str, site: Path) -> bytes:
    from playwright.sync_api import Error, sync_playwright

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            sandbox = [] if os.getuid() else ["--no-sandbox"]  # Chromium refuses one to root
            page = playwright.chromium.launch(executable_path=browser, args=sandbox).new_page()
            page.set_default_timeout(MINUTES * 60_000)
            page.goto(f"http://127.0.0.1:{server.server_port}/edition.html", wait_until="load")
            page.evaluate("window.MathJax?.startup?.promise")  # waits until all formulas are set
            page.evaluate(CONTENTS)
            page.wait_for_load_state("networkidle")
            return page.pdf(
                format="A4",
                scale=0.75,
                print_background=True,
                outline=True,
                tagged=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=NUMBER,
                margin={"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
            )
    except Error as error:
        raise NotebookError(f"the browser did not print the book: {error.message.splitlines()[0]}") from None
    finally:
        server.shutdown()


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
