"""The run record: one checked JSON file a run."""

from gclib.records.again import again, command
from gclib.records.behaviour import FINGERPRINTS, fingerprints, marks
from gclib.records.fields import content_hash
from gclib.records.files import (
    RecordError,
    find,
    find_with_paths,
    load,
    locate,
    parse,
    paths,
    place,
    repeat_path,
    require_room,
    results_path,
    save,
)
from gclib.records.report import Difference, Step, compare, replay, show, verify
from gclib.records.schema import DataSummary, Environment, RunRecord, run_identity
from gclib.records.stages import Choice, Course, Outcome, StageRun
from gclib.records.weights import CLASSIFIER, RUN, RUN_WEIGHTS, check_weights, weights_path

__all__ = [
    "CLASSIFIER",
    "FINGERPRINTS",
    "RUN",
    "RUN_WEIGHTS",
    "Choice",
    "Course",
    "DataSummary",
    "Difference",
    "Environment",
    "Outcome",
    "RecordError",
    "RunRecord",
    "StageRun",
    "Step",
    "again",
    "check_weights",
    "command",
    "compare",
    "content_hash",
    "find",
    "find_with_paths",
    "fingerprints",
    "load",
    "locate",
    "marks",
    "parse",
    "paths",
    "place",
    "repeat_path",
    "replay",
    "require_room",
    "results_path",
    "run_identity",
    "save",
    "show",
    "verify",
    "weights_path",
]
