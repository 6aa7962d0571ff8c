"""Sizes of the Gaussian clouds, as numbers: samplers take them too, and what only reads does without torch."""

import numpy as np

from gclib.arrays import PerClass, validated_counts
from gclib.errors import require_one_of

__all__ = ["CLOUD_STRATEGIES", "relative_sizes"]

# Each maps the counts n_j to a cloud size, before the division by the largest; 0 for the most frequent class.
# The paper gives "log" (Eq. 9); of the others its Table 3 gives names only, these are the natural readings.
CLOUD_STRATEGIES = {
    "log": lambda n: np.log(n.max()) - np.log(n),
    "power-1/3": lambda n: np.cbrt(n.max()) - np.cbrt(n),
    "power-1/4": lambda n: n.max() ** 0.25 - n**0.25,
    # cos(pi/2 * n/n_max), written as a sine so that it is exactly 0 at n_max.
    "cosine": lambda n: np.sin(np.pi / 2 * (1 - n / n.max())),
}


def relative_sizes(class_counts: PerClass, strategy: str = "log") -> np.ndarray:
    """Return the relative size of each class's cloud, float64 ``(C,)``; see `gclib.losses.cloud_sizes`."""
    require_one_of("cloud-size strategy", strategy, CLOUD_STRATEGIES)
    delta = CLOUD_STRATEGIES[strategy](validated_counts(class_counts))
    return delta / delta.max() if delta.max() > 0 else np.zeros_like(delta)
