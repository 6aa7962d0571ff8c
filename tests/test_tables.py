"""Tables made from records: every number has its record or its place in the paper, every gap its command."""

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace

import pytest
from factories import make_record

from gclib import paper, recipes, records, tables, train
from gclib.errors import UserError
from gclib.records import RunRecord

ROOT = Path(__file__).parents[1]
FOLDED = r"<details><summary>(.*)</summary><code>(.*)</code></details>"
PARTS = ("paper", "beyond", "unified")


def run(recipe: str, seed: int = 0, **choices) -> RunRecord:
    epochs = (8, 4) if recipe.startswith("gcl") else (8,)
    choices = {"dataset": "cifar10", "scale": "paper", "ratio": 100.0, "epochs": epochs} | choices
    return make_record(recipe=recipe, seed=seed, **choices)


def cells(table: tables.Table) -> dict[str, dict[str, str]]:
    """The table by its first column, every other cell by the header."""
    header, _, *rows = (
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in table.to_markdown().splitlines()
        if line.startswith("|")
    )
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def whole(runs: list[RunRecord], number: int) -> dict[str, dict[str, str]]:
    """All parts of a table."""
    parts = [cells(tables.results_table(runs, number, part=part)) for part in PARTS]
    return {name: row for part in parts for name, row in part.items()}


def test_numbers_come_from_the_records_and_the_paper() -> None:
    runs = [run("gcl-official-cben", seed) for seed in (2, 0, 1)]
    row = cells(tables.results_table(runs, 4))["gcl-official-cben"]
    clean, ours = [r.clean.top1 for r in runs], [r.paper_style.top1 for r in runs]
    printed = paper.accuracy(4, "GCL", "cifar10", 100, sampler="cben")
    assert row["paper prints"] == f"{printed:.2f}" == "82.68"
    assert row["clean"] == f"{mean(clean):.2f} ± {stdev(clean):.2f}"
    assert row["paper-style"] == f"{mean(ours):.2f} ± {stdev(ours):.2f}"
    assert row["difference"] == f"{mean(ours) - printed:+.2f}"
    assert row["verdict"] == "lower"
    *links, again = row["record"].split(", ")
    assert [link.split("]")[0] for link in links] == ["[seed 0", "[seed 1", "[seed 2"]
    assert f"({records.results_path(runs[1], '../results').as_posix()})" in row["record"]
    assert again == f"<details><summary>command</summary><code>{runs[1].command}</code></details>"


def test_stage_one_alone_is_compared_with_the_paper_without_retraining() -> None:
    record = run("gcl-official-cben")
    row = cells(tables.results_table([record], 5))["gcl-official-cben, stage one"]
    assert row["paper prints"] == "80.52"
    assert row["clean"] == f"{record.stages[0].last.top1:.2f}"
    assert row["paper-style"] == f"{record.stages[0].best.top1:.2f}"
    row = cells(tables.results_table([record], 5))["gcl-official-cben"]
    assert row["clean"] == f"{record.clean.top1:.2f}"


def test_a_missing_record_shows_the_command_that_makes_it() -> None:
    for number, of_table in tables.ROWS.items():
        rows = whole([run("ce")], number)
        assert number != 1 or rows["ce"]["clean"] != ""
        for row in of_table:
            if row.recipe == "ce":
                continue
            shown = rows[row.recipe + (", stage one" if row.stage_one else "")]
            assert (shown["clean"], shown["paper-style"], shown.get("verdict", "")) == ("", "", "")
            wanted = train.command(
                SimpleNamespace(name=row.recipe, overrides={}, scale="paper"),
                SimpleNamespace(name="cifar10", ratio=100.0),
                0,
            )
            summary, command = re.fullmatch(FOLDED, shown["record"]).groups()
            assert summary == "not run yet"
            assert shlex.split(command) == shlex.split(wanted)


