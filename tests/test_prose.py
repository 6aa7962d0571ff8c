"""Prose with numbers: those of our runs come from records, those of others have a source."""

import re
from pathlib import Path
from statistics import mean

import nbformat
import pytest
from toc import NOTEBOOKS, ROOT

from gclib import paper, records

QUESTIONS, TODAY = (
    (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8") for name in ("questions", "today")
)


def test_accuracies_of_runs_in_prose_are_those_of_the_records(book: Path) -> None:
    text = (book / "book" / "questions.html").read_text(encoding="utf-8")
    named = re.findall(r"\{top1\}`([\w-]+)( best)?( stage-one)?`", QUESTIONS)
    assert len(named) > 8
    for name, best, stage_one in named:
        runs = records.find(ROOT / "results", scale="paper", dataset="cifar10", ratio=100.0, recipe=name)
        checkpoints = [
            (run.stages[0].last if stage_one else run.paper_style if best else run.clean).top1 for run in runs
        ]
        assert re.search(rf'/{name}/seed\d\.html">{mean(checkpoints):.2f}</a>', text), name


def test_a_difference_in_prose_is_the_first_less_the_second(book: Path) -> None:
    text = (book / "book" / "questions.html").read_text(encoding="utf-8")
    first, second = (
        {
            run.seed: run.stages[0].last.top1
            for run in records.find(
                ROOT / "results", scale="paper", dataset="cifar10", ratio=100.0, recipe=name
            )
        }
        for name in ("gcl-unified", "logit-adjustment-unified")
    )
    pairs = [first[seed] - second[seed] for seed in first.keys() & second.keys()]
    assert f">{mean(pairs):+.2f}</a>".replace("-", "−") in text


@pytest.mark.parametrize("name", ["answers", "claims", "results_pages", "short_runs"])
def test_what_a_test_quotes_stands_on_a_page(name: str) -> None:
    """These tests hold sentences to the records; here the sentences are held to stand where they stood."""
    said = " ".join(
        cell.source for page in NOTEBOOKS for cell in nbformat.read(ROOT / f"{page}.ipynb", 4).cells
    )
    code = (ROOT / "gclib" / "tables" / "answers.py").read_text(encoding="utf-8")
    joined = re.sub(r'"\s*f?"', "", code)  # a sentence over several lines of code
    said = " ".join(f"{said} {joined}".split()).lower()
    comments = re.findall(r"#(.*)", (ROOT / "tests" / f"test_{name}.py").read_text(encoding="utf-8"))
    quotes = [quote for line in comments for quote in re.findall(r'"([^"]{8,})"', line)]
    assert len(quotes) > 5
    assert [quote for quote in quotes if quote.lower() not in said] == []


def test_no_accuracy_of_a_run_is_typed() -> None:
    for text in (QUESTIONS, TODAY):
        assert re.findall(r"\b\d\d\.\d\d\b", re.sub(r"`[^`]*`", "", text)) == []


def test_every_number_of_another_method_says_where_it_was_read(book: Path) -> None:
    rows = [row for row in TODAY.splitlines() if re.search(r"^\|.*\d", row) and "| read in |" not in row]
    assert len(rows) > 15
    for row in rows:
        source = row.split("|")[-2]
        assert re.search(r"\]\(https://|the same|the paper", source), row
    printed = f"{paper.accuracy(2, 'GCL', 'imagenet-lt', 256):.2f}"
    assert printed in (book / "book" / "today.html").read_text(encoding="utf-8")
