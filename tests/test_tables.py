"""Tables made from records: every number has its record or its place in the paper, every gap its command."""

import re
import shlex
from statistics import mean, stdev
from types import SimpleNamespace

import pytest
from factories import paper_run
from tabular import cells

from gclib import ROOT, paper, recipes, records, tables, train
from gclib.errors import UserError
from gclib.recipes import Recipe
from gclib.records import RunRecord

FOLDED = r"<details><summary>(.*)</summary><code>(.*)</code></details>"
PARTS = ("paper", "beyond", "unified")
PLACE = {number: ("places-lt", 996) if number == 2 else ("cifar10", 100) for number in tables.ROWS}


def whole(runs: list[RunRecord], number: int) -> dict[str, dict[str, str]]:
    """All parts of a table."""
    parts = [
        cells(tables.results_table(runs, number, *PLACE[number], part=part, every=True)) for part in PARTS
    ]
    return {name: row for part in parts for name, row in part.items()}


def test_numbers_come_from_the_records_and_the_paper() -> None:
    runs = [paper_run("gcl-official-cben", seed) for seed in (2, 0, 1)]
    row = cells(tables.results_table(runs, 4))["gcl-official-cben"]
    clean, ours = [r.clean.top1 for r in runs], [r.paper_style.top1 for r in runs]
    printed = paper.accuracy(4, "GCL", "cifar10", 100, sampler="cben")
    assert row["paper prints"] == f"{printed:.2f}" == "82.68"
    for column, values in (("clean", clean), ("paper-style", ours)):
        single = ", ".join(f"{values[place]:.2f}" for place in (1, 2, 0))  # in the order of the seeds
        assert row[column] == f"{mean(values):.2f} ± {stdev(values):.2f} ({single})"
    half = tables.interval(0, tables.noise(runs, best=True), 3, 1).half
    assert row["difference"] == f"{mean(ours) - printed:+.2f} ± {half:.2f}"
    assert row["verdict"] == "lower"
    *links, again = row["record"].split(", ")
    assert [link.split("]")[0] for link in links] == ["[seed 0", "[seed 1", "[seed 2"]
    assert f"({records.results_path(runs[1], '../results').as_posix()})" in row["record"]
    assert again == f"<details><summary>command</summary><code>{runs[1].command}</code></details>"


def test_stage_one_alone_is_compared_with_the_paper_without_retraining() -> None:
    record = paper_run("gcl-official-cben")
    row = cells(tables.results_table([record], 5))["gcl-official-cben, stage one"]
    assert row["paper prints"] == "80.52"
    assert row["clean"] == f"{record.stages[0].last.top1:.2f}"
    assert row["paper-style"] == f"{record.stages[0].best.top1:.2f}"
    row = cells(tables.results_table([record], 5))["gcl-official-cben"]
    assert row["clean"] == f"{record.clean.top1:.2f}"


def test_a_missing_record_shows_the_command_that_makes_it() -> None:
    for number, of_table in tables.ROWS.items():
        rows = whole([paper_run("ce")], number)
        assert number != 1 or rows["ce"]["clean"] != ""
        for row in of_table:
            if row.recipe == "ce":
                continue
            shown = rows[row.recipe + (", stage one" if row.stage_one else "")]
            assert (shown["clean"], shown["paper-style"], shown.get("verdict", "")) == ("", "", "")
            wanted = train.command(
                SimpleNamespace(name=row.recipe, overrides={}, scale="paper"),
                SimpleNamespace(name=PLACE[number][0], ratio=None if number == 2 else 100.0),
                0,
            )
            summary, command = re.fullmatch(FOLDED, shown["record"]).groups()
            assert summary == "not run yet"
            assert shlex.split(command) == shlex.split(wanted)


def test_recipes_without_a_run_share_one_line_with_their_commands() -> None:
    table = tables.results_table([paper_run("ce")])
    first, rest = table.rows
    missing = [row.recipe for row in tables.ROWS[1] if row.part == "paper" and row.recipe != "ce"]
    assert first[0] == ["Cross-entropy"]
    assert rest[0] == [f"{len(missing)} more recipes have no full run yet"]
    (command,) = rest[-1]
    assert [line.split(" -p recipe ")[1].split()[0] for line in command.text.split("; ")] == missing


