"""The classes of one run by name: a short table of head and tail, and a file with all of them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gclib.files import write_atomically
from gclib.records import RunRecord
from gclib.tables.table import Table

__all__ = ["class_table", "write_classes"]

MOST = 30  # rows at most
HEADER = ("class", "training images", "test images", "accuracy (%)")


def class_table(record: RunRecord, class_names: Sequence[str] | None = None) -> Table:
    """List classes from head to tail, each with its images and its accuracy after the last epoch (clean).

    Parameters
    ----------
    record
        The run.
    class_names
        Names of its C classes; None for those that the record holds, or their numbers where it holds none.

    Returns
    -------
    Table
        A row for each class; of more than `MOST` the first half are the most frequent, the rest the rarest.
    """
    rows = _rows(record, class_names)
    if len(rows) <= MOST:
        return Table.of(HEADER, rows)
    between = (f"{len(rows) - MOST} more classes", None, None, None)
    return Table.of(HEADER, [*rows[: MOST // 2], between, *rows[-MOST // 2 :]])


def write_classes(record: RunRecord, class_names: Sequence[str] | None, path: str | Path) -> Path:
    """Write all classes, head to tail, to a CSV file with the columns of `class_table`; return its path."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *_rows(record, class_names)])
    write_atomically(Path(path), text.getvalue().encode())
    return Path(path)


def _rows(record: RunRecord, class_names: Sequence[str] | None) -> list[tuple[str, int, int, float]]:
    data, accuracy = record.data, record.clean.per_class
    names = class_names or record.class_names or [str(c) for c in range(len(accuracy))]
    order = np.argsort(-np.array(data.class_counts), kind="stable").tolist()
    return [(names[c], data.class_counts[c], data.test_counts[c], accuracy[c]) for c in order]