def test_each_part_of_table_1_has_its_own_rows() -> None:
    runs = [run("ce-unified"), run("ce"), run("oltr")]
    parts = {part: cells(tables.results_table(runs, part=part)) for part in PARTS}
    assert sum(map(len, parts.values())) == len({name for rows in parts.values() for name in rows})
    assert len(parts["paper"]) == len({cell.method for cell in paper.cells(1, "cifar10", 100)}) + 1, (
        "GCL twice"
    )
    assert all(name.endswith("-unified") for name in parts["unified"])
    published, unified, left_out = (
        parts["paper"]["ce"],
        parts["unified"]["ce-unified"],
        parts["beyond"]["oltr"],
    )
    assert (unified["clean"], unified["the paper's row"]) == (published["clean"], "CE loss"), (
        "same drawn numbers"
    )
    assert (published["paper prints"], published["verdict"]) == ("70.70", "lower")
    assert left_out["clean"]
    for row in (unified, left_out):
        assert not row.keys() & {"paper prints", "difference", "verdict", "provenance"}, (
            "nothing of the paper's"
        )
    caption = tables.results_table(runs, part="beyond").caption
    assert "Table 1 of the paper" not in caption
    assert "verdict" not in caption


def test_the_origin_of_a_printed_number_follows_from_its_source() -> None:
    for number in (1, 3, 4, 5):
        for cell in paper.cells(number):
            gap = (
                None if cell.source is None or cell.accuracy is None else cell.accuracy - cell.source.accuracy
            )
            match cell.provenance:
                case "quoted":
                    assert cell.quoted
                case "likely slip":
                    assert gap is not None
                    assert abs(abs(gap) - 1) < 1e-9
                case "equals published":
                    assert gap is not None
                    assert abs(gap) < 0.05 + 1e-9
                case "own run":
                    assert gap is None or 0.03 < abs(gap) != 1
    slips = {(c.method, c.dataset, c.ratio) for c in paper.cells(1) if c.provenance == "likely slip"}
    assert slips == {("LDAM-DRW", "cifar100", 50), ("BBN", "cifar10", 50)}
    shown = cells(tables.results_table([], 1, "cifar10", 50))
    assert (shown["bbn"]["provenance"], shown["tde"]["provenance"]) == ("likely slip", "quoted")


def test_a_stale_record_is_marked_at_its_link() -> None:
    stale, whole = run("ce", 0), run("ce", 1)
    row = cells(tables.results_table([stale, whole], marks={stale.identity: "stale"}))["ce"]
    assert [part.split("]")[0] for part in row["record"].split(", ")[:2]] == ["[seed 0 (stale)", "[seed 1"]


def test_only_runs_of_the_paper_scale_and_this_data_count() -> None:
    others = [
        run("ce", scale="smoke"),
        run("ce", ratio=50.0),
        run("ce", dataset="cifar100"),
        run("ce", dataset="digits"),
    ]
    assert cells(tables.results_table(others))["ce"]["clean"] == ""


def test_every_row_names_a_recipe_and_one_cell_of_the_paper() -> None:
    listed = {row.recipe for rows in tables.ROWS.values() for row in rows}
    assert listed <= set(recipes.names())
    shown = {name for number in tables.ROWS for name in whole([], number)}
    assert shown >= set(recipes.names()), "every recipe has its row"
    for number, rows in tables.ROWS.items():
        for row in rows:
            if row.method:
                assert paper.accuracy(number, row.method, "cifar10", 100, **row.variant) > 0
    for number in (1, 3, 4, 5):
        answered = {(row.method, *row.variant.values()) for row in tables.ROWS[number] if row.method}
        assert len(answered) == len(paper.cells(number, "cifar10", 100)), "every cell has its recipe"


