"""The README's table of results: put between its marks, and that of today."""

from pathlib import Path

import pytest
from factories import paper_run

from gclib import ROOT, records, tables
from gclib.errors import UserError
from gclib.notebook import readme


def test_the_readme_takes_the_table_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nyesterday\n{readme.END}\nafter\n", encoding="utf-8")
    record = paper_run("ce")
    records.save(record, records.results_path(record, tmp_path / "results"))
    readme.refresh(path, tmp_path / "results")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{readme.BEGIN}\n| recipe |")
    assert text.endswith(f"\n{readme.END}\nafter\n")
    assert "yesterday" not in text
    assert "(results/paper/cifar10-ir100/ce/seed0.json)" in text
    readme.refresh(path, tmp_path / "results")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "content", ["", readme.BEGIN, f"{readme.END}{readme.BEGIN}", 2 * (readme.BEGIN + readme.END)]
)
def test_a_readme_without_a_place_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="no place for the results"):
        readme.refresh(path, tmp_path)
    assert path.read_text(encoding="utf-8") == content


def test_the_readme_shows_the_records_of_today() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.split(readme.BEGIN)[1].split(readme.END)[0].strip()
    assert shown == tables.readme_table(ROOT / "results"), (
        "python -m gclib.notebook.readme brings it up to date"
    )
