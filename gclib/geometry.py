"""How classes lie in an embedding: spread, overlap, neighbourhoods, and the obscure region between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gclib.arrays import to_numpy, validated_labels
from gclib.errors import UserError

__all__ = ["CLEAR", "NEIGHBOURS", "Geometry", "geometry", "largest_share"]

NEIGHBOURS, CLEAR = 10, 0.8
"""Size of a neighbourhood, and the share of one class from which on it is clear and not obscure."""


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
        Number of classes C.
    neighbours
        How many of the nearest other images count for purity and obscure region; at most N - 1.
    clear
        Share of one class from which on a neighbourhood is clear, in (0, 1].

    Raises
    ------
    UserError
        If a feature has no direction, a class has no image, a label is none of the classes, or a parameter is out of
        its range.
    """
    from sklearn.neighbors import NearestNeighbors

    unit = unit_vectors(features)
    labels = validated_labels(labels, num_classes, len(unit))
    images = np.bincount(labels, minlength=num_classes)
    if not images.all():
        raise UserError(f"class {images.argmin()} has no image; expected at least one of each class")
    if not 1 <= neighbours < len(unit):
        raise UserError(
            f"neighbours is {neighbours}, expected 1 to {len(unit) - 1}, for there are {len(unit)} images"
        )
    if not 0 < clear <= 1:
        raise UserError(f"clear is {clear}, expected a share above 0 and at most 1")

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


def unit_vectors(features: ArrayLike) -> np.ndarray:
    """Return the directions of features (N, d), float64.

    Raises
    ------
    UserError
        If they are not of this shape, or one is zero or not finite.
    """
    values = to_numpy(features).astype(np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if values.ndim != 2 or wrong.size:
        problem = (
            f"feature {wrong[0]} is zero or not finite"
            if wrong.size
            else f"features have shape {values.shape}"
        )
        raise UserError(f"{problem}; expected (N, d), a direction for each image")
    return values / lengths


def largest_share(around: ArrayLike, num_classes: int) -> np.ndarray:
    """Return the share that the most common class has in each neighbourhood.

    Parameters
    ----------
    around
        Classes of the neighbours, shape (M, k).
    num_classes
        Number of classes C.

    Returns
    -------
    np.ndarray
        Float64, shape (M,), in [1/k, 1].

    Raises
    ------
    UserError
        If these are not the classes of k >= 1 neighbours each.
    """
    shape = to_numpy(around).shape
    if len(shape) != 2 or not shape[1]:
        raise UserError(f"neighbourhoods have shape {shape}, expected (M, k), the class of each neighbour")
    classes = validated_labels(to_numpy(around).ravel(), num_classes).reshape(shape)
    rows = np.arange(len(classes))[:, None] * num_classes
    votes = np.bincount((rows + classes).ravel(), minlength=len(classes) * num_classes)
    return votes.reshape(-1, num_classes).max(1) / shape[1]
