"""What a model reaches on a test set; how its embedding is laid out is measured in `gclib.geometry`.

Accuracies are in percent, as papers print them. Logits, predictions and labels are arrays, or tensors of any device
and dtype; where `outputs` are asked for, logits (N, C) and predicted classes (N,) will both do. What cannot be counted
ends in a `UserError`: no image, another number of labels than of outputs, a class beyond C, a logit that is no number.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gclib.arrays import PerClass, per_class_numbers, to_numpy, validated_counts, validated_labels
from gclib.errors import UserError, require_one_of

__all__ = [
    "GROUPS",
    "GROUP_RULES",
    "SMALL",
    "Answers",
    "Reliability",
    "answers",
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
    predicted, labels = _predictions_and_labels(outputs, labels)
    return 100 * float(np.mean(predicted == labels))


def confusion_matrix(outputs: ArrayLike, labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Count the images of each true class (row) that were given each class (column).

    Parameters
    ----------
    outputs
        Logits (N, C) or predicted classes (N,).
    labels
        True classes, shape (N,).
    num_classes
        Number of classes C.

    Returns
    -------
    np.ndarray
        Int64, shape (C, C).
    """
    predicted, labels = _predictions_and_labels(outputs, labels, num_classes)
    cells = labels * num_classes + predicted
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
        Number of classes C.

    Returns
    -------
    np.ndarray
        Float64, shape (C,); NaN for a class without images. On a balanced test set its mean is `top1`.
    """
    predicted, labels = _predictions_and_labels(outputs, labels, num_classes)
    hits = np.bincount(labels[predicted == labels], minlength=num_classes)
    with np.errstate(invalid="ignore"):
        return 100 * hits / np.bincount(labels, minlength=num_classes)


def groups(class_counts: PerClass, rule: str = "counts") -> dict[str, np.ndarray]:
    """Return which classes are many-shot, medium-shot and few-shot.

    Parameters
    ----------
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
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
        For an unknown rule, or a count below 1.
    """
    require_one_of("group rule", rule, GROUP_RULES)
    counts = validated_counts(class_counts)
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
    per_class: PerClass, class_counts: PerClass, rule: str = "counts"
) -> dict[str, float | None]:
    """Return the mean per-class accuracy of the many-, medium- and few-shot classes.

    Parameters
    ----------
    per_class
        Accuracy of each class, shape (C,); NaN for a class without test images.
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.
    rule
        See `groups`.

    Returns
    -------
    dict
        For "many", "medium" and "few" the mean over their classes that have test images, None if there is none.

    Raises
    ------
    UserError
        If there is not one accuracy for each count.
    """
    values, members = per_class_numbers(per_class, "accuracies"), groups(class_counts, rule)
    if len(values) != sum(map(len, members.values())):
        raise UserError(
            f"{len(values)} accuracies for {sum(map(len, members.values()))} class counts, expected as many"
        )
    known = {name: values[classes][~np.isnan(values[classes])] for name, classes in members.items()}
    return {name: float(own.mean()) if len(own) else None for name, own in known.items()}


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
        """Expected calibration error in 0..1, the mean gap of confidence and accuracy, weighed by `images`."""
        gap = np.abs(self.confidence - self.accuracy)
        return float((gap * self.images).sum() / self.images.sum())


class Answers(NamedTuple):
    """What a network says of N images: all that is measured of it.

    Attributes
    ----------
    predicted
        Classes, int64, shape (N,).
    confidence
        Their probabilities, float64, shape (N,), in 0..1.
    """

    predicted: np.ndarray
    confidence: np.ndarray


def answers(logits: ArrayLike) -> Answers:
    """Return the class of the largest logit of each image, and its probability.

    Parameters
    ----------
    logits
        Shape (N, C), N >= 1, as the softmax takes them: a cosine head's with its scale.

    Raises
    ------
    UserError
        If a logit is NaN, or leaves no probability.
    """
    z = to_numpy(logits).astype(np.float64)
    if z.ndim != 2:
        raise UserError(
            f"logits have shape {z.shape}; expected logits (N, C), for a confidence is a probability"
        )
    if np.isnan(z).any():
        raise UserError("a logit is NaN, expected a number; look for the step where the network diverged")
    if not np.isfinite(z.max(1)).all():
        raise UserError("a logit is infinite; expected finite logits, for a confidence is a probability")
    # The largest probability: e^(z_max - z_max) over the sum.
    return Answers(z.argmax(1), 1 / np.exp(z - z.max(1, keepdims=True)).sum(1))


def reliability(outputs: ArrayLike | Answers, labels: ArrayLike, bins: int = 15) -> Reliability:
    """Compare confidence with accuracy (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017).

    Parameters
    ----------
    outputs
        Logits (N, C), or what `answers` makes of them.
    labels
        True classes, shape (N,).
    bins
        Number of bins, >= 1; bin m holds the confidences in (m/bins, (m+1)/bins].

    Raises
    ------
    UserError
        If predicted classes are given instead of logits, or a logit leaves no probability.
    """
    if bins < 1:
        raise UserError(f"{bins} bins; expected at least one")
    found = outputs if isinstance(outputs, Answers) else answers(outputs)
    predicted, labels = _predictions_and_labels(found.predicted, labels)
    confidence = found.confidence
    right = predicted == labels
    number = np.searchsorted(np.arange(1, bins) / bins, confidence)
    images = np.bincount(number, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, weights=values, minlength=bins) / np.maximum(images, 1)

    return Reliability(mean(confidence), mean(right), images)


def outcome(outputs: ArrayLike | Answers, labels: ArrayLike, class_counts: PerClass) -> dict[str, Any]:
    """Return what a run record keeps of one evaluation.

    Parameters
    ----------
    outputs
        Test-time logits, shape (N, C), or what `answers` makes of them.
    labels
        True classes, shape (N,).
    class_counts
        Training images of each class; see `gclib.arrays.validated_counts`.

    Returns
    -------
    dict
        ``top1``, ``per_class`` (a list, None for a class without test images), ``many``, ``medium``, ``few`` (percent,
        or None for a group without such classes; see `group_rule`), ``ece`` (15 bins, 0..1), ``reliability`` (the
        columns of `Reliability`, as lists) and ``confusion`` (a list of rows up to 10 classes, None above).
    """
    num_classes = len(validated_counts(class_counts))
    if not isinstance(outputs, Answers):
        logits = to_numpy(outputs)
        if logits.ndim == 2 and logits.shape[1] != num_classes:
            raise UserError(
                f"logits have shape {logits.shape}, expected (N, {num_classes}), one for each class"
            )
        outputs = answers(logits)
    bins, predicted = reliability(outputs, labels), outputs.predicted
    per_class = per_class_accuracy(predicted, labels, num_classes)
    return {
        "top1": top1(predicted, labels),
        "per_class": [None if np.isnan(accuracy) else accuracy for accuracy in per_class.tolist()],
        **group_accuracy(per_class, class_counts, group_rule(num_classes)),
        "ece": bins.ece,
        "reliability": {name: column.tolist() for name, column in bins._asdict().items()},
        "confusion": confusion_matrix(predicted, labels, num_classes).tolist()
        if num_classes <= SMALL
        else None,
    }


def _predictions_and_labels(
    outputs: ArrayLike, labels: ArrayLike, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes, int64, shape (N,), N >= 1, all of them below `num_classes`."""
    values = to_numpy(outputs)
    if values.ndim == 2:
        width = values.shape[1]
        if width == 0 or num_classes not in (None, width):
            expected = f"(N, {num_classes or 'C'})"
            raise UserError(f"logits have shape {values.shape}, expected {expected}, one for each class")
        if np.isnan(values).any():
            raise UserError("a logit is NaN, expected a number; look for the step where the network diverged")
        values, num_classes = values.argmax(1), width
    predicted = validated_labels(values, num_classes, what="predictions")
    if not len(predicted):
        raise UserError("there is no image to measure; expected at least one")
    return predicted, validated_labels(labels, num_classes, len(predicted))
