"""Tables of the book and of the README, made from run records and the paper's own numbers."""

from gclib.tables.results import (
    BEGIN,
    END,
    ROWS,
    TOLERANCE,
    VERDICT_RULE,
    Row,
    per_class_table,
    readme_table,
    refresh_readme,
    results_table,
    verdict,
)
from gclib.tables.table import Code, Link, Table

__all__ = [
    "BEGIN",
    "END",
    "ROWS",
    "TOLERANCE",
    "VERDICT_RULE",
    "Code",
    "Link",
    "Row",
    "Table",
    "per_class_table",
    "readme_table",
    "refresh_readme",
    "results_table",
    "verdict",
]
