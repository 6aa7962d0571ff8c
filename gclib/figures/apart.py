"""Where the names in a picture stand, so that none lies on another."""

from collections.abc import Sequence
from functools import partial

import numpy as np

__all__ = ["sides", "spread"]

LETTERS, LINES = 38, 18  # of names, how many fit into a panel across and down


def spread(places: np.ndarray, apart: float) -> np.ndarray:
    """Move places that lie close together apart, each to a free one near by.

    Parameters
    ----------
    places
        Shape ``(N, 2)``.
    apart
        Least distance of two of them, >= 0.

    Returns
    -------
    np.ndarray
        Shape ``(N, 2)``; a place that is free stays as it is.

    Examples
    --------
    >>> spread(np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0]]), 1.0).round(1).tolist()
    [[0.0, 0.0], [1.1, 0.0], [5.0, 0.0]]
    """
    rings = [apart * ring * np.exp(2j * np.pi * np.arange(8 * ring) / (8 * ring)) for ring in range(1, 6)]
    ways = np.concatenate([[0], *rings])  # from a place to those round it, the nearest first
    taken: list[complex] = []
    for place in places @ np.array([1, 1j]):
        near = place + ways
        free = np.all(np.abs(np.subtract.outer(near, taken)) > 0.99 * apart, axis=1)
        taken.append(near[np.argmax(free)])
    return np.stack([np.real(taken), np.imag(taken)], axis=1)


def sides(names: Sequence[str], places: np.ndarray, points: np.ndarray) -> list[tuple[int, int]]:
    """Choose on which side of its place each name is written: where it lies on no other and is not cut.

    Parameters
    ----------
    names
        N names.
    places
        Where they belong, shape ``(N, 2)``.
    points
        What the panel shows, shape ``(M, 2)``: it reaches as far as they do.

    Returns
    -------
    list of tuple
        For each name: left (-1), on (0) or right of its place (1); below, on or above it.

    Examples
    --------
    >>> sides(["automobile", "airplane"], np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0, 0], [1, 1]]))
    [(0, 1), (0, -1)]
    """
    low, high = points.min(0), points.max(0)
    centres = (places - low) / (high - low) * (LETTERS, LINES)
    ways = sorted(((x, y) for x in (0, 1, -1) for y in (0, 1, -1)), key=lambda way: abs(way[0]) + abs(way[1]))
    sizes = np.array([(len(name), 1) for name in names])
    chosen = np.zeros_like(sizes)

    def amiss(number: int, way: tuple[int, int]) -> float:
        size = sizes[number]
        centre = centres[number] + np.array(way) * size / 2
        cut = max(size[0] / 2 - centre[0], centre[0] + size[0] / 2 - LETTERS, 0)
        others = np.delete(centres + chosen * sizes / 2, number, axis=0)
        over = (size + np.delete(sizes, number, axis=0)) / 2 - np.abs(centre - others)
        return float(cut + over.clip(0).prod(axis=1).sum())

    for _ in range(3):  # a name may make room for one that was chosen later
        for number in range(len(names)):
            chosen[number] = min(ways, key=partial(amiss, number))
    return [(int(x), int(y)) for x, y in chosen]
