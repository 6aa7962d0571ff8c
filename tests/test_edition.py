"""The book on paper: it needs a browser, and says so; printed, it holds every chapter."""

import re
import shutil
from pathlib import Path

import pytest
from toc import PAGES

from gclib.errors import UserError
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


@pytest.mark.soak
def test_the_edition_holds_every_chapter(chromium: str, tmp_path: Path) -> None:
    content = edition.print_edition(tmp_path / "book.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 150
    chapters = [name for name in PAGES if name != "book/welcome"]
    named = [name for name in chapters if f"document-{name}".replace("/", "#2F").encode() in content]
    assert named == chapters
