"""The book as built: nothing from elsewhere, the paper's equation numbers, links once it has an address."""

import functools
import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from toc import NOTEBOOKS, PAGES, ROOT

import gclib.notebook
from gclib import records
from gclib.notebook import installation

ADDRESS = "https://github.com/someone/companion"
RECORDS = {
    path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "results").glob("**/seed*.json")
}


@functools.cache
def html_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder).with_suffix("")): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.html")
        if "_static" not in path.parts
    }


# Extensions whose pages, directives and roles stand in none of the pages that are left below.
LEFT_OUT = {"sphinx.ext.autodoc", "sphinx.ext.viewcode", "evidence", "faces", "found", "measured", "status"}


def bare(path: Path) -> str:
    """Return the source of a page without what is the same with and without an address."""
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        code = next(cell for cell in notebook.cells if cell.cell_type == "code")
        code.outputs = []
        notebook.cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}", id="title"), code]
        return nbformat.writes(notebook)
    named = re.findall(r"\{test\}`[^`]+`", path.read_text(encoding="utf-8"))
    return "\n\n".join([f"# {path.stem}", *named])


@pytest.fixture(scope="module")
def published(once: Callable) -> dict[str, str]:
    """Bare pages of a book with a public address, and with an equation and a reference to it."""

    def build(folder: Path) -> None:
        copy = folder / "checkout"
        for name in PAGES:
            (source,) = ROOT.glob(f"{name}.[im]*")
            page = copy / source.relative_to(ROOT)
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(bare(source), encoding="utf-8")
        for name in ("_ext", "_static"):
            shutil.copytree(ROOT / "book" / name, copy / "book" / name)
        shutil.copy(ROOT / "book" / "references.bib", copy / "book")
        shutil.copy(ROOT / "_toc.yml", copy)
        config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        config["repository"]["url"] = ADDRESS
        switched_on = config["sphinx"]["config"]["extensions"]
        config["sphinx"]["config"]["extensions"] = [name for name in switched_on if name not in LEFT_OUT]
        (copy / "_config.yml").write_text(yaml.safe_dump(config))
        with (copy / "book" / "rerun.md").open("a") as page:
            page.write("\n\n$$x = 1$$ (eq-99b)\n\nAs in {eq}`eq-99b`.\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gclib.notebook.book.ROOT", copy)
            patch.setattr("gclib.notebook.installation.ROOT", copy)
            for path in (copy / "notebooks").glob("*.ipynb"):  # as a refresh would
                nbformat.write(installation.update(nbformat.read(path, as_version=4)), path)
            gclib.notebook.build(folder)

    return html_files(once("published", build) / "_build" / "html")


def test_the_book_holds_its_pages_and_nothing_else_of_the_checkout(book: Path) -> None:
    built = {name for name in html_files(book) if not name.startswith("_modules/")}
    assert built == {*PAGES, *RECORDS, "index", "genindex", "py-modindex", "search"}


def test_every_notebook_is_in_the_book() -> None:
    assert {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if "add-your" not in name])
