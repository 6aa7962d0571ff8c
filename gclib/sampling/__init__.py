"""Class probabilities of the samplers, and the streams of image indices that they make.

A sampler is a vector of class probabilities: it draws a class, then an image of that class uniformly, with
replacement. Instance-balanced sampling is a permutation instead: each image once an epoch, in random order.
All randomness comes from the ``torch.Generator`` (CPU) that the caller gives. `ClassSampler` is for a
`torch.utils.data.DataLoader`, in a loop of your own.
"""

from typing import TYPE_CHECKING, Any

from gclib.sampling.probabilities import (
    CBEN_A,
    CBEN_B,
    STRATEGIES,
    class_probabilities,
    effective_number_weights,
)

if TYPE_CHECKING:
    from gclib.sampling.indices import ClassIndex, ClassSampler, epoch_indices

__all__ = [
    "CBEN_A",
    "CBEN_B",
    "STRATEGIES",
    "ClassIndex",
    "ClassSampler",
    "class_probabilities",
    "effective_number_weights",
    "epoch_indices",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gclib.sampling import indices  # with torch, which takes seconds to load

    return getattr(indices, name)
