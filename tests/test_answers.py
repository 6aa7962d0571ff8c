"""The front page: its words hold for the records that there are, and its numbers come from them."""

import importlib
import re
from statistics import mean, stdev

import pytest

from gclib import ROOT, records
from gclib.grid.budget import FINDINGS
from gclib.records import RunRecord
from gclib.tables import answers, choices_table
from gclib.tables.answers import Evidence
from gclib.tables.claims import Finding
from gclib.tables.intervals import LEVEL
from gclib.tables.rows import by_recipe


@pytest.fixture(scope="module")
def runs() -> list[RunRecord]:
    return records.find(ROOT / "results", repeats=True)


def test_a_grid_with_little_time_runs_first_what_the_front_page_compares(
    runs: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    class Groups(dict[str, list[RunRecord]]):
        def get(self, name: str, default: object = None) -> list[RunRecord]:  # type: ignore[override]
            asked.add(name)
            return super().get(name, [])

    compared = Evidence.compared

    def watched(self: Evidence, *of: str, **further: bool) -> Finding:
        found = compared(self, *of, **further)
        asked.update((found.comparison.ahead, found.comparison.behind))
        return found

    module = importlib.import_module("gclib.tables.answers")  # the package has a function of that name
    monkeypatch.setattr(module, "by_recipe", lambda runs: Groups(by_recipe(runs)))
    monkeypatch.setattr(Evidence, "compared", watched)
    answers(runs)
    choices_table(runs)
    assert asked == FINDINGS


def number(text: str) -> float:
    return float(text.split(" ")[0].replace("−", "-"))


def test_what_the_answers_say_in_words_holds_for_the_records(runs: list[RunRecord]) -> None:
    of = Evidence(runs)
    code, text = of.printed("gcl-official-cben"), of.printed("gcl-paper")
    wide = of.printed("gcl-official-cben", "cifar100")
    for said in (code, text, wide):  # "cannot be told apart from ours on CIFAR-10-LT"
        difference, half = (number(part) for part in said.split(" ± "))
        assert abs(difference) < half
    difference, half = map(number, of.printed("gcl-paper", "cifar100").split(" ± "))
    assert difference < -half  # "in one run, we end lower"
    assert len(of.groups["cifar100"]["gcl-paper"]) == 1
    difference, half = map(number, of.printed("gcl-paper-cross-entropy").split(" ± "))
    assert difference < -half  # "Cross-entropy in its place ends lower on CIFAR-10-LT"
    behind = {of.behind(each): each.gap for each in (of.compared("cloud", "gcl-official-mean"),)}
    assert all(text.startswith(str(len(gap.singles))) or len(gap.singles) < 2 for text, gap in behind.items())
    assert of.compared("cloud", "gcl-official-mean").verdict != "supported"  # "not on CIFAR-10-LT"
    wide = of.compared("cloud", "gcl-official-mean", "cifar100")
    assert (wide.verdict, len(wide.gap.singles)) == ("supported", 1)  # "by one pair of runs"
    (control,) = of.groups["cifar100"]["gcl-official-mean"]
    assert (
        control.clean.top1 < control.stages[0].last.top1 - 1
    )  # "stage two makes the run with the fixed shift worse"
    assert of.compared("cloud", "gcl-official-mean", "cifar100", True).gap.difference < 0
    assert abs(wide.paper_style) < wide.interval.half  # level at the best epochs, as the front page says
    sources = of.compared("sources", "gcl-paper")
    assert 0.04 < sources.corrected < LEVEL  # "narrowly"
    one = of.compared("unified-one", "logit-adjustment-unified", stage_one=True)
    assert one.verdict == "contradicted"  # "No"
    assert of.compared(
        "unified", "logit-adjustment-unified"
    ).interval.crosses_zero  # "within what chance moves"
    assert number(of.traded("few")) > 0 > number(of.traded("many"))  # "a trade"
    lead = of.compared("settings", "gcl-official-cben").interval
    over = of.compared("unified", "ldam-drw-unified").interval
    assert lead is not None
    assert over is not None
    assert abs(lead.difference) > over.difference  # "more than its lead over LDAM-DRW"
    plain = of.compared("unified", "ce-unified").interval
    assert plain is not None
    assert (
        abs(abs(lead.difference) - plain.difference) < plain.half
    )  # "about as much as that over cross-entropy"


def test_each_answer_has_a_number_a_verdict_and_a_page(runs: list[RunRecord]) -> None:
    found = answers(runs)
    assert len(found) == 6
    for each in found:
        assert re.search(r"\d\.\d", each.answer), each.question
        assert each.verdict
        assert (ROOT / "notebooks" / each.page.partition("#")[0]).exists()


def test_without_records_nothing_is_claimed_to_be_measured() -> None:
    assert Evidence([]).value("ce", [0]) == Evidence([]).printed("ce") == "not measured yet"
    assert Evidence([]).traded("few") == "not measured yet"


def test_class_means_are_advised_first_only_while_gcl_is_not_seen_ahead(runs: list[RunRecord]) -> None:
    found = Evidence(runs).ahead_of("ce-mixup-ncm")
    assert found is not None
    assert found.crosses_zero
    ours, means = (
        {r.seed: r.clean.top1 for r in Evidence(runs).groups["cifar10"][name]}
        for name in ("gcl-official-cben", "ce-mixup-ncm")
    )
    both = ours.keys() & means.keys()
    assert found.difference == pytest.approx(sum(ours[k] - means[k] for k in both) / len(both))
    assert "class means undecided" in str(choices_table(runs).rows[0])


def test_what_is_said_of_calibration_without_an_interval_holds(runs: list[RunRecord]) -> None:
    groups = Evidence(runs).groups["cifar10"]
    errors = {
        name: [100 * run.clean.ece for run in groups[name]] for name in ("ce", "mislas", "gcl-official-cben")
    }
    plain = errors.pop("ce")
    for better in errors.values():  # "far beyond the spread over seeds"
        assert len(better) == len(plain) == 3
        assert mean(plain) - mean(better) > 10 * max(stdev(plain), stdev(better))


def test_each_situation_names_the_records_behind_it(runs: list[RunRecord]) -> None:
    table = choices_table(runs)
    assert "GCL, mean in place of the cloud, CIFAR-100" in str(table.rows[-1][-1])
    assert len(table.rows) == 6
    assert all(row[-1] for row in table.rows)
    assert "seed0.json" in table.to_html()