def test_each_part_of_table_1_has_its_own_rows() -> None:
    runs = [paper_run(name) for name in ("ce-unified", "ce", "oltr")]
    runs = [
        run.model_copy(update={"recipe": run.recipe | {"head": run.name}}) for run in runs
    ]  # none made twice
    parts = {part: cells(tables.results_table(runs, part=part, every=True)) for part in PARTS}
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
    assert (unified["clean"], unified["the paper's row"]) == (f"{runs[0].clean.top1:.2f}", "CE loss")
    assert (published["paper prints"], published["verdict"]) == ("70.70", "not told apart")
    assert left_out["clean"]
    for row in (unified, left_out):
        assert not row.keys() & {"paper prints", "difference", "verdict", "provenance"}, (
            "nothing of the paper's"
        )
    caption = tables.results_table(runs, part="beyond").caption
    assert "Table 1 of the paper" not in caption
    assert "verdict" not in caption


def test_the_origin_of_a_printed_number_follows_from_its_source() -> None:
    for number in (1, 2, 3, 4, 5):
        for cell in paper.cells(number):
            own = (
                cell.method == "MisLAS"
            )  # its numbers are runs of their own, and some come near the published ones
            if own and cell.dataset == "inaturalist2018":  # this one agrees
                continue
            gap = (
                None if cell.source is None or cell.accuracy is None else cell.accuracy - cell.source.accuracy
            )
            match cell.provenance:
                case "likely slip":
                    assert gap is not None
                    assert abs(abs(gap) - 1) < 1e-9
                case "equals published":
                    assert gap is not None
                    assert abs(gap) < 0.05 + 1e-9
                case "own run":
                    assert gap is None or (0.03 if own else 0.05) < abs(gap) != 1
    slips = {(c.method, c.dataset, c.ratio) for c in paper.cells(1) if c.provenance == "likely slip"}
    assert slips == {("LDAM-DRW", "cifar100", 50), ("BBN", "cifar10", 50)}
    shown = cells(tables.results_table([], 1, "cifar10", 50, every=True))
    assert (shown["bbn"]["provenance"], shown["tde"]["provenance"]) == ("likely slip", "quoted")


def test_a_stale_record_is_marked_at_its_link() -> None:
    stale, whole = paper_run("ce", 0), paper_run("ce", 1)
    row = cells(tables.results_table([stale, whole], marks={stale.identity: "stale"}))["ce"]
    assert [part.split("]")[0] for part in row["record"].split(", ")[:2]] == ["[seed 0 (stale)", "[seed 1"]


def test_only_runs_of_the_paper_scale_and_this_data_count() -> None:
    others = [
        paper_run("ce", scale="smoke"),
        paper_run("ce", ratio=50.0),
        paper_run("ce", dataset="cifar100"),
        paper_run("ce", dataset="digits"),
    ]
    assert cells(tables.results_table(others, every=True))["ce"]["clean"] == ""


def test_every_row_names_a_recipe_and_one_cell_of_the_paper() -> None:
    listed = {row.recipe for rows in tables.ROWS.values() for row in rows}
    assert listed <= set(recipes.names())
    shown = {name for number in tables.ROWS for name in whole([], number)}
    assert shown >= set(recipes.names()), "every recipe has its row"
    for number, rows in tables.ROWS.items():
        for row in rows:
            if row.method:
                assert len(paper.cells(number, *PLACE[number], row.method, **row.variant)) == 1
        answered = {(row.method, *row.variant.values()) for row in rows if row.method}
        assert len(answered) == len(paper.cells(number, *PLACE[number])), "every cell has its recipe"


@pytest.mark.parametrize(
    ("dataset", "ratio", "expected"),
    [("cifar10", 50, {"74.81", "79.48", "85.46"}), ("cifar100", 100, {"38.43", "48.71"})],
)
def test_other_settings_have_the_rows_that_the_paper_has(
    dataset: str, ratio: int, expected: set[str]
) -> None:
    rows = cells(tables.results_table([], 1, dataset, ratio, every=True))
    assert expected <= {row["paper prints"] for row in rows.values()}


