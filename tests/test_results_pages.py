"""The results pages: no number typed by hand, and right with no record, with some and with all."""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import pytest
from factories import paper_run

from gclib import deviations, recipes, records, tables
from gclib.records import RunRecord

ROOT = Path(__file__).parents[1]
PAGES = ("results", "table1", "noise", "ablations", "text-and-code", "claims", "calibration", "short-runs")
# A decimal, a power of ten, a percentage, or some points: what a record or the paper has to supply.
TYPED = re.compile(r"(?<![\w.])(?:\d+\.\d+|\d+e-?\d+|\d+(?:\s*%|\s+percent|\s+points?\b))")


def cells(page: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(ROOT / "notebooks" / f"{page}.ipynb", as_version=4).cells


@pytest.mark.parametrize("page", PAGES)
def test_no_number_is_typed(page: str) -> None:
    for cell in cells(page):
        found = TYPED.findall(cell.source)
        assert not found, f"{page}, {cell.id}: {found}; print it from a record or from gclib.paper"


def test_no_number_is_typed_in_the_prose_about_embeddings() -> None:
    """Its code trains, with parameters and thresholds; so do its exercises."""
    prose = "\n\n".join(cell.source for cell in cells("embedding") if cell.cell_type == "markdown")
    before, exercises, _ = prose.partition("\n## Exercises\n")
    assert exercises
    assert TYPED.findall(before) == []


@pytest.mark.parametrize("text", ["82.68", "x = 0.5", "1e-5", "2 points", "83 %", "5%", "about 3 percent"])
def test_typed_numbers_are_found(text: str) -> None:
    assert TYPED.search(text)


@pytest.mark.parametrize("text", ["Table 3", 'f"{x:.2f}"', "10_000 images", "Eq. 9", "points", "run.py2.7"])
def test_other_numbers_may_stand(text: str) -> None:
    assert not TYPED.search(text)


NAMES = sorted({row.recipe for rows in tables.ROWS.values() for row in rows})
ALL = [paper_run(name, seed) for name in NAMES for seed in (0, 1)]
SOME = [paper_run(name, 0) for name in ("ce", "gcl-official", "gcl-official-cben", "gcl-official-tau")]


class Page:
    """A page executed in this process: what it printed, the tables it showed, and how many figures it drew."""

    def __init__(self, name: str) -> None:
        self.printed, self.tables, self.figures = "", [], 0
        space = {"display": self.show, "print": self.print}
        for cell in cells(name):
            if cell.cell_type == "code" and cell.id != "check":  # of a kernel alone
                self.execute(cell.source, space)

    def execute(self, source: str, space: dict) -> None:
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), space)
        if last:
            self.show(eval(compile(ast.Expression(last.value), "cell", "eval"), space))
        self.figures += len(plt.get_fignums())
        for number in plt.get_fignums():
            plt.figure(number).draw_without_rendering()  # a label that does not fit would warn
        plt.close("all")

    def show(self, value: object) -> None:
        if isinstance(value, tables.Table):
            self.tables.append(value)
            self.printed += f"{value}\n"

    def print(self, *words: object) -> None:
        self.printed += " ".join(map(str, words)) + "\n"


