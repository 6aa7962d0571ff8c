"""What a model reaches on a test set, and how its embedding is laid out.

Accuracies are in percent, as papers print them. Logits, predictions, labels and features are NumPy arrays or
CPU tensors; where `outputs` are asked for, logits (N, C) and predicted classes (N,) will both do.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gclib.losses.common import require_one_of

__all__ = [
    "CLEAR",
    "GROUPS",
    "GROUP_RULES",
    "NEIGHBOURS",
    "SMALL",
    "Geometry",
    "Reliability",
    "confusion_matrix",
    "geometry",
    "group_accuracy",
    "groups",
    "largest_share",
    "outcome",
    "per_class_accuracy",
    "reliability",
    "top1",
]

GROUPS = ("many", "medium", "few")
GROUP_RULES = ("counts", "thirds")
SMALL = 10
"""Up to so many classes, the groups are thirds and an outcome holds the confusion matrix."""
NEIGHBOURS, CLEAR = 10, 0.8
"""Size of a neighbourhood, and the share of one class from which on it is clear and not obscure."""


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
        CIFAR-10-LT where no class has fewer than 20 images; with 10 classes 3, 4 and 3, as MiSLAS has them.

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
        classes; thirds up to 10 classes, by counts above), ``ece`` (15 bins, 0..1), ``reliability`` (the
        columns of `Reliability`, as lists) and ``confusion`` (a list of rows up to 10 classes, None above).
    """
    logits = np.asarray(logits, dtype=np.float64)
    num_classes = logits.shape[1]
    small = num_classes <= SMALL
    per_class = per_class_accuracy(logits, labels, num_classes)
    bins = reliability(logits, labels)
    return {
        "top1": top1(logits, labels),
        "per_class": per_class.tolist(),
        **group_accuracy(per_class, class_counts, "thirds" if small else "counts"),
        "ece": bins.ece,
        "reliability": {name: column.tolist() for name, column in bins._asdict().items()},
        "confusion": confusion_matrix(logits, labels, num_classes).tolist() if small else None,
    }


class Geometry(NamedTuple):
    """How the classes lie on the unit sphere of features.

    Attributes
    ----------
    spread
        Mean distance of a class's images to the class mean, shape (C,), in 0..2.
    overlap
        Share of a class's images that lie nearer to another class's mean, shape (C,), in 0..1.
    purity
        Mean share of an image's nearest neighbours that are of its class, shape (C,), in 0..1.
    obscure
        Share of a class's images that lie in the obscure region, shape (C,), in 0..1.
    alignment
        Mean cosine between the means of two classes, in [-1/(C-1), 1]; NaN for one class.
    """

    spread: np.ndarray
    overlap: np.ndarray
    purity: np.ndarray
    obscure: np.ndarray
    alignment: float


def geometry(
    features: ArrayLike,
    labels: ArrayLike,
    num_classes: int,
    neighbours: int = NEIGHBOURS,
    clear: float = CLEAR,
) -> Geometry:
    """Measure the embedding of images, each feature brought to length 1.

    The images should be of a balanced set, the test set: among ten neighbours the images of a class of three
    cannot be pure.

    The **obscure region** is drawn in the paper (Fig. 1) and has no formula there. The definition is ours: an
    image lies in it if no class has the share `clear` of its nearest neighbours. Which class the image itself
    is of does not matter: an image deep among those of another class is misplaced, and counts for `overlap`.

    Parameters
    ----------
    features
        Shape (N, d), none of them zero.
    labels
        True classes, shape (N,), each class at least once.
    num_classes
        C.
    neighbours
        How many of the nearest other images count for purity and obscure region; at most N - 1.
    clear
        Share of one class from which on a neighbourhood is clear, in (0, 1].
    """
    from sklearn.neighbors import NearestNeighbors

    labels = np.asarray(labels)
    unit = np.asarray(features, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    images = np.bincount(labels, minlength=num_classes)

    def class_mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(labels, weights=values, minlength=num_classes) / images

    means = np.stack([class_mean(column) for column in unit.T], axis=1)
    # |f - c|^2 = |f|^2 - 2 f.c + |c|^2: no (N, C, d) array
    distances = np.sqrt(np.maximum(1 - 2 * unit @ means.T + (means**2).sum(1), 0))
    own = distances[np.arange(len(labels)), labels]
    # Without an argument, kneighbors leaves out the image itself.
    nearest_images = NearestNeighbors(n_neighbors=neighbours).fit(unit).kneighbors(return_distance=False)
    around = labels[nearest_images]
    same = (around == labels[:, None]).mean(1)
    axes = means / np.linalg.norm(means, axis=1, keepdims=True)
    pairs = (axes @ axes.T)[~np.eye(num_classes, dtype=bool)]
    return Geometry(
        spread=class_mean(own),
        overlap=class_mean(distances.argmin(1) != labels),
        purity=class_mean(same),
        obscure=class_mean(largest_share(around, num_classes) < clear),
        alignment=float(pairs.mean()) if pairs.size else float("nan"),
    )


def largest_share(around: ArrayLike, num_classes: int) -> np.ndarray:
    """Return the share that the most common class has in each neighbourhood.

    Parameters
    ----------
    around
        Classes of the neighbours, shape (M, k).
    num_classes
        C.

    Returns
    -------
    np.ndarray
        Float64, shape (M,), in [1/k, 1].
    """
    classes = np.asarray(around, dtype=np.int64)
    rows = np.arange(len(classes))[:, None] * num_classes
    votes = np.bincount((rows + classes).ravel(), minlength=len(classes) * num_classes)
    return votes.reshape(-1, num_classes).max(1) / classes.shape[1]


def _predictions(outputs: ArrayLike) -> np.ndarray:
    values = np.asarray(outputs)
    return values.argmax(1) if values.ndim == 2 else values