@pytest.mark.parametrize(
    ("dataset", "ratio", "expected"),
    [("cifar10", 50, {"74.81", "79.48", "85.46"}), ("cifar100", 100, {"38.43", "48.71"})],
)
def test_other_settings_have_the_rows_that_the_paper_has(
    dataset: str, ratio: int, expected: set[str]
) -> None:
    rows = cells(tables.results_table([], 1, dataset, ratio))
    assert expected <= {row["paper prints"] for row in rows.values()}


def test_data_that_the_paper_does_not_have() -> None:
    with pytest.raises(UserError, match="no number for digits at ratio 20"):
        tables.results_table([], 1, "digits", 20)
    with pytest.raises(UserError, match="Table 3 has no number for cifar100 at ratio 100"):
        tables.results_table([], 3, "cifar100", 100)
    with pytest.raises(UserError, match="Table 2 has no rows of ours; expected one of 1, 3, 4, 5"):
        tables.results_table([], 2)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0, "reproduced"), (1, "reproduced"), (-1, "reproduced"), (1.001, "higher"), (-1.001, "lower")],
)
def test_the_verdict_follows_the_written_rule(difference: float, expected: str) -> None:
    assert tables.verdict(difference) == expected
    assert expected in tables.VERDICT_RULE
    assert f"{tables.TOLERANCE:.1f} points" in tables.results_table([]).caption


def test_accuracy_of_each_class() -> None:
    runs = [run("ce", 0), run("ce", 1), run("gcl-official")]
    rows = cells(tables.per_class_table(runs))
    assert list(rows) == ["training images", "ce", "gcl-official"]
    assert list(rows["ce"]) == ["mean", *(f"class {index}" for index in range(10))]
    for index in range(10):
        of_class = {name: row[f"class {index}"] for name, row in rows.items()}
        assert of_class["ce"] == f"{mean(r.clean.per_class[index] for r in runs[:2]):.1f}"
        assert of_class["gcl-official"] == f"{runs[2].clean.per_class[index]:.1f}"
        assert of_class["training images"] == str(runs[0].data.class_counts[index])
    assert rows["gcl-official"]["mean"] == f"{runs[2].clean.top1:.1f}"


@pytest.mark.parametrize("runs", [[], [run("ce"), run("ce", ratio=50.0)]])
def test_classes_of_different_data_are_not_mixed(runs: list[RunRecord]) -> None:
    with pytest.raises(UserError, match="expected records of one"):
        tables.per_class_table(runs)


def test_groups_and_bins_are_means_over_seeds() -> None:
    runs = [run("ce", 0), run("ce", 1)]
    groups = tables.group_means(runs)
    thirds = {"many": range(3), "medium": range(3, 7), "few": range(7, 10), "all": range(10)}
    for name, classes in thirds.items():
        expected = mean(r.clean.per_class[index] for r in runs for index in classes)
        assert groups[name] == pytest.approx(expected, abs=1e-3)
    pooled = tables.pooled_reliability(runs)
    assert pooled.images.sum() == sum(sum(r.data.test_counts) for r in runs)
    assert tables.pooled_reliability(runs[:1]).ece == pytest.approx(runs[0].clean.ece, abs=1e-5)
    at = 4
    hits = sum(r.clean.reliability.accuracy[at] * r.clean.reliability.images[at] for r in runs)
    assert pooled.accuracy[at] == pytest.approx(hits / pooled.images[at])


def test_calibration_says_which_way_a_classifier_errs() -> None:
    record = run("ce")
    row = cells(tables.calibration_table([record]))["ce"]
    bins = record.clean.reliability
    confidence = (
        100 * sum(c * n for c, n in zip(bins.confidence, bins.images, strict=True)) / sum(bins.images)
    )
    assert row["mean confidence"] == f"{confidence:.1f}"
    assert row["confidence − accuracy"] == f"{confidence - record.clean.top1:+.1f}"
    assert row["ECE"] == f"{100 * record.clean.ece:.2f}"