def test_code_that_interrupts_the_reader_is_folded(name: str) -> None:
    """Long cells, imports, and the descriptions of interactive figures; where code is the subject it stays open."""
    for cell in nbformat.read(ROOT / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and not {"parameters", "hide-input", "hide-cell", "remove-cell"} & set(
            cell.metadata.get("tags", [])
        ):
            assert len(cell.source.splitlines()) <= 12, cell.source
            assert "show_plotly(" not in cell.source
            assert "style.use()" not in cell.source
            guards = re.search(r"^(if .*|else|try):", cell.source, re.MULTILINE)
            assert not guards, f"{guards}: a page shows what it does, not what it would else do"


def test_pages_load_nothing_from_elsewhere(book: Path) -> None:
    loads = re.compile(
        r"<(?:(?:script|img|iframe|source|video)\b[^>]*\bsrc"
        r'|link\b(?=[^>]*\brel="(?:stylesheet|preload|icon)")[^>]*\bhref)="((?:https?:)?//[^"]*)"'
    )
    for name, text in html_files(book).items():
        assert loads.findall(text) == [], name


def test_every_record_has_a_page_that_leads_to_it_and_says_how_to_make_it(book: Path) -> None:
    assert RECORDS
    for name in RECORDS:
        record, text = records.load(ROOT / f"{name}.json"), (book / f"{name}.html").read_text()
        assert f'href="{name.rpartition("/")[2]}.json"' in text
        assert (book / f"{name}.json").read_bytes() == (ROOT / f"{name}.json").read_bytes()
        shown = (f"{record.clean.top1:.2f}", record.identity, html.escape(records.again(record)))
        assert [part for part in shown if part not in text] == [], name
        assert text.count('<svg role="img"') >= 1 + 2 * any(run.course.loss for run in record.stages)


def test_links_to_records_lead_to_their_pages(book: Path) -> None:
    found = 0
    for name, text in html_files(book).items():
        for target in re.findall(r'href="(?:\.\./)+(results/[^"#]+)"', text):
            assert target.removesuffix(".html") in RECORDS, (name, target)
            found += name.startswith("notebooks/")
    assert found > 40
    listed = (book / "book" / "every-record.html").read_text()
    assert [name for name in RECORDS if f'href="../{name}.html"' not in listed] == []


def test_a_record_names_its_neighbours(book: Path) -> None:
    folder = "results/paper/cifar10-ir100"
    for name, what, other in (
        ("ce/seed0", "other seeds", "ce/seed1"),
        ("gcl-official-cben/seed0", "the same stage one", "gcl-official-lws/seed0"),
    ):
        text = (book / folder / f"{name}.html").read_text()
        (links,) = re.findall(rf"<dt>{what}</dt><dd>(.*?)</dd>", text)
        assert f'{folder}/{other}.html"' in links


def test_sections_that_moved_have_a_place_to_land_on(book: Path) -> None:
    pages = {name: set(re.findall(r'id="([^"]+)"', text)) for name, text in html_files(book).items()}
    script = (ROOT / "book" / "_static" / "moved.js").read_text(encoding="utf-8")
    tables = re.findall(r"^    '([\w/-]+)': \{(.*?)\},?$", script, re.DOTALL | re.MULTILINE)
    moves = [
        (page, *move) for page, table in tables for move in re.findall(r"'([\w-]+)':\s+'([^']+)'", table)
    ]
    assert len(moves) > 40
    for page, old, new in moves:
        other, _, section = new.partition("#") if "/" in new else (page, "", new)
        assert other in pages, new
        assert not section or section in pages[other], new
        assert old not in pages[page], f"{page}#{old} is there: nothing leads away from it"


def test_marks_of_what_a_test_checks_lead_to_its_name(book: Path) -> None:
    pages = html_files(book)
    marks = {
        target for text in pages.values() for target in re.findall(r'equations\.html#(test-[\w-]+)"', text)
    }
    assert len(marks) > 20
    assert all(f'id="{target}"' in pages["book/equations"] for target in marks)
    assert not [
        name
        for name in PAGES
        if name != "book/equations" and ".py::test_" in re.sub(r"<[^>]*>", "", pages[name])
    ]


def test_no_button_needs_an_address_while_there_is_none(book: Path) -> None:
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    for name, text in html_files(book).items():
        assert address or not re.search(r"colab\.research|mybinder|btn-source-\w+-button", text), name


def test_what_belongs_together_in_a_line_stays_together(book: Path) -> None:
    for name in PAGES:
        text = (book / f"{name}.html").read_text(encoding="utf-8")
        assert not re.search(r'(?<!unbroken">)<span class="math[^"]*">[^<]*</span>[.,;:!?)]', text), name
        assert not re.search(r'\s<a class="checked', text), name


def test_what_is_folded_below_code_is_not_called_code(book: Path) -> None:
    named = re.compile(r'hide below-input">\s*<summary[^>]*>\s*<p[^>]*>([^<]*)</p>')
    names = [
        name
        for page in NOTEBOOKS
        for name in named.findall((book / f"{page}.html").read_text(encoding="utf-8"))
    ]
    assert len(names) > 8
    assert "Show the code" not in names


def test_the_picture_of_the_front_page_has_a_form_for_a_phone(book: Path) -> None:
    text = (book / "book" / "welcome.html").read_text(encoding="utf-8")
    narrow, wide = re.findall(r'src(?:set)?="(data:image/svg[^"]*)"', text)
    assert narrow != wide
    assert '<picture><source media="(max-width: 600px)"' in text


def test_every_module_is_on_an_api_page() -> None:
    modules = {path.stem for path in (ROOT / "gclib").glob("[a-z]*.py")}
    modules |= {path.parent.name for path in (ROOT / "gclib").glob("*/__init__.py")}
    text = "".join(path.read_text() for path in (ROOT / "book" / "api").glob("*.md"))
    commands = {"cli"}
    assert set(re.findall(r"automodule:: gclib\.(\w+)$", text, re.MULTILINE)) == modules - commands


def test_api_pages_show_constructors_and_each_attribute(book: Path) -> None:
    pages = {name: text for name, text in html_files(book).items() if name.startswith("book/api/")}
    (loss,) = re.findall(r'id="gclib\.losses\.GCLLoss">.*?</dt>', pages["book/api/losses"], re.DOTALL)
    assert all(name in loss for name in ("class_counts", "noise_std", "focal_gamma"))
    assert not [name for name, text in pages.items() if '<span class="pre">kwargs</span>' in text]
    assert all(f"<strong>{name}</strong>" in pages["book/api/data"] for name in ("train", "test"))


def test_api_pages_say_nothing_of_the_building_machine_and_no_sentence_twice(book: Path) -> None:
    text = "".join(text for name, text in html_files(book).items() if name.startswith("book/api/"))
    assert "PosixPath" not in text  # defaults are shown as written
    assert "Alias for field number" not in text
    assert "model_config" not in text
    assert not re.search(
        r'">Type<span class="colon">', text
    )  # napoleon takes what stands before a colon for one
    assert "upperalpha" not in text  # a sentence that is "C." alone is read as the third item of a list


def test_equations_have_the_numbers_of_the_paper(book: Path, published: dict[str, str]) -> None:
    shown = [
        pair
        for text in [*html_files(book).values(), published["book/rerun"]]
        for pair in re.findall(r'id="equation-eq-(\w+)">\s*<span class="eqno">\((\w+)\)?', text)
    ]
    assert ("1", "1") in shown
    assert ("99b", "99b") in shown
    assert all(label == number for label, number in shown)
    assert re.search(r'href="#equation-eq-99b">\(99b\)</a>', published["book/rerun"])


def test_links_to_source_lead_to_code_that_is_in_the_book(book: Path) -> None:
    pages = html_files(book)
    links = re.findall(r'href="\.\./(_modules/[\w/]+)\.html#(\w+)">source</a>', pages["book/equations"])
    assert len(links) >= 14
    assert all(f'id="{name}"' in pages[module] for module, name in links)


def test_names_of_tests_are_links_to_their_lines_once_there_is_an_address(
    book: Path, published: dict[str, str]
) -> None:
    named = (ROOT / "book" / "equations.md").read_text().count("{test}`")
    link = rf'href="{ADDRESS}/blob/main/(tests/\w+\.py)#L(\d+)"'
    links = re.findall(link, published["book/equations"])
    assert len(links) == named > 14
    for path, line in links:
        assert (ROOT / path).read_text().splitlines()[int(line) - 1].startswith("def test_")
    assert html_files(book)["book/equations"].count(">tests/test_") == named
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    assert address or "/blob/" not in html_files(book)["book/equations"]


def test_with_an_address_repository_and_edit_links_lead_to_files_that_exist(
    published: dict[str, str],
) -> None:
    for name in PAGES:
        targets = re.findall(rf'href="{ADDRESS}/(?:edit|blob|tree)/main/([^"?#]+)', published[name])
        assert f'href="{ADDRESS}"' in published[name]
        assert targets, name
        assert all((ROOT / target).is_file() for target in targets), (name, targets)


def test_with_an_address_notebooks_launch_elsewhere(published: dict[str, str]) -> None:
    assert NOTEBOOKS
    for name in NOTEBOOKS:
        for prefix in (
            "https://colab.research.google.com/github/someone/companion/blob/main/",
            "https://mybinder.org/v2/gh/someone/companion/main?urlpath=lab/tree/",
        ):
            assert f'href="{prefix}{name}.ipynb"' in published[name]


def test_with_an_address_the_installation_is_in_the_notebooks_but_not_on_the_pages(
    published: dict[str, str], once: Callable
) -> None:
    for name in NOTEBOOKS:
        (source,) = once("published", lambda folder: None).rglob(f"checkout/{name}.ipynb")
        assert f'address = \\"{ADDRESS}\\"' in source.read_text()
        assert "gcl-companion" not in published[name]
