"""Data sets of more than 30 classes: pages name head and tail, and a file has all of them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from factories import make_record

from gclib import records, tables
from gclib.figures import classes, style

NAMES = [f"class {number}" for number in range(121)]


def test_a_table_of_many_classes_shows_head_and_tail_and_a_file_has_all(tmp_path: Path) -> None:
    record = make_record(classes=121, ratio=20.0, epochs=(2,))
    rows = tables.class_table(record, NAMES).rows
    assert len(rows) == 31
    assert [row[0][0] for row in rows[13:17]] == ["class 13", "class 14", "91 more classes", "class 106"]
    path = tables.write_classes(record, NAMES, tmp_path / "classes.csv")
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["class", "training images", "test images", "accuracy (%)"]
    assert [line[0] for line in lines] == NAMES
    assert [float(line[3]) for line in lines] == list(record.clean.per_class)
    assert len(tables.class_table(make_record(classes=10), NAMES).rows) == 10


def test_a_record_holds_the_names_of_its_classes_and_an_older_one_none(tmp_path: Path) -> None:
    older = make_record(classes=10)
    assert "class_names" not in {**older.model_dump(), **older.digest}
    fields = older.model_dump(exclude={"identity", "digest"})
    names = ("<b>ant</b>", "bee", *NAMES[2:10])
    named = records.RunRecord(**fields, class_names=names)
    assert named.identity == older.identity
    records.save(named, tmp_path / "named.json")
    assert records.load(tmp_path / "named.json").class_names == names
    assert tables.class_table(named).rows[0][0][0] == "<b>ant</b>"
    assert tables.class_table(older).rows[0][0][0] == "0"
    with pytest.raises(ValueError, match="class_names: expected 10, one for each class"):
        records.RunRecord(**fields, class_names=names[:9])
    text = (tmp_path / "named.json").read_text().replace('"bee"', '"fly"')
    (tmp_path / "named.json").write_text(text)
    with pytest.raises(records.RecordError, match="class_names: does not match its digest"):
        records.load(tmp_path / "named.json")


def test_a_figure_of_images_has_30_rows_at_most_from_head_to_tail() -> None:
    style.use()
    counts = np.r_[np.arange(2, 60), 1]  # the rarest class is the last, the most frequent the one before
    labels = np.repeat(np.arange(59), counts)
    images = np.broadcast_to(labels[:, None, None, None].astype(np.uint8), (len(labels), 2, 2, 3))
    axes = classes.class_images(images, labels, NAMES[:59]).axes[0]
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(ticks) == 30
    assert (ticks[0], ticks[-1]) == ("class 57", "class 58")
    assert axes.images[0].get_array()[0, 0, 0] == 57


def test_the_accuracies_of_thousands_of_classes_are_drawn_as_means_of_neighbours() -> None:
    style.use()
    counts, values = np.arange(5000, 0, -1), np.repeat(np.linspace(90, 10, 40), 125)
    noise = np.tile([5.0, -5.0, 0.0, 0.0, 0.0], 1000)
    axes = classes.per_class_bars({"first": values + noise, "last": values}, counts).axes[0]
    for line in axes.lines:
        assert line.get_xdata() == pytest.approx(np.arange(40) * 125 + 62)
        assert line.get_ydata() == pytest.approx(np.linspace(90, 10, 40))
    assert axes.get_ylabel() == "test accuracy (%), mean of 125 classes"
    each = classes.per_class_bars({"first": values[:100], "last": values[:100]}, counts[:100]).axes[0]
    assert [len(line.get_xdata()) for line in each.lines] == [100, 100]
    assert each.get_ylabel() == "test accuracy (%)"
