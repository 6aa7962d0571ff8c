"""What the paper claims, and which comparisons of ours bear on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gclib.metrics import groups
from gclib.records import Outcome
from gclib.tables.rows import ROWS

__all__ = ["CLAIMS", "MEASURES", "Claim", "Comparison", "Measure", "measure"]


class Measure(NamedTuple):
    """What is compared: how it is said, and whether more of it is better."""

    words: str
    more_is_better: bool = True
    group: str | None = None


MEASURES = {
    "top1": Measure("accuracy (%)"),
    "tail": Measure("accuracy of the rarest third (%)", group="few"),
    "squeezed": Measure(
        "images of the rarest third taken for the most frequent third (%)", more_is_better=False, group="few"
    ),
}


def measure(name: str, outcome: Outcome, class_counts: Sequence[int]) -> float | None:
    """Return one of the quantities in percent, or None where a record does not hold it.

    Parameters
    ----------
    name
        ``"top1"``; ``"tail"``, the mean accuracy of the rarest third of the classes; ``"squeezed"``, the share of
        their test images that are taken for one of the most frequent third (from the confusion matrix).
    outcome
        Of a record.
    class_counts
        Training images of each class, shape (C,).
    """
    thirds = groups(class_counts, "thirds")
    if name == "top1":
        return outcome.top1
    if name == "tail":
        return float(np.mean([outcome.per_class[place] for place in thirds["few"]]))
    if outcome.confusion is None:
        return None
    tail = np.array(outcome.confusion)[thirds["few"]]
    return float(100 * tail[:, thirds["many"]].sum() / tail.sum())


@dataclass(frozen=True)
class Comparison:
    """Two recipes, of which the claim puts the first ahead.

    Attributes
    ----------
    ahead, behind
        Names of recipes.
    table
        The paper's table that prints both, or None.
    quantity
        ``"top1"``, ``"tail"`` or ``"squeezed"``; see `measure`.
    stage_one
        Whether both are compared after their first stage alone.
    """

    ahead: str
    behind: str
    table: int | None = None
    quantity: str = "top1"
    stage_one: bool = False

    def printed(self, dataset: str, ratio: float) -> float | None:
        """Return the difference of the numbers that the paper prints, or None where it does not print both."""
        if self.table is None:
            return None
        numbers = [
            cell.accuracy
            for recipe in (self.ahead, self.behind)
            for row in ROWS[self.table]
            if row.recipe == recipe and not row.stage_one
            if (cell := row.cell(self.table, dataset, ratio)) and cell.accuracy is not None
        ]
        return numbers[0] - numbers[1] if len(numbers) == 2 else None


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    sentence
        The claim in plain words.
    where
        Where the paper makes it.
    comparisons
        What bears on it here.
    """

    sentence: str
    where: str
    comparisons: tuple[Comparison, ...]


def _against(own: str, protocol: str, table: int | None) -> tuple[Comparison, ...]:
    """A recipe of GCL against every other method that Table 1 has under a protocol."""
    rows = [row for row in ROWS[1] if row.protocol == protocol and row.method != "GCL"]
    behind = [row.recipe for row in rows if row.method or protocol == "unified"]
    return tuple(Comparison(own, recipe, table) for recipe in behind)


GCL = "gcl-official-cben"
CLAIMS = {
    "saturation": Claim(
        "softmax saturation can be used: clouds that grow towards the tail make its images count",
        "Abstract, Sections 1 and 3.1",
        (
            Comparison(GCL, "ce-mixup", quantity="tail", stage_one=True),
            Comparison(GCL, "gcl-official-mean", quantity="tail", stage_one=True),
        ),
    ),
    "cloud": Claim(
        "the cloud does the work, not the mean shift of the logits",
        "Sections 3.1 and 3.2 argue for random amplitudes against a hard margin; no experiment separates the two",
        (
            Comparison(GCL, "gcl-official-mean"),
            Comparison(GCL, "gcl-official-mean", stage_one=True),
            Comparison(GCL, "gcl-official-mean", quantity="tail"),
        ),
    ),
    "spans": Claim(
        "tail classes are squeezed less",
        "Sections 1, 3.2 and 4.5.1, Figures 1 to 3",
        (
            Comparison(GCL, "ce", quantity="squeezed", stage_one=True),
            Comparison(GCL, "ce-mixup", quantity="squeezed", stage_one=True),
            Comparison(GCL, "gcl-official-mean", quantity="squeezed", stage_one=True),
        ),
    ),
    "cben": Claim(
        "CBEN sampling beats effective-number sampling",
        "Sections 3.3 and 4.5.3, Table 4",
        (Comparison(GCL, "gcl-official-effective", 4),),
    ),
    "crt": Claim(
        "cRT beats LWS and tau-normalisation",
        "Section 4.5.3, Table 5",
        (Comparison(GCL, "gcl-official-lws", 5), Comparison(GCL, "gcl-official-tau-chosen", 5)),
    ),
    "competitors": Claim(
        "GCL beats every method that it is compared with",
        "Abstract, Section 4.4.1, Table 1",
        _against(GCL, "published", 1),
    ),
    "text": Claim(
        "the same for GCL as the paper's text describes it",
        "Abstract, Section 4.4.1, Table 1",
        _against("gcl-paper", "published", 1),
    ),
    "unified": Claim(
        "the same with one protocol for all methods",
        "nowhere; the question is ours",
        _against("gcl-unified", "unified", None),
    ),
    "log": Claim(
        "cloud sizes by the logarithm beat the other strategies",
        "Section 4.5.2, Table 3",
        tuple(Comparison(GCL, row.recipe, 3) for row in ROWS[3] if row.recipe != GCL),
    ),
}
