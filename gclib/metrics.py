"""What a model reaches on a test set; how its embedding is laid out is measured in `gclib.geometry`.

Accuracies are in percent, as papers print them. Logits, predictions and labels are NumPy arrays or CPU
tensors; where `outputs` are asked for, logits (N, C) and predicted classes (N,) will both do.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gclib.errors import require_one_of

__all__ = [
    "GROUPS",
    "GROUP_RULES",
    "SMALL",
    "Reliability",
    "confusion_matrix",
    "group_accuracy",
    "group_rule",
    "groups",
    "outcome",
    "per_class_accuracy",
    "reliability",
    "top1",
]

GROUPS = ("many", "medium", "few")
GROUP_RULES = ("counts", "thirds")
SMALL = 10
"""Up to so many classes, the groups are thirds and an outcome holds the confusion matrix."""


def top1(outputs: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of images classified rightly, in percent.

    Parameters
    ----------
    outputs
        Logits (N, C) or predicted classes (N,).
    labels
        True classes, shape (N,).
    """
    return 100 * float(np.mean(_predictions(outputs) == np.asarray(labels)))


def confusion_matrix(outputs: ArrayLike, labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Count the images of each true class (row) that were given each class (column).

    Parameters
    ----------
    outputs
        Logits (N, C) or predicted classes (N,).
    labels
        True classes, shape (N,).
    num_classes
        C.

    Returns
    -------
    np.ndarray
        Int64, shape (C, C).
    """
    cells = np.asarray(labels, dtype=np.int64) * num_classes + _predictions(outputs)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class_accuracy(outputs: ArrayLike, labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Return the share of each class's images classified rightly, in percent.

    Parameters
    ----------
    outputs
        Logits (N, C) or predicted classes (N,).
    labels
        True classes, shape (N,).
    num_classes
        C.

    Returns
    -------
    np.ndarray
        Float64, shape (C,); NaN for a class without images. On a balanced test set its mean is `top1`.
    """
    labels = np.asarray(labels)
    hits = np.bincount(labels[_predictions(outputs) == labels], minlength=num_classes)
    with np.errstate(invalid="ignore"):
        return 100 * hits / np.bincount(labels, minlength=num_classes)


def groups(class_counts: ArrayLike, rule: str = "counts") -> dict[str, np.ndarray]:
    """Return which classes are many-shot, medium-shot and few-shot.

    Parameters
    ----------
    class_counts
        Training images of each class, shape (C,).
    rule
        ``"counts"``: more than 100 training images, 20 to 100, fewer than 20 (Kang et al., ICLR 2020).
        ``"thirds"``: the most frequent third of the classes, the middle and the rarest third, for data like
        CIFAR-10-LT where no class has fewer than 20 images; with 10 classes 3, 4 and 3, as MisLAS has them.

    Returns
    -------
    dict
        For "many", "medium" and "few" the class numbers, int64, perhaps none.

    Raises
    ------
    UserError
        For an unknown rule.
    """
    require_one_of("group rule", rule, GROUP_RULES)
    counts = np.asarray(class_counts)
    if rule == "counts":
        parts = [counts > 100, (counts >= 20) & (counts <= 100), counts < 20]
        return dict(zip(GROUPS, map(np.flatnonzero, parts), strict=True))
    by_count = np.argsort(-counts, kind="stable")
    third = len(counts) // 3
    parts = np.split(by_count, [third, len(counts) - third])
    return dict(zip(GROUPS, map(np.sort, parts), strict=True))


def group_rule(num_classes: int) -> str:
    """Return the rule of `groups` by which outcomes and records go: thirds up to 10 classes, counts above."""
    return "thirds" if num_classes <= SMALL else "counts"


def group_accuracy(
    per_class: ArrayLike, class_counts: ArrayLike, rule: str = "counts"
) -> dict[str, float | None]:
    """Return the mean per-class accuracy of the many-, medium- and few-shot classes.

    Parameters
    ----------
    per_class
        Accuracy of each class, shape (C,).
    class_counts
        Training images of each class, shape (C,).
    rule
        See `groups`.

    Returns
    -------
    dict
        For "many", "medium" and "few" the mean over their classes, None for a group without classes.
    """
    values = np.asarray(per_class, dtype=np.float64)
    members = groups(class_counts, rule)
    return {
        name: float(values[classes].mean()) if len(classes) else None for name, classes in members.items()
    }


class Reliability(NamedTuple):
    """Confidence and accuracy in bins of equal width over (0, 1], each of shape (bins,).

    Attributes
    ----------
    confidence
        Mean probability of the predicted class, in 0..1; 0 in an empty bin.
    accuracy
        Share of right predictions, in 0..1; 0 in an empty bin.
    images
        Number of images in the bin, int64.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    images: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error, in 0..1: mean gap of confidence and accuracy, weighed by `images`."""
        gap = np.abs(self.confidence - self.accuracy)
        return float(np.average(gap, weights=self.images))


def reliability(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Compare confidence with accuracy (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017).

    Parameters
    ----------
    logits
        Shape (N, C), N >= 1, as the softmax takes them: a cosine head's with its scale.
    labels
        True classes, shape (N,).
    bins
        Number of bins; bin m holds the confidences in (m/bins, (m+1)/bins].
    """
    z = np.asarray(logits, dtype=np.float64)
    # The largest probability: e^(z_max - z_max) over the sum.
    confidence = 1 / np.exp(z - z.max(1, keepdims=True)).sum(1)
    right = z.argmax(1) == np.asarray(labels)
    number = np.searchsorted(np.arange(1, bins) / bins, confidence)
    images = np.bincount(number, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, weights=values, minlength=bins) / np.maximum(images, 1)

    return Reliability(mean(confidence), mean(right), images)


def outcome(logits: ArrayLike, labels: ArrayLike, class_counts: ArrayLike) -> dict[str, Any]:
    """Return what a run record keeps of one evaluation.

    Parameters
    ----------
    logits
        Test-time logits, shape (N, C).
    labels
        True classes, shape (N,).
    class_counts
        Training images of each class, shape (C,).

    Returns
    -------
    dict
        ``top1``, ``per_class`` (a list), ``many``, ``medium``, ``few`` (percent, or None for a group without
        classes; see `group_rule`), ``ece`` (15 bins, 0..1), ``reliability`` (the
        columns of `Reliability`, as lists) and ``confusion`` (a list of rows up to 10 classes, None above).
    """
    logits = np.asarray(logits, dtype=np.float64)
    num_classes = logits.shape[1]
    per_class = per_class_accuracy(logits, labels, num_classes)
    bins = reliability(logits, labels)
    return {
        "top1": top1(logits, labels),
        "per_class": per_class.tolist(),
        **group_accuracy(per_class, class_counts, group_rule(num_classes)),
        "ece": bins.ece,
        "reliability": {name: column.tolist() for name, column in bins._asdict().items()},
        "confusion": confusion_matrix(logits, labels, num_classes).tolist() if num_classes <= SMALL else None,
    }


def _predictions(outputs: ArrayLike) -> np.ndarray:
    values = np.asarray(outputs)
    return values.argmax(1) if values.ndim == 2 else values