def test_cost_counts_both_second_stages() -> None:
    one, two = run("ce", epochs=(200,)), run("gcl-official", epochs=(200, 30))
    rows = cells(tables.cost_table([one, two, run("gcl-official", 1, epochs=(200, 30))]))
    images = sum(one.data.class_counts)
    assert rows["ce"]["epochs"] == "200"
    assert rows["gcl-official"]["epochs"] == "200 + 30 (twice)"
    assert rows["gcl-official"]["runs"] == "2"
    assert rows["gcl-official"]["million images"] == f"{260 * images / 1e6:.2f}"
    assert rows["ce"]["hours"] == f"{sum(one.stages[0].course.seconds) / 3600:.2f}"
    assert rows["ce"]["precision"] == "float64"


def test_settings_that_two_recipes_share_are_left_out() -> None:
    table = tables.settings_difference("gcl-official", "gcl-official-cben")
    assert [[cell[0] for cell in row] for row in table.rows] == [
        ["stage-two", "sampler.strategy", "class", "cben"]
    ]
    assert tables.training_counts("cifar100", 50)[[0, -1]].tolist() == [500, 10]
    with pytest.raises(UserError, match="no class counts for digits"):
        tables.settings_difference("ce", "ldam", "digits")


class Page(HTMLParser):
    """Cells and attributes of a piece of HTML, which must be well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.cells, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        self.attributes += attrs
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_the_html_follows_the_page_and_never_changes() -> None:
    table = tables.results_table([run("ce"), run("ce", 1)])
    text = table._repr_html_()
    assert text == tables.results_table([run("ce", 1), run("ce")])._repr_html_()
    page = Page(text)
    assert len(page.cells) == len(table.header) * (len(table.rows) + 1)
    names = {name for name, _ in page.attributes}
    styles = " ".join(value for name, value in page.attributes if name == "style")
    assert "id" not in names
    assert "color" not in styles
    assert "background" not in styles
    assert "overflow-x: auto" in styles


def test_text_is_escaped() -> None:
    table = tables.Table(
        ["<a>"],
        [[["x < y & z", tables.Code("a > b"), tables.Link("<", 'q"'), tables.Command("& d", "c++ ")]]],
        "1 < 2",
    )
    assert Page(table.to_html()).cells == ["<a>", "x < y & z, a > b, <c++ & d"]


def test_the_readme_takes_the_table_between_its_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n", encoding="utf-8")
    record = run("ce")
    records.save(record, records.results_path(record, tmp_path / "results"))
    tables.refresh_readme(readme, tmp_path / "results")
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{tables.BEGIN}\n| recipe |")
    assert text.endswith(f"\n{tables.END}\nafter\n")
    assert "old" not in text
    assert "(results/paper/cifar10-ir100/ce/seed0.json)" in text
    tables.refresh_readme(readme, tmp_path / "results")
    assert readme.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "content", ["", tables.BEGIN, f"{tables.END}{tables.BEGIN}", 2 * (tables.BEGIN + tables.END)]
)
def test_a_readme_without_a_place_is_left_alone(tmp_path: Path, content: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="no place for the results"):
        tables.refresh_readme(readme, tmp_path)
    assert readme.read_text(encoding="utf-8") == content


def test_the_readme_shows_the_records_of_today() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.split(tables.BEGIN)[1].split(tables.END)[0].strip()
    assert shown == tables.readme_table(ROOT / "results"), (
        "gclib.tables.refresh_readme() brings it up to date"
    )


def test_words_stand_left_and_wrap_and_numbers_do_neither() -> None:
    rows = [[["a sentence"], ["80.00 ± 1.20"]], [[], ["–"]], [["3"], []]]
    table = tables.Table(["words", "numbers"], rows, "")
    styles = [value for name, value in Page(table.to_html()).attributes if name == "style"]
    assert sum("left" in style and "normal" in style for style in styles) == len(rows) + 1
    assert sum("nowrap" in style for style in styles) == 1, "the table's own, for all columns of numbers"
