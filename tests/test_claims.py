"""Claims against evidence: verdicts by the written rule, every number from a record, every gap with its command."""

from statistics import mean

import numpy as np
import pytest
from factories import make_record, paper_run

from gclib import metrics, paper, recipes, tables
from gclib.tables import comparisons

NAMES = {row.recipe for rows in tables.ROWS.values() for row in rows}
ALL = [paper_run(name, seed) for seed, name in enumerate(sorted(NAMES))]


def row(table: tables.Table, place: int = 0) -> dict[str, str]:
    texts = (", ".join(getattr(item, "text", item) for item in cell) for cell in table.rows[place])
    return dict(zip(table.header, texts, strict=True))


@pytest.mark.parametrize(
    ("ahead", "behind", "expected"),
    [
        ([80.0], [79.01], "undecided"),
        ([80.0], [79.0], "supported by single runs"),
        ([79.0], [80.0], "contradicted by single runs"),
        (
            [80.0, 80.2],
            [78.0, 78.2, 78.1],
            "supported by single runs",
        ),  # two runs of one are not three of both
        ([80.0, 80.1, 80.2], [79.5, 79.6, 79.7], "supported"),  # half a point, but far beyond the spread
        ([79.5, 79.6, 79.7], [80.0, 80.1, 80.2], "contradicted"),
        ([78.0, 80.0, 82.0], [77.0, 78.0, 80.0], "undecided"),  # above a point, but within the spread
        ([80.0] * 3, [80.0] * 3, "undecided"),
        ([80.1] * 3, [80.0] * 3, "supported"),
    ],
)
def test_the_verdict_follows_the_written_rule(ahead: list, behind: list, expected: str) -> None:
    assert tables.decide(ahead, behind) == expected
    word, _, how = expected.partition(" ")
    assert how in tables.RULE
    assert word == "undecided" or word in tables.RULE
    assert f"{tables.TOLERANCE:.1f} percentage points" in tables.RULE


def test_every_comparison_names_recipes_and_the_right_cells() -> None:
    for claim in tables.CLAIMS.values():
        assert claim.comparisons
        for comparison in claim.comparisons:
            assert {comparison.ahead, comparison.behind} <= set(recipes.names())
            assert comparison.ahead != comparison.behind
            if comparison.table:
                assert comparison.printed("cifar10", 100) is not None
    for name in ("competitors", "text"):
        behind = [c.behind for c in tables.CLAIMS[name].comparisons if c.table]
        assert len(set(behind)) == len(behind) == len(paper.cells(1, "cifar10", 100)) - 1
    printed = tables.CLAIMS["cben"].comparisons[0].printed("cifar10", 100)
    assert printed == pytest.approx(82.68 - 82.47)
    assert tables.CLAIMS["cben"].comparisons[0].printed("cifar100", 100) is None


def test_a_difference_comes_from_the_records() -> None:
    ours, theirs = (
        [paper_run("gcl-official-cben", seed) for seed in (0, 1)],
        paper_run("gcl-official-effective", 5),
    )
    shown = row(tables.claim_table("cben", [theirs, *ours]))
    clean = mean(r.clean.top1 for r in ours) - theirs.clean.top1
    assert shown["difference"] == f"{clean:+.2f}"
    assert shown["paper-style"] == f"{mean(r.paper_style.top1 for r in ours) - theirs.paper_style.top1:+.2f}"
    assert shown["second"] == f"{theirs.clean.top1:.2f}"
    assert shown["verdict"] == tables.decide([r.clean.top1 for r in ours], [theirs.clean.top1])
    assert shown["records"] == "first seed 0, first seed 1, second seed 5"


def test_the_tail_is_the_rarest_third_after_stage_one() -> None:
    ours, theirs = paper_run("gcl-official-cben", 3), paper_run("ce-mixup", 4)
    shown = row(tables.claim_table("saturation", [ours, theirs]))
    assert shown["first"] == f"{ours.stages[0].last.few:.2f}"
    assert shown["second"] == f"{theirs.clean.few:.2f}"
    finding = tables.findings(tables.CLAIMS["saturation"], [ours, theirs])[0]
    threshold = tables.TOLERANCE * np.sqrt(10 / 3)
    assert finding.verdict == tables.decide(finding.ahead, finding.behind, threshold)


def test_squeezing_is_read_from_the_confusion_matrix_and_less_is_better() -> None:
    ours, theirs = paper_run("gcl-official-cben", 3), paper_run("ce", 4)
    shares = []
    for matrix in (ours.stages[0].last.confusion, theirs.clean.confusion):
        taken = sum(matrix[true][given] for true in (7, 8, 9) for given in (0, 1, 2))
        shares.append(100 * taken / sum(sum(matrix[true]) for true in (7, 8, 9)))
    finding = tables.findings(tables.CLAIMS["spans"], [ours, theirs])[0]
    assert [*finding.ahead, *finding.behind] == pytest.approx(shares)
    word = "supported" if shares[0] < shares[1] else "contradicted"
    assert abs(shares[0] - shares[1]) > 2, "the drawn numbers decide"
    assert finding.verdict == f"{word} by single runs"
    wide = make_record(classes=101, dataset="cifar100", scale="paper", ratio=100.0)
    assert comparisons.measure("squeezed", wide.clean, wide.data.class_counts) is None
    few = metrics.groups(wide.data.class_counts, "thirds")["few"]
    expected = mean(wide.clean.per_class[index] for index in few)
    assert comparisons.measure("tail", wide.clean, wide.data.class_counts) == pytest.approx(expected)


@pytest.mark.parametrize("name", tables.CLAIMS)
def test_what_is_missing_shows_its_command(name: str) -> None:
    for runs in ([], [paper_run("gcl-official-cben")]):
        for place, finding in enumerate(tables.findings(tables.CLAIMS[name], runs)):
            shown = row(tables.claim_table(name, runs), place)
            assert shown["verdict"] == "not measured yet"
            assert (shown["difference"], shown["paper-style"]) == ("", "")
            sides = (finding.comparison.ahead, finding.comparison.behind)
            wanted = [name for name in sides if name not in {run.name for run in runs}]
            assert [f" {recipe} " in shown["records"] for recipe in wanted] == [True] * len(wanted)
            assert shown["records"].count("gcl run training") == len(wanted)


def test_the_conclusion_counts_the_verdicts() -> None:
    found = tables.findings(tables.CLAIMS["competitors"], ALL)
    text = tables.conclusion(found)
    assert sum(finding.verdict in text for finding in found) == len(found)
    part = tables.findings(
        tables.CLAIMS["crt"], [paper_run("gcl-official-cben"), paper_run("gcl-official-lws", 1)]
    )
    assert [finding.verdict == "not measured yet" for finding in part] == [False, True]
    assert tables.conclusion(part) == f"1 of 2 {part[0].verdict}, 1 of 2 not measured yet"
    overview = tables.claims_overview(ALL)
    assert [cells[2][0] for cells in overview.rows] == [
        tables.conclusion(tables.findings(claim, ALL)) for claim in tables.CLAIMS.values()
    ]


def test_the_unified_protocol_is_compared_by_itself() -> None:
    new = tables.CLAIMS["unified"].comparisons
    assert {c.ahead for c in new} == {"gcl-unified"}
    behind = [c.behind for c in new]
    assert {"ce-unified", "ldam-drw-unified", "logit-adjustment-unified"} <= set(behind)
    assert all(name.endswith("-unified") for name in behind)
    assert len(new) == len(set(behind))
    assert all(c.printed("cifar10", 100) is None for c in new), "the paper's numbers are of other protocols"
