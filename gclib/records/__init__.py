"""The run record: one checked JSON file a run."""

from gclib.records.files import RecordError, find, load, place, results_path, save
from gclib.records.report import Difference, compare, show, verify
from gclib.records.schema import (
    Course,
    DataSummary,
    Environment,
    Outcome,
    RunRecord,
    StageRun,
    content_hash,
    run_identity,
)

__all__ = [
    "Course",
    "DataSummary",
    "Difference",
    "Environment",
    "Outcome",
    "RecordError",
    "RunRecord",
    "StageRun",
    "compare",
    "content_hash",
    "find",
    "load",
    "place",
    "results_path",
    "run_identity",
    "save",
    "show",
    "verify",
]
