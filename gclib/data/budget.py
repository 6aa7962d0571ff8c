"""How many images a run of a scale sees, and which sample of a data set that leaves."""

import numpy as np

from gclib.data.counts import class_counts
from gclib.errors import UserError

__all__ = ["IMAGE_BUDGET", "image_budget", "sample_classes", "sample_counts"]

# Images that stage one may see; a smoke run checks the machinery in seconds, a short one takes minutes.
IMAGE_BUDGET = {"smoke": 8_000, "short": 150_000, "paper": None}
SMOKE_SIDE = (
    8  # pixels a side of the digits, for which the smoke budget is meant: larger images count as several
)

IMAGES_A_CLASS = 4  # of the budget, on average, in a sample of a data set with very many classes
FEWEST_CLASSES = 3  # many, medium and few


def image_budget(scale: str, height: int, width: int) -> int | None:
    """Return how many images of that size stage one of a run may see; None for no limit.

    Examples
    --------
    >>> image_budget("smoke", 8, 8), image_budget("smoke", 32, 32), image_budget("paper", 32, 32)
    (8000, 500, None)
    """
    budget = IMAGE_BUDGET[scale]
    if scale != "smoke" or budget is None:
        return budget
    return max(1, budget * SMOKE_SIDE**2 // max(height * width, SMOKE_SIDE**2))


def sample_classes(classes: int, at_most: int) -> np.ndarray:
    """Return the classes that a sample of so many images has: all, or so many that each has some, from first to last.

    Parameters
    ----------
    classes
        Number of classes C.
    at_most
        Images in all.

    Returns
    -------
    np.ndarray
        int64, rising, in 0..C-1; of classes in the order of their training images the first is the most frequent.

    Examples
    --------
    >>> sample_classes(10, 500).tolist(), sample_classes(5000, 20).tolist()
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1250, 2500, 3749, 4999])
    """
    most = min(classes, max(FEWEST_CLASSES, at_most // IMAGES_A_CLASS))
    return np.linspace(0, classes - 1, most).round().astype(np.int64)


def sample_counts(counts: np.ndarray, at_most: int, ratio: float | None = None) -> np.ndarray:
    """Return how many images of each class a stratified sample takes: the same share of each, but at least one.

    Parameters
    ----------
    counts
        Images of each class, int, shape ``(C,)``, at least 1 each.
    at_most
        Images in all; where there are more classes than that, one of each.
    ratio
        Imbalance ratio that `counts` were cut to: then the sample is such a cut from a smaller head.

    Returns
    -------
    np.ndarray
        int64, shape ``(C,)``, each between 1 and its count.

    Raises
    ------
    UserError
        If no sample of that size keeps the ratio.

    Examples
    --------
    >>> sample_counts(np.array([900, 90, 9, 1]), 100).tolist()
    [89, 8, 1, 1]
    """
    if counts.sum() <= at_most:
        return counts

    def shares(head: int) -> np.ndarray:
        if ratio is not None:
            return class_counts(head, len(counts), ratio)
        return np.maximum(counts * head // counts.max(), 1)

    least = (
        1 if ratio is None else next(n for n in range(int(ratio), int(ratio) + 2) if int(n * ratio**-1) >= 1)
    )
    low, high = least, int(counts.max())
    while low < high:  # the largest head whose sample fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if shares(middle).sum() <= at_most else (low, middle - 1)
    if ratio is not None and shares(low).sum() > at_most:
        raise UserError(
            f"ratio {ratio:g} over {len(counts)} classes needs {shares(low).sum()} images, and a run of this scale "
            f"sees {at_most}; leave the images as they are (ratio 0), or choose another scale"
        )
    return shares(low)
