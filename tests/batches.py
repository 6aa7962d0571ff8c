"""Cosines, targets and noise to test losses with, and their cross-entropy by other means."""

import numpy as np
import torch
from scipy.special import logsumexp

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # CIFAR-10-LT at imbalance ratio 100
EXTREME = [1_000_000, 1, 40, 1]


def batch(num_classes, size=8, seed=0, dtype=torch.float64):
    """Cosines (B, C), targets that reach every class, and a raw draw of noise, some of it beyond 1."""
    generator = torch.Generator().manual_seed(seed)
    cosine = 2 * torch.rand(size, num_classes, generator=generator, dtype=torch.float64) - 1
    noise = 0.7 * torch.randn(size, num_classes, generator=generator, dtype=torch.float64)
    return cosine.to(dtype), torch.arange(size) % num_classes, noise.to(dtype)


def cross_entropies(logits, target):
    """Cross-entropy of each image, by SciPy."""
    return np.array([logsumexp(row) - row[y] for row, y in zip(logits, target, strict=True)])