@pytest.fixture
def records_are(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    def use(runs: list[RunRecord], stale: RunRecord | None = None) -> None:
        monkeypatch.setattr(records, "find", lambda *args, **wanted: runs)
        monkeypatch.setattr(records, "marks", lambda *args: {stale.identity: "stale"} if stale else {})

    with matplotlib.rc_context():
        yield use
    plt.close("all")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("runs", [[], SOME, ALL], ids=["none", "some", "all"])
def test_a_page_is_right_with_any_records(page: str, runs: list[RunRecord], records_are: Callable) -> None:
    records_are(runs, stale=next((record for record in runs if record.name == "gcl-official-cben"), None))
    seen = Page(page)
    missing = {name for name in NAMES if name not in {r.name for r in runs}}
    rows = {"results": [1], "ablations": [3, 4, 5]}.get(page, [])
    for number in rows:
        for row in tables.ROWS[number]:
            asked = f"-p recipe {row.recipe} -p seed 0 --scale paper" in seen.printed
            assert asked or row.recipe not in missing
    if page == "claims":
        assert seen.printed.count("not measured yet") > 0 or not missing
        assert "undecided" in seen.printed.split(tables.RULE)[-1] or runs != ALL
    if page == "table1":  # its closer look is at a data set that these records are not of
        names = {row.recipe for row in tables.ROWS[1] if row.part == "paper"}
        assert f"ratio 100: {len(names - missing):>2} of {len(names)} recipes" in seen.printed
        assert seen.printed.count("not run yet") >= 5 * len(names)
    shown = [run for run in runs if any(run.name == row.recipe for n in rows for row in tables.ROWS[n])]
    for record in shown:
        assert f"{record.name}/seed{record.seed}.json" in seen.printed
        if len(runs) == len(SOME):  # a single seed: its own numbers stand there
            assert f" {record.clean.top1:.2f} " in seen.printed
    if page in ("results", "ablations", "claims"):
        assert ("seed 0 (stale)" in seen.printed) == bool(runs)
    telling = {
        "noise": ("gcl-official-mean", "{}: seed 0, 1"),
        "text-and-code": ("gcl-paper-cross-entropy", "\n| {} | "),
        "calibration": ("ce", "\n| {} | "),
        "short-runs": ("hybrid-sc", "| {} | 8 | "),  # epochs
    }
    if page in telling:
        name, row = telling[page]
        own = any(record.name == name for record in runs)
        assert (row.format(recipes.label(name)) in seen.printed) == own
    if runs == ALL:
        wanted = {"results": 3, "ablations": 1, "noise": 1, "calibration": 2, "table1": 1}.get(page, 0)
        assert seen.figures == wanted


def test_every_figure_of_the_pages_has_a_caption_and_a_description() -> None:
    every = [cell for page in (*PAGES, "embedding") for cell in cells(page) if cell.cell_type == "code"]
    drawing = [cell.metadata["mystnb"] for cell in every if "plt.show()" in cell.source]
    assert len(drawing) > 5
    for said in drawing:
        assert said["figure"]["caption"]
        assert len(said["image"]["alt"]) > 40


@pytest.fixture(scope="module")
def kept() -> dict[str, list[RunRecord]]:
    runs = records.find(ROOT / "results", scale="paper", repeats=True)
    return tables.by_recipe(tables.usable(runs, [1], "cifar10", 100))


def test_what_the_page_of_results_says_in_words_holds(kept: dict[str, list[RunRecord]]) -> None:
    def ahead(own: str, other: str) -> float:
        return tables.gap(
            *({run.seed: run.clean.top1 for run in kept[name]} for name in (own, other))
        ).difference

    twins = {row.recipe: recipes.get(row.recipe).definition.unified for row in tables.ROWS[1]}
    leads = {
        name: (ahead("gcl-official-cben", name), ahead("gcl-unified", twin))
        for name, twin in twins.items()
        if {name, twin} <= kept.keys() and twin != "gcl-unified"
    }
    assert all(
        own > one for own, one in leads.values()
    )  # "lead over every method that has both columns is smaller"
    assert leads["ldam-drw"][1] < leads["ldam-drw"][0] / 2  # "more than half goes"
    shrink = {name: own - one for name, (own, one) in leads.items()}
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    four = 4 * tables.Chance(every).spread("top1").deviation / 3**0.5  # of four runs each, twice their spread
    assert min(shrink, key=shrink.__getitem__) == "ce-mixup-crt"
    assert shrink["ce-mixup-crt"] < four  # "for cRT by less than chance explains"
    falls = {name: -ahead(twins[name], name) for name in leads}
    assert -ahead("gcl-unified", "gcl-official-cben") > max(falls.values())  # "because GCL loses most"
    assert max(falls["ce"], falls["ldam-drw"]) < 1.5  # "change their schedule alone, and lose little"
    below = {name for name, (_, one) in leads.items() if one < 0}
    wide = tables.by_recipe(tables.usable(every, [1], "cifar100", 100))
    between = tables.Chance(every).between(wide["gcl-unified"], wide["ncm-unified"])[1]
    assert between.difference > 0  # "ends below GCL"
    assert between.crosses_zero  # "by less than chance moves"
    assert below == {"ce-mixup-ncm", "mislas"}  # "two simple second stages end above GCL"
    means = {name: mean(run.clean.top1 for run in group) for name, group in kept.items()}
    assert max(means, key=means.__getitem__) == "gcl-official-no-margin"  # "the highest mean of this page"


def test_most_best_epochs_lie_where_every_epoch_is_tested() -> None:
    """So that more tests would hardly move them, as the page on chance says."""
    gains = []
    for run in records.find(ROOT / "results", scale="paper", repeats=True):
        course, test = run.stages[0].course, ([], [])
        for epoch, accuracy in zip(course.test_epochs, course.test_accuracy, strict=True):
            test[epoch > 0.8 * len(course.loss)].append(accuracy)
        if run.name != "ce-every-epoch" and test[0]:
            gains.append((max(test[1]) - max(test[0]), tuple(course.test_accuracy)))
    gaps = sorted(gap for gap, _ in dict.fromkeys(gains))
    assert gaps[0] < 0 < 1.5 < gaps[3]  # "One more of our first stages is like that, and two are near"
    assert max(gaps[1:3]) < 0.2


def singles(ahead: list[RunRecord], behind: list[RunRecord]) -> list[float]:
    """Differences of the runs of one seed."""
    return list(tables.Chance([]).between(ahead, behind)[0].singles.values())


def test_what_the_page_on_text_and_code_says_in_words_holds(kept: dict[str, list[RunRecord]]) -> None:
    names = [
        "gcl-paper",
        *(f"gcl-paper-{step}" for step in "cross-entropy kept slow loss mixup batch".split()),
    ]
    names.append("gcl-official-cben")
    steps = [singles(kept[new], kept[old]) for old, new in pairwise(names)]
    to_entropy, kept_on, rate, to_loss, mixup, batch, last = steps
    assert max(to_entropy) < 0 < min(to_loss)  # "lost in every seed", "comes back in every seed"
    sizes = {place: abs(mean(step)) for place, step in enumerate(steps[:-1])}
    assert sorted(sizes, key=sizes.__getitem__)[-2:] == [3, 0]  # "two steps stand out"
    assert max(abs(mean(kept_on)), abs(mean(batch))) < min(abs(mean(rate)), abs(mean(mixup)))  # "least"
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    chance = tables.Chance(every)
    pairs = [*pairwise(names), (names[0], names[-2])]
    around = [chance.between(kept[new], kept[old])[1] for old, new in pairs]
    whole = singles(kept["gcl-paper-batch"], kept["gcl-paper"])
    lead = mean(singles(kept["gcl-official-cben"], kept["gcl-paper"]))
    assert mean(last) > lead > 0  # "what sets the code ahead is its first"
    decided = [p < tables.intervals.LEVEL for p in tables.holm([each.p for each in around])]
    untold = [place for place, told in enumerate(decided) if not told]
    assert untold == [1, 5, 7]  # "those last two, the classifier and the batch size"
    assert max(whole) < 0  # "ends a little lower than the text's in every seed"
    assert around[7].crosses_zero  # "and not told apart from it"
    changes = {row[0][0]: row[5][0] for row in deviations.changes_table(every).rows}
    assert changes["4"] == "not told apart"  # on the page of deviations, with more rows
    gains = [run.clean.top1 - run.stages[0].last.top1 for run in kept["gcl-paper-cross-entropy"]]
    assert max(gains) < 0  # "lower than after stage one, in every seed"
    ones = [mean(run.stages[0].last.top1 for run in kept[name]) for name in names[-2:]]
    assert (
        abs(ones[0] - ones[1]) < abs(mean(last)) / 10
    )  # "After stage one the two have about the same accuracy"
    assert min(singles(kept["gcl-official-cben"], kept["gcl-paper"])) > 0


def test_what_the_page_on_calibration_says_in_words_holds(kept: dict[str, list[RunRecord]]) -> None:
    def too_sure(name: str) -> list[float]:
        """Mean confidence less accuracy of each run, in points."""
        bins = [tables.pooled_reliability([run]) for run in kept[name]]
        return [
            100 * float((b.confidence * b.images).sum() / b.images.sum()) - run.clean.top1
            for b, run in zip(bins, kept[name], strict=True)
        ]

    assert min(too_sure("ce") + too_sure("ldam-drw")) > 15  # "far too sure, whatever the seed"
    assert max(map(abs, too_sure("ce-mixup"))) < 4  # "nearly calibrated"
    for name in ("gcl-official-cben", "mislas"):  # "a little less sure than they should be"
        assert -6 < min(too_sure(name)) < max(too_sure(name)) < 0, name
    assert min(too_sure("gcl-paper")) > 10  # "too sure again"
    assert min(too_sure("gcl-paper-loss")) > 0 > max(too_sure("gcl-paper-mixup"))  # by mixup in stage two


def test_what_the_page_on_the_whole_table_says_of_the_competitors_holds() -> None:
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    found = tables.findings(every, "cifar100", 100)["competitors"]
    told: dict[str, set[str]] = {}
    for each in found:
        told.setdefault(each.verdict, set()).add(each.comparison.behind)
    assert told["supported"] == {"ce", "ce-mixup", "ldam-drw"}  # "three of them"
    assert told["undecided"] == {"mislas", "ce-mixup-crt"}  # "the two closest are undecided"
    closest = sorted((each for each in found if each.gap), key=lambda each: each.gap.difference)[:2]
    assert [each.comparison.behind for each in closest] == [
        "mislas",
        "ce-mixup-crt",
    ]  # "MisLAS is the closest"
    assert not closest[
        1
    ].interval.crosses_zero  # "outside their own interval, and no more after the correction"


def test_what_the_page_on_the_whole_table_says_of_one_protocol_holds() -> None:
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    found = tables.findings(every, "cifar100", 100)
    unified = {each.comparison.behind: each for each in found["unified"] if each.interval}
    assert all(len(each.gap.singles) == 1 for each in unified.values())  # "once each"
    assert unified["ce-unified"].verdict == "supported"  # "ahead of plain cross-entropy"
    adjusted = {
        "logit-adjustment-unified",
        "logit-adjustment-post-hoc-unified",
    }  # "not in the loss, and not at test time"
    close = adjusted | {"ldam-drw-unified", "ncm-unified", "crt-unified"}
    assert {name for name, each in unified.items() if each.verdict == "undecided"} == close
    assert unified["ldam-drw-unified"].interval.crosses_zero
    assert not unified["crt-unified"].interval.crosses_zero  # "nor cRT once all comparisons are counted"
    assert unified["ncm-unified"].interval.crosses_zero
    plain, again = (unified[name].runs[1][0].stages[0].hash for name in ("ce-unified", "crt-unified"))
    assert plain == again == unified["logit-adjustment-post-hoc-unified"].runs[1][0].stages[0].hash
    own = [tables.findings(every, data, 100)["settings"][0] for data in ("cifar100", "cifar10")]
    assert own[0].verdict == "contradicted"
    assert abs(own[0].gap.difference - own[1].gap.difference) < own[0].interval.half  # "about as much"
    assert -own[0].gap.difference > unified["ce-unified"].gap.difference  # "more than its lead"


def test_what_the_page_on_the_noise_says_of_a_hundred_classes_holds() -> None:
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    end, alone, tail = tables.findings(every, "cifar100", 100)["cloud"]
    assert (end.comparison.stage_one, alone.comparison.stage_one, tail.comparison.quantity) == (
        False,
        True,
        "tail",
    )
    assert end.verdict == "supported"  # "the cloud is ahead at the end"
    assert (alone.verdict, alone.gap.difference < 0) == ("undecided", True)  # "and not before"
    assert not alone.interval.crosses_zero  # "outside its own interval"
    (cloud,), (control,) = end.runs  # "one pair of runs"
    few = [[stage.last.few for stage in run.stages[:2]] for run in (cloud, control)]
    many = [[stage.last.many for stage in run.stages[:2]] for run in (cloud, control)]
    assert few[0][0] < few[1][0] - 5  # "leaves the few-shot classes far behind", "less to mend"
    course = control.stages[1].course.test_accuracy
    assert course[0] - course[7] > 3  # "in the first epochs of stage two its accuracy falls"
    assert max(course[7:]) - min(course[7:]) < 0.5  # "and it stays there"
    best = control.stages[2].course.test_accuracy
    assert best[0] == max(best) == control.paper_style.top1  # "its best epoch is the first of stage two"
    assert abs(end.paper_style) < end.interval.half  # "not told apart from GCL's best"
    assert many[1][0] - many[1][1] > few[1][1] - few[1][0]  # "lose more than the few-shot classes gain"
    assert abs(control.stages[0].last.top1 - cloud.clean.top1) < end.interval.half  # "about where GCL ends"
    assert cloud.clean.top1 > cloud.stages[0].last.top1 + 1
    ten = tables.by_recipe(records.find(ROOT / "results", scale="paper", dataset="cifar10", ratio=100))
    for run in ten["gcl-official-mean"]:  # "on ten classes the same second stage does no harm"
        assert run.clean.top1 > run.stages[0].last.top1


def test_what_the_page_on_the_whole_table_says_of_the_papers_text_holds() -> None:
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    table = tables.results_table(every, 1, "cifar100", 100)
    told = {row[0][0]: row[2][0] for row in table.rows if row[2][0]}
    assert told.pop("GCL, paper's text") == "lower"  # "which ends lower"
    assert set(told.values()) == {"not told apart"}  # "Every row but one agrees with the printed number"
    found = tables.findings(every, "cifar100", 100)
    (sources,) = found["sources"]
    assert (sources.verdict, len(sources.gap.singles)) == ("supported", 1)  # "in one pair of runs"
    (code,), (text,) = sources.runs
    between = tables.Chance(every).between([code], [text], stage_one=True)[1]
    assert between.crosses_zero  # "no further apart than chance moves two runs"
    assert 1.5 < code.clean.top1 - code.stages[0].last.top1 < 2.5  # "about two points"
    one, two = (stage.last for stage in text.stages[:2])
    assert abs(two.top1 - one.top1) < 0.5  # "the text nothing"
    assert two.few > one.few  # "what its few-shot classes gain the others lose"
    assert two.many < one.many
    assert two.medium < one.medium
    (without,) = tables.by_recipe(tables.usable(every, [1], "cifar100", 100))["gcl-official-no-margin"]
    assert tables.Chance(every).between([without], [code])[1].crosses_zero  # "ends level with the code"
    verdicts = {each.comparison.behind: each for each in found["text"] if each.interval}
    ahead = {name for name, each in verdicts.items() if each.verdict == "supported"}
    assert ahead == {"ce", "ce-mixup", "ldam-drw"}  # "still ahead of cross-entropy, mixup and LDAM-DRW"
    assert verdicts["mislas"].verdict == "contradicted"  # "GCL ends behind MisLAS here"
    assert verdicts["ce-mixup-crt"].gap.difference < 0  # "is not ahead of cRT"
    (ten,) = tables.findings(every, "cifar10", 100)["sources"]
    assert ten.verdict == "supported"  # "the code ends a little above the text"
    assert sources.gap.difference > ten.gap.difference + ten.interval.half  # "it is further above"
    by_recipe = tables.by_recipe(tables.usable(every, [1], "cifar100", 100))
    shown = [row.recipe for row in tables.ROWS[1] if row.part == "paper" and row.recipe in by_recipe]
    few, many = (
        {name: getattr(by_recipe[name][0].clean, group) for name in shown} for group in ("few", "many")
    )
    ends = ["gcl-paper", "gcl-official-cben"]  # "by the text even more than by the code"
    assert sorted(few, key=few.get, reverse=True)[:2] == sorted(many, key=many.get)[:2] == ends
    assert abs(by_recipe["mislas"][0].clean.top1 - code.clean.top1) < 0.5  # "at nearly the same mean"