def test_data_that_the_paper_does_not_have() -> None:
    with pytest.raises(UserError, match="no number for digits at ratio 20"):
        tables.results_table([], 1, "digits", 20)
    with pytest.raises(UserError, match="Table 3 has no number for cifar100 at ratio 100"):
        tables.results_table([], 3, "cifar100", 100)
    with pytest.raises(UserError, match="Table 2 has no number for cifar10 at ratio 100"):
        tables.results_table([], 2)
    with pytest.raises(UserError, match="Table 6 has no rows of ours; expected one of 1, 2, 3, 4, 5"):
        tables.results_table([], 6)


@pytest.mark.parametrize(
    ("difference", "half", "corrected", "expected"),
    [
        (0.0, 1.0, 1.0, "not told apart"),
        (1.5, 2.0, 0.2, "not told apart"),
        (2.5, 2.0, 0.06, "not told apart"),  # by itself it is, among all rows it is not
        (2.5, 2.0, 0.04, "higher"),
        (-2.5, 2.0, 0.04, "lower"),
    ],
)
def test_the_verdict_follows_the_written_rule(
    difference: float, half: float, corrected: float, expected: str
) -> None:
    found = tables.Interval(difference, half, corrected / 10)
    assert tables.verdict(found, corrected) == expected
    assert expected in tables.VERDICT_RULE
    assert "tables.VERDICT_RULE" in (ROOT / "notebooks" / "results.ipynb").read_text(), (
        "the page says the rule"
    )


def test_a_printed_number_counts_as_one_run_and_all_rows_are_corrected_together() -> None:
    runs = [paper_run(name, seed) for name in ("ce", "mislas") for seed in (0, 1, 2)]
    rows = cells(tables.results_table(runs))
    spread = tables.noise(runs, best=True)
    found = {}
    for name, printed in (("ce", 70.70), ("mislas", 82.06)):
        difference = mean(r.paper_style.top1 for r in runs if r.name == name) - printed
        found[name] = tables.interval(difference, spread, 3, 1)
        assert rows[name]["difference"] == f"{difference:+.2f} ± {found[name].half:.2f}"
    corrected = tables.holm([each.p for each in found.values()])
    for (name, each), p in zip(found.items(), corrected, strict=True):
        assert rows[name]["verdict"] == tables.verdict(each, p)


def test_every_recipe_has_a_label_of_its_own_that_no_hash_knows() -> None:
    labels = [recipes.label(name) for name in recipes.names()]
    assert len(set(labels)) == len(labels)
    assert not set(labels) & set(recipes.names())
    assert recipes.label("a recipe of old") == "a recipe of old"
    shown = tables.results_table([paper_run("gcl-official-cben")], 4)
    assert "GCL, released code, CBEN" in [row[0][0] for row in shown.rows]
    assert "label" not in Recipe.model_fields


def test_the_overview_has_every_setting_of_a_table() -> None:
    runs = [paper_run("ce", seed) for seed in (0, 1)]
    rows = cells(tables.overview_table(runs, marks={runs[1].identity: "stale"}))
    assert list(rows) == [row.recipe for row in tables.ROWS[1] if row.part == "paper"]
    ours, printed = [run.paper_style.top1 for run in runs], paper.accuracy(1, "CE loss", "cifar10", 100)
    filled = rows["ce"]["CIFAR-10-LT, ratio 100"]
    assert filled.startswith(f"{mean(ours):.2f} ± {stdev(ours):.2f} ({mean(ours) - printed:+.2f}), [seed 0](")
    assert "seed 1 (stale)" in filled
    for name, row in rows.items():
        for setting, shown in list(row.items())[1:]:
            dataset, ratio = setting.split(", ratio ")
            asked = f"-p data {dataset.removesuffix('-LT').replace('-', '').lower()} -p ratio {ratio} -p recipe {name} "
            assert (asked in shown) == (shown != filled)


def test_the_overview_of_stage_one_takes_stage_one() -> None:
    record = paper_run("gcl-official-cben")
    row = cells(tables.overview_table([record], 5))["gcl-official-cben, stage one"]
    difference = record.stages[0].best.top1 - 80.52
    assert row["CIFAR-10-LT, ratio 100"].startswith(f"{record.stages[0].best.top1:.2f} ({difference:+.2f}), ")
