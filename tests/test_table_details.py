"""What a top-1 accuracy hides, from records: classes, groups, calibration, cost; and where two recipes differ."""

from statistics import mean

import pytest
from factories import paper_run
from tabular import cells

from gclib import tables
from gclib.data import training_counts
from gclib.errors import UserError


def test_accuracy_of_each_class() -> None:
    runs = [paper_run("ce", 0), paper_run("ce", 1), paper_run("gcl-official")]
    rows = cells(tables.per_class_table(runs))
    assert list(rows) == ["training images", "ce", "gcl-official"]
    assert list(rows["ce"]) == ["mean", *(f"class {index}" for index in range(10))]
    for index in range(10):
        of_class = {name: row[f"class {index}"] for name, row in rows.items()}
        assert of_class["ce"] == f"{mean(r.clean.per_class[index] for r in runs[:2]):.1f}"
        assert of_class["gcl-official"] == f"{runs[2].clean.per_class[index]:.1f}"
        assert of_class["training images"] == str(runs[0].data.class_counts[index])
    assert rows["gcl-official"]["mean"] == f"{runs[2].clean.top1:.2f}"


def test_classes_of_different_data_are_not_mixed() -> None:
    with pytest.raises(UserError, match="expected records of one"):
        tables.per_class_table([paper_run("ce"), paper_run("ce", ratio=50.0)])
    assert tables.per_class_table([]).rows == []


def test_groups_and_bins_are_means_over_seeds() -> None:
    runs = [paper_run("ce", 0), paper_run("ce", 1)]
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
    record = paper_run("ce")
    row = cells(tables.calibration_table([record]))["ce"]
    bins = record.clean.reliability
    confidence = (
        100 * sum(c * n for c, n in zip(bins.confidence, bins.images, strict=True)) / sum(bins.images)
    )
    assert row["accuracy"] == f"{record.clean.top1:.2f}"
    assert row["mean confidence"] == f"{confidence:.2f}"
    assert row["confidence − accuracy"] == f"{confidence - record.clean.top1:+.2f}"
    assert row["ECE"] == f"{100 * record.clean.ece:.2f}"


def test_cost_counts_both_second_stages() -> None:
    one, two = paper_run("ce", epochs=(200,)), paper_run("gcl-official", epochs=(200, 30))
    rows = cells(tables.cost_table([one, two, paper_run("gcl-official", 1, epochs=(200, 30))]))
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
        ["stage two: sampler, strategy", "class", "cben"]
    ]
    assert table.header[1:] == ["GCL, released code, class-balanced", "GCL, released code, CBEN"]
    assert training_counts("cifar100", 50)[[0, -1]].tolist() == [500, 10]
    with pytest.raises(UserError, match="no class counts for folder:birds"):
        tables.settings_difference("ce", "ldam", "folder:birds")


def test_every_row_of_table_1_says_how_it_is_trained() -> None:
    rows = cells(tables.training_table())
    assert list(rows) == [row.recipe for row in tables.ROWS[1] if row.part == "paper"]
    assert rows["ce"]["stage two"] == "–"
    assert rows["gcl-official-cben"]["stage two"] == (
        "cRT (classifier starts anew no); 30 epochs, batches of 64, rate 0.002 (cosine), weight decay 0.0002, mixup 1; "
        "gcl (scale 20.0, noise scale 0.5, margin 0.1, focal gamma 1.0); CBEN draws"
    )
    assert "rate 0.1 (× 0.01 from 160, × 0.0001 from 180)" in rows["gcl-paper"]["stage one"]


def test_of_many_classes_a_table_shows_those_at_either_end() -> None:
    made = paper_run("ce", dataset="cifar100", classes=100)
    training, run = cells(tables.per_class_table([made])).values()
    assert list(run) == ["mean", *(f"class {k}" for k in (*range(10), *range(90, 100)))]
    counts = made.data.class_counts
    assert (training["class 0"], training["class 99"]) == (str(counts[0]), str(counts[-1]))
