"""Tables of the book and of the README, made from run records and the paper's own numbers."""

from gclib.tables.answers import Answer, answers, choices_table
from gclib.tables.chance import Chance, noise, shared_first_stage, trainings
from gclib.tables.claims import (
    RULE,
    Finding,
    claim_table,
    claims_overview,
    conclusion,
    findings,
)
from gclib.tables.classes import class_table, write_classes
from gclib.tables.comparisons import CLAIMS, Claim, Comparison
from gclib.tables.course import choice_table, draws_table, scatter_table
from gclib.tables.details import (
    calibration_table,
    class_means,
    cost_table,
    group_means,
    per_class_table,
    pooled_reliability,
)
from gclib.tables.intervals import Gap, Interval, Spread, against_printed, gap, holm, interval, pooled
from gclib.tables.overview import overview_table
from gclib.tables.pairs import kinds_table, paired_table
from gclib.tables.results import (
    PAIRED_RULE,
    SPREAD_RULE,
    VERDICT_RULE,
    apart,
    difference,
    mean_and_singles,
    readme_table,
    results_table,
    verdict,
)
from gclib.tables.rows import ROWS, Row, by_recipe, usable
from gclib.tables.settings import settings_difference, training_table
from gclib.tables.spread import (
    chance_table,
    repeats_table,
    seeds_table,
    spreads,
    stage_one_table,
)
from gclib.tables.table import Code, Command, Link, Singles, Table

__all__ = [
    "CLAIMS",
    "PAIRED_RULE",
    "ROWS",
    "RULE",
    "SPREAD_RULE",
    "VERDICT_RULE",
    "Answer",
    "Chance",
    "Claim",
    "Code",
    "Command",
    "Comparison",
    "Finding",
    "Gap",
    "Interval",
    "Link",
    "Row",
    "Singles",
    "Spread",
    "Table",
    "against_printed",
    "answers",
    "apart",
    "by_recipe",
    "calibration_table",
    "chance_table",
    "choice_table",
    "choices_table",
    "claim_table",
    "claims_overview",
    "class_means",
    "class_table",
    "conclusion",
    "cost_table",
    "difference",
    "draws_table",
    "findings",
    "gap",
    "group_means",
    "holm",
    "interval",
    "kinds_table",
    "mean_and_singles",
    "noise",
    "overview_table",
    "paired_table",
    "per_class_table",
    "pooled",
    "pooled_reliability",
    "readme_table",
    "repeats_table",
    "results_table",
    "scatter_table",
    "seeds_table",
    "settings_difference",
    "shared_first_stage",
    "spreads",
    "stage_one_table",
    "training_table",
    "trainings",
    "usable",
    "verdict",
    "write_classes",
]
