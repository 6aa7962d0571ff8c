"""What the paper claims, and which comparisons of ours bear on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gclib import ROOT, embeddings
from gclib.geometry import Geometry
from gclib.metrics import groups
from gclib.records import RunRecord, results_path
from gclib.tables.rows import ROWS, outcome

__all__ = ["CLAIMS", "EMBEDDED", "MEASURES", "Claim", "Comparison", "Measure", "value"]


class Measure(NamedTuple):
    """What is compared: how it is said, and whether more of it is better."""

    words: str
    more_is_better: bool = True


MEASURES = {
    "top1": Measure("accuracy (%)"),
    "tail": Measure("accuracy of the tail (%)"),
    "squeezed": Measure("tail taken for head (%)", False),
    "span": Measure("spread of the tail over that of the head (%)"),
    "obscure": Measure("tail in the obscure region (%)", False),
}
EMBEDDED = ("span", "obscure")  # measured on the features of stage one, where they are kept beside the record


def value(run: RunRecord, name: str = "top1", best: bool = False, stage_one: bool = False) -> float | None:
    """Return a quantity of a run in percent, or None where its record does not hold it.

    Parameters
    ----------
    run
        The record.
    name
        ``"top1"``; ``"tail"``, the mean accuracy of the rarest third of the classes; ``"squeezed"``, the share of
        their test images that are taken for one of the most frequent third (from the confusion matrix); ``"span"``
        and ``"obscure"``, the spread of their features and their share in the obscure region, as
        `gclib.geometry.geometry` measures them.
    best
        Whether it is that of the best epoch on the test set (paper-style) or of the last (clean).
    stage_one
        Whether the first stage alone counts; features are always its own, after the last epoch.
    """
    thirds = groups(run.data.class_counts, "thirds")
    if name in EMBEDDED:
        return None if best else _of_features(run, name, thirds)
    found = outcome(run, best, stage_one)
    if name == "top1":
        return found.top1
    if name == "tail":
        return float(np.mean([found.per_class[place] for place in thirds["few"]]))
    if found.confusion is None:
        return None
    tail = np.array(found.confusion)[thirds["few"]]
    return float(100 * tail[:, thirds["many"]].sum() / tail.sum())


def _of_features(run: RunRecord, name: str, thirds: Mapping[str, np.ndarray]) -> float | None:
    path = results_path(run, ROOT / "results").with_suffix(embeddings.SUFFIX)
    made_of, shape = _embedded(path) if path.exists() else (None, None)
    if shape is None or made_of != run.identity:
        return None
    if name == "obscure":
        return float(100 * shape.obscure[thirds["few"]].mean())
    return float(100 * shape.spread[thirds["few"]].mean() / shape.spread[thirds["many"]].mean())


@cache
def _embedded(path: Path) -> tuple[object, Geometry]:
    """Identity of the run that an embedding was made from, and how the classes lie on its test images."""
    found = embeddings.load(path)
    return found.settings.get("run"), found.of(test=True).geometry()


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
        A key of `MEASURES`; see `value`.
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
        "tail classes take more room in the embedding, and less of it is obscure",
        "Sections 1, 3.2 and 4.5.1, Figures 1 to 3",
        (
            *(
                Comparison("gcl-official", rival, quantity=quantity, stage_one=True)
                for quantity in EMBEDDED
                for rival in ("ce", "ce-mixup")
            ),
        ),
    ),
    "confusion": Claim(
        "test images of the tail are taken for classes of the head less often",
        "nowhere in numbers; a trace of the squeezing that every record holds",
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
        "GCL as the paper's text describes it beats every method that it is compared with",
        "Abstract, Section 4.4.1, Table 1",
        _against("gcl-paper", "published", 1),
    ),
    "sources": Claim(
        "the settings of the released code end above those of the paper's text",
        "nowhere; the question is ours",
        (Comparison(GCL, "gcl-paper"),),
    ),
    "unified": Claim(
        "with one protocol for all methods, GCL beats every method that it is compared with",
        "nowhere; the question is ours",
        _against("gcl-unified", "unified", None),
    ),
    "unified-one": Claim(
        "with one protocol, stage one alone is ahead of logit adjustment",
        "nowhere; the question is ours",
        (Comparison("gcl-unified", "logit-adjustment-unified", stage_one=True),),
    ),
    "settings": Claim(
        "GCL keeps its accuracy without its own batch size and mixup",
        "nowhere; the question is ours",
        (Comparison("gcl-unified", GCL),),
    ),
    "log": Claim(
        "cloud sizes by the logarithm beat the other strategies",
        "Section 4.5.2, Table 3",
        tuple(Comparison(GCL, row.recipe, 3) for row in ROWS[3] if row.recipe != GCL),
    ),
}
