"""Every page of the book in headless Chromium, offline: nothing missing, raw, clipped or too wide."""

import functools
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import access
import pytest
from pypdf import PdfReader
from toc import NOTEBOOKS, PAGES, ROOT

WIDE, NARROW = (1280, 900), (390, 844)
LONGEST = 12_000  # pixels of a page at the wide size
EXTRA = ["genindex", "search", "results/paper/cifar10-ir100/gcl-official-cben/seed0"]
TWO = [PAGES[0], next(iter(NOTEBOOKS), "book/api/losses")]  # a page of prose and one with all the rest
LOOKS = [
    pytest.param(name, size, theme, id=f"{name}-{size[0]}-{theme}", marks=() if soon else pytest.mark.soak)
    for name in [*PAGES, *EXTRA]
    for size in (WIDE, NARROW)
    for theme in ("light", "dark")
    for soon in [name in TWO or (size, theme) == (WIDE, "light")]
]


@dataclass
class Visit:
    """A page as it came up, with everything that went wrong on the way."""

    page: object
    faults: list[str] = field(default_factory=list)
    here: str = ""  # how addresses of the book begin
    height: int = 0  # with everything folded


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and axe-core beside it, without a line for each request; nothing is asked for twice."""

    def translate_path(self, path: str) -> str:
        return str(access.SOURCE) if path == access.AXE else super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(book: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A page lives for a second: compiling it in threads beside the first costs more than it saves.
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--js-flags=--single-threaded",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(browser: object) -> Callable[[str], Visit]:
    """Pages of one theme come up in one window: what they have loaded and compiled takes a third off a page."""

    @functools.cache
    def make(theme: str) -> Visit:
        context = browser.new_context(color_scheme=theme, reduced_motion="reduce")
        context.set_default_timeout(20_000)
        context.add_init_script(
            f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        )
        page = context.new_page()
        visit = Visit(page)

        def note(request: object) -> None:
            if not request.url.startswith(("data:", "blob:", visit.here)):
                visit.faults.append(f"asked another host: {request.url}")

        page.on("request", note)
        page.on("console", lambda m: m.type == "error" and visit.faults.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: visit.faults.append(f"script: {error}"))
        # A page that is left gives up what it still asks for, and the next one hears of it.
        given_up = "net::ERR_ABORTED"
        page.on(
            "requestfailed",
            lambda r: r.failure != given_up and visit.faults.append(f"failed: {r.url}, {r.failure}"),
        )
        page.on("response", lambda r: r.status >= 400 and visit.faults.append(f"{r.status}: {r.url}"))
        return visit

    return make


@pytest.fixture
def visit(window: Callable) -> Callable[..., Visit]:
    def open_page(url: str, size: tuple[int, int] = WIDE, theme: str = "light") -> Visit:
        visit = window(theme)
        visit.here, page = "/".join(url.split("/")[:3]) + "/", visit.page
        if (
            page.url.partition("#")[0] == url.partition("#")[0]
        ):  # a step to a section of the same page loads nothing
            page.goto("about:blank")
        visit.faults.clear()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.goto(url, wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")  # waits until all formulas are set
        page.evaluate(LOAD)
        page.wait_for_function("[...document.images].every(image => image.complete)")
        visit.height = page.evaluate("document.scrollingElement.scrollHeight")
        page.evaluate(UNFOLD)
        page.wait_for_function("[...document.images].every(image => image.complete)")
        return visit

    return open_page


LOAD = "document.querySelectorAll('img[loading=lazy]').forEach(image => image.loading = 'eager')"
UNFOLD = """() => { // what a reader can open must hold as well
  document.querySelectorAll('details').forEach(details => details.open = true);
  document.querySelectorAll('.toggle-hidden').forEach(box => box.classList.remove('toggle-hidden'));
}"""

LOOK = r"""async () => {
  // Whoever watches sizes has then been told.
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const RAW_TEX = /\\\(|\\\[|\$\$|\\(begin|frac|theta|delta|log|exp|mathrm|text)\b/g;
  const article = document.querySelector('article, main') || document.body;
  const text = [];
  const walk = node => {
    if (node.nodeType === Node.TEXT_NODE) text.push(node.textContent);
    else if (!/^(CODE|PRE|SCRIPT|STYLE|MJX-CONTAINER)$/i.test(node.nodeName)) node.childNodes.forEach(walk);
  };
  walk(article);
  const shown = element => element.getClientRects().length > 0;
  const clipped = formula => { // a box around it hides a part of one of its signs
    const signs = [...formula.querySelectorAll('mjx-c')].map(sign => sign.getBoundingClientRect());
    const top = Math.min(...signs.map(s => s.top)), bottom = Math.max(...signs.map(s => s.bottom));
    for (let box = formula; box !== article; box = box.parentElement) {
      const edge = box.getBoundingClientRect();
      const hides = getComputedStyle(box).overflowY !== 'visible';
      if (hides && (top < edge.top - 1 || bottom > edge.bottom + 1)) return true;
    }
    return false;
  };
  const images = [...article.querySelectorAll('img')].filter(shown);
  const plots = [...article.querySelectorAll('.plotly-graph-div')];
  return {
    math: article.querySelectorAll('.math').length,
    rendered: article.querySelectorAll('mjx-container').length,
    errors: article.querySelectorAll('mjx-merror, [data-mjx-error]').length,
    raw: text.join(' ').match(RAW_TEX) || [],
    clipped: [...article.querySelectorAll('mjx-container')].filter(shown).filter(clipped).length,
    empty: images.filter(i => !i.naturalWidth).map(i => i.src),
    mute: images.filter(i => !i.alt || /\.(png|svg|jpe?g)$/.test(i.alt)).map(i => i.src),
    misfit: plots.filter(p => [...p.querySelectorAll('svg.main-svg')].some(drawing => {
      const room = p.getBoundingClientRect(), size = drawing.getBoundingClientRect();
      return Math.abs(size.width - room.width) > 1 || Math.abs(size.height - room.height) > 1;
    })).map(p => p.id),
    untold: [...article.querySelectorAll('g.slider-group')].filter(s => s.getAttribute('role') !== 'slider').length,
    abrupt: [...document.querySelectorAll('.bd-article *')]
      .filter(box => getComputedStyle(box).overflowX === 'auto' && box.scrollWidth - box.clientWidth > 4)
      .filter(box => getComputedStyle(box).maskImage === 'none').map(box => box.outerHTML.slice(0, 80)),
    cramped: [...article.querySelectorAll('table')].filter(shown)
      .filter(t => innerWidth <= 600 && t.querySelector('thead th:nth-child(3)') && t.scrollWidth > t.clientWidth + 4)
      .filter(t => [...t.querySelectorAll('td')].some(c => !c.querySelector('details') && c.textContent.length > 40))
      .map(t => t.textContent.slice(0, 80)),
    crowded: plots.flatMap(plot => {
      const names = [...plot.querySelectorAll('.textpoint text')].map(n => [n.textContent, n.getBoundingClientRect()]);
      const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
      return names.flatMap(([name, box], at) =>
        names.slice(at + 1).filter(other => over(box, other[1])).map(other => `${name} on ${other[0]}`));
    }),
    undrawn: plots.filter(p => !p.querySelector('svg.main-svg, canvas')).map(p => p.id),
    excess: document.scrollingElement.scrollWidth - window.innerWidth,
    theme: document.documentElement.dataset.theme,
  };
}"""


def look(page: object) -> dict[str, object]:
    if page.query_selector(".plotly-graph-div"):
        page.wait_for_timeout(300)  # plotly answers a change of size after a tenth of a second
    return page.evaluate(LOOK)


def check(visit: Visit, theme: str) -> None:
    seen = look(visit.page)
    assert not visit.faults
    assert seen["rendered"] == seen["math"]
    assert seen["errors"] == 0, "MathJax marks faulty TeX"
    assert seen["raw"] == [], "TeX stands in the text"
    assert seen["clipped"] == 0, "equations are cut off above or below"
    assert seen["empty"] == [], "images that did not load"
    assert seen["mute"] == [], "images without a description"
    assert seen["undrawn"] == [], "interactive figures that were not drawn"
    assert seen["crowded"] == [], "names of points in a figure lie on each other"
    assert seen["misfit"] == [], "interactive figures that are larger or smaller than their room"
    assert seen["untold"] == 0, "sliders that do not take the keyboard"
    assert seen["abrupt"] == [], "boxes that scroll sideways and do not show it"
    assert seen["cramped"] == [], "tables of sentences that are wider than a phone"
    assert seen["excess"] <= 0, "the page scrolls sideways"
    assert seen["theme"] == theme


@pytest.fixture(scope="module")
def sight() -> access.Sight:
    return access.Sight()


@pytest.mark.parametrize(("name", "size", "theme"), LOOKS)
def test_page(
    visit: Callable[..., Visit], sight: access.Sight, site: str, name: str, size: tuple[int, int], theme: str
) -> None:
    visited = visit(f"{site}/{name}.html", size, theme)
    check(visited, theme)
    if theme == "light":
        assert sight.wide(visited.page) == []
    if (size, theme) != (WIDE, "light"):
        return
    assert visited.height <= LONGEST, "the page is too long: fold what is aside, or move it"
    # Seen on a phone from here, it need not be loaded again; panels go below each other, and come back.
    for other in (NARROW, WIDE) if visited.page.query_selector(".plotly-graph-div") else (NARROW,):
        visited.page.set_viewport_size({"width": other[0], "height": other[1]})
        seen = look(visited.page)
        assert seen["misfit"] == seen["crowded"] == [], f"at {other[0]} pixels"
        if other == NARROW:
            assert sight.again(visited.page) == []


def test_page_opened_as_a_file(visit: object, book: Path) -> None:
    visited = visit((book / f"{TWO[1]}.html").as_uri())
    # From a file Chromium refuses to preload the icon fonts (the icons are drawn without them), with a
    # message on the console. What is asked of other hosts counts, and what the page shows.
    visited.faults = [fault for fault in visited.faults if fault.startswith("asked")]
    check(visited, "light")


def test_an_address_of_a_section_that_moved_lands_where_it_is_now(visit: object, site: str) -> None:
    moves = (
        ("notebooks/results", "calibration", "notebooks/calibration.html#can-i-trust-its-probabilities"),
        (
            "book/api/training",
            "gclib.embeddings.make",
            "book/api/networks-trained.html#gclib.embeddings.make",
        ),
    )
    for page, old, new in moves:
        visit(f"{site}/{page}.html#{old}").page.wait_for_url(f"{site}/{new}")


def test_what_is_folded_is_printed_open(visit: object, site: str) -> None:
    page = visit(f"{site}/notebooks/table1.html").page
    folds = ".bd-article details.hide.below-input"
    page.evaluate(f"document.querySelectorAll('{folds}').forEach(fold => {{ fold.open = false; }})")
    sheets = PdfReader(io.BytesIO(page.pdf())).pages
    printed = " ".join(" ".join(sheet.extract_text() for sheet in sheets).split())
    assert "LDAM-DRW, one protocol" in printed  # in a table that is folded, and nowhere else
    opened = page.evaluate(f"[...document.querySelectorAll('{folds}')].map(fold => fold.open)")
    assert opened
    assert not any(opened)  # as they were


# What people ask long-tailed repositories for, and the page that answers it.
SEARCHES = {
    "should I use GCL": "book/welcome",
    "own data": "notebooks/add-your-data",
    "loss in my code": "notebooks/your-model",
    "noise mean": "notebooks/noise",
    "mixup": "notebooks/text-and-code",
    "CIFAR-100": "notebooks/table1",
    "many medium few": "notebooks/long-tail",
    "CBEN": "notebooks/rebalancing",
    "learning rate stage two": "notebooks/text-and-code",
    "GPU": "notebooks/training",
    "seeds": "notebooks/claims",
    "calibration": "notebooks/calibration",
}
HITS = """query => { // what the page of results does with the query in its address
  history.replaceState(null, '', '?q=' + encodeURIComponent(query));
  return Search._performSearch(...Search._parseQuery(query)).reverse().map(hit => hit[0]);
}"""


def test_searches_find_the_page_that_is_meant_and_the_api_last(visit: object, site: str) -> None:
    visited = visit(f"{site}/search.html?q=seeds")
    shown = visited.page.locator("#search-results li a")
    shown.first.wait_for()
    assert SEARCHES["seeds"] in shown.first.get_attribute("href")
    assert not visited.faults
    for query, page in SEARCHES.items():
        hits = visited.page.evaluate(HITS, query)
        assert page in hits[:3], query
        from_api = [hit.startswith("book/api") for hit in hits]
        assert from_api == sorted(from_api), f"{query}: objects of the API stand before pages"


def test_interactive_figures_take_the_keyboard(browser: object, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt
    import plotly
    import plotly.graph_objects as go

    from gclib.figures import interactive

    figure = go.Figure([go.Scatter(x=[0, 1])])
    places = {
        name: {f"{k}": {"y": [[k, 10 * k + number]]} for k in range(4)} for number, name in enumerate("ab")
    }
    interactive.add_sliders(figure, places, {"a": 1, "b": 2})
    page = interactive.show_plotly(figure, "plot", "a line", plt.figure()).bundle["text/html"]
    plotly_js = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    page = page.replace(interactive.PLOTLY_JS, plotly_js.as_uri())
    script = (ROOT / "book" / "_static" / "plots.js").as_uri()
    (tmp_path / "page.html").write_text(f'<script src="{script}"></script>{page}')
    view = browser.new_page()
    faults: list[str] = []
    view.on("pageerror", lambda error: faults.append(str(error)))
    view.set_default_timeout(60_000)
    view.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    slider = view.get_by_role("slider")

    def press(key: str) -> list[int]:
        view.keyboard.press(key)
        view.wait_for_timeout(200)
        return view.evaluate("[...document.getElementById('plot').data[0].y]")

    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "1"
    assert press("ArrowRight") == [2, 20]
    assert press("End") == press("ArrowRight") == [3, 30]
    assert slider.get_attribute("aria-valuetext") == "3"
    assert press("Home") == [0, 0]
    view.get_by_role("button", name="b", exact=True).focus()
    assert press("Enter") == [2, 21]
    slider.focus()
    assert slider.get_attribute("aria-label") == "b "
    assert press("ArrowLeft") == [1, 11]
    assert not faults
    view.close()
