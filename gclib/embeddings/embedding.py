"""Where a network puts some images of each class: the features, and a picture of them in the plane."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.geometry import CLEAR, NEIGHBOURS, Geometry, geometry, unit_vectors

if TYPE_CHECKING:  # an embedding is read without torch
    from gclib.networks import Network

PER_CLASS, PERPLEXITY = 60, 30.0
BATCH = 250
STORED = {"features": "f2", "labels": "u2", "test": "?", "predicted": "u2", "plane": "f4"}


@dataclass(frozen=True)
class Embedding:
    """Where a network puts images of both splits.

    Attributes
    ----------
    features
        Float, shape ``(N, d)``, as the classifier gets them.
    labels, predicted
        True class, and the class that the network gives, int, shape ``(N,)``.
    test
        Whether an image is of the test split, bool, shape ``(N,)``.
    plane
        Where to draw each image, shape ``(N, 2)``: t-SNE of the features, or they themselves where d is 2.
    class_counts
        Training images of each class in the whole split, int64, shape ``(C,)``.
    class_names
        C names.
    settings
        How the images were chosen and `plane` was made; from a record, also which run.
    """

    features: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    predicted: np.ndarray
    plane: np.ndarray
    class_counts: np.ndarray
    class_names: tuple[str, ...]
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        count, classes = len(self.features), len(self.class_names)
        shapes = {name: getattr(self, name).shape for name in ("labels", "test", "predicted")}
        if set(shapes.values()) != {(count,)} or self.plane.shape != (count, 2) or self.features.ndim != 2:
            raise UserError("embedding: expected one feature, label, prediction and place for each image")
        known = np.concatenate([self.labels, self.predicted])
        if len(self.class_counts) != classes or not ((known >= 0) & (known < classes)).all():
            raise UserError(f"embedding: a class beyond the {classes} that have names; expected none")
        unit_vectors(self.features)
        if not np.isfinite(self.plane).all():
            raise UserError("embedding: an image has no place in the plane; expected finite coordinates")

    @property
    def right(self) -> np.ndarray:
        """Which images are classified rightly, bool, shape ``(N,)``."""
        return self.predicted == self.labels

    def of(self, test: bool) -> "Embedding":
        """Return the images of one split alone."""
        arrays = {name: getattr(self, name)[self.test == test] for name in STORED}
        return replace(self, **arrays)

    def geometry(self, neighbours: int = NEIGHBOURS, clear: float = CLEAR) -> Geometry:
        """Measure the features of all images; see `gclib.geometry.geometry`."""
        return geometry(self.features, self.labels, len(self.class_names), neighbours, clear)


def subset(data: LongTailed, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose images of both splits, class by class.

    Parameters
    ----------
    data
        The data set.
    per_class
        Images of each class and split, at most: of a rarer class all are taken.
    seed
        Seed of the choice.

    Returns
    -------
    images, labels, test
        uint8 ``(N, H, W, C)``, int64 ``(N,)`` and bool ``(N,)``; the training images come first.
    """
    generator = np.random.default_rng(seed)
    images, labels, test = [], [], []
    for in_test, split in enumerate((data.train, data.test)):
        for label in range(data.num_classes):
            own = generator.permutation(np.flatnonzero(split.labels == label))
            chosen = np.sort(own[:per_class])
            images.append(split.images[chosen])
            labels.append(split.labels[chosen])
            test.append(np.full(len(chosen), bool(in_test)))
    return np.concatenate(images), np.concatenate(labels), np.concatenate(test)


def tsne(features: ArrayLike, perplexity: float = PERPLEXITY, seed: int = 0) -> np.ndarray:
    """Project directions to the plane so that near ones stay near (van der Maaten and Hinton, JMLR 2008).

    Distances between clusters, and their sizes, mean little in the picture. Another CPU may give another one.

    Parameters
    ----------
    features
        Shape ``(N, d)``; each is brought to length 1.
    perplexity
        About how many neighbours an image keeps; below N.
    seed
        Seed of the projection, which starts from the principal components.

    Returns
    -------
    np.ndarray
        Shape ``(N, 2)``.

    Raises
    ------
    UserError
        If a feature has no direction, or the perplexity is out of its range.
    """
    from sklearn.manifold import TSNE

    unit = unit_vectors(features)
    if not 0 < perplexity < len(unit):
        raise UserError(
            f"perplexity is {perplexity:g}, expected a number above 0 and below {len(unit)}, the images"
        )
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)


def embed(
    network: "Network",
    data: LongTailed,
    per_class: int = PER_CLASS,
    seed: int = 0,
    perplexity: float = PERPLEXITY,
) -> Embedding:
    """Embed some images of each class, training and test split in one plane.

    Parameters
    ----------
    network
        On the CPU. It is left in evaluation mode.
    data
        The data set.
    per_class
        Images of each class and split, at most.
    seed
        Seed of the choice of images and of t-SNE.
    perplexity
        Of t-SNE, which is left out where the network has two features.
    """
    import sklearn
    import torch

    from gclib.data.augment import normalise

    network.eval()
    images, labels, test = subset(data, per_class, seed)
    dtype = next(network.parameters()).dtype
    pixels = torch.from_numpy(images).split(BATCH)
    with torch.no_grad():
        features = torch.cat([network.features(normalise(part, data.augmentation, dtype)) for part in pixels])
        predicted = network.head(features).argmax(1)
    settings: dict[str, Any] = {"per_class": per_class, "seed": seed}
    plane = features.numpy()
    if features.shape[1] != 2:
        plane = tsne(features, perplexity, seed)
        settings |= {"tsne": {"perplexity": perplexity, "init": "pca"}, "scikit-learn": sklearn.__version__}
    return Embedding(
        features=features.numpy(),
        labels=labels,
        test=test,
        predicted=predicted.numpy(),
        plane=plane,
        class_counts=data.class_counts,
        class_names=data.class_names,
        settings=settings,
    )
