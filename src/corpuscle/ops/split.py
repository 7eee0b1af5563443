"""Where clumps are cut: centres of a distance map, and which of their regions belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TOUCHING = np.ones((3, 3), bool)


def centres(surface: NDArray[Any], *, apart: float) -> NDArray[np.int32]:
    """Labels of the maxima of a surface that nothing within `apart` pixels along either axis exceeds.

    Equal maxima within reach of each other, plateaus too, are one centre, so that no flip or turn can prefer a pixel.
    """
    reach = max(1, round(min(apart, max(surface.shape))))
    peak = (surface > 0) & (ndimage.maximum_filter(surface, 2 * reach + 1) == surface)
    # Equals within reach of one another are one centre too: fatten them until they meet.
    lab, _ = ndimage.label(ndimage.maximum_filter(peak, reach // 2 * 2 + 1), _TOUCHING)
    return np.asarray(lab * peak, np.int32)


def joined(
    lab: NDArray[np.int32], surface: NDArray[Any], seeds: NDArray[np.int32], *, neck: float
) -> NDArray[np.int32]:
    """The regions of a watershed from `seeds`, those made one whose pass is nearly as high as the lower of their peaks.

    The pass between two regions is the highest place of the surface on their common border; they are joined where it
    reaches `neck` times the lower peak. High passes first, and a joined region has the higher peak.
    """
    first, second, low, high = _borders(lab)
    if first.size == 0:
        return lab
    flat = surface.ravel()
    n = int(lab.max())
    # A region was flooded from its peak.
    summit = np.flatnonzero(seeds)
    peak = np.zeros(int(seeds.max()) + 1)
    np.maximum.at(peak, seeds.ravel()[summit], flat[summit])
    pair, index = np.unique(low.astype(np.int64) * (n + 1) + high, return_inverse=True)
    crossing = np.zeros(len(pair))
    np.maximum.at(crossing, index, np.minimum(flat[first], flat[second]))
    parent = list(range(n + 1))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for k in np.argsort(-crossing, kind="stable"):
        a, b = root(int(pair[k]) // (n + 1)), root(int(pair[k]) % (n + 1))
        if a != b and crossing[k] >= neck * min(peak[a], peak[b]):
            a, b = (a, b) if peak[a] >= peak[b] else (b, a)
            parent[b] = a
    return np.array([root(i) for i in range(n + 1)], np.int32)[lab]


def _borders(lab: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """Adjacent pixels of two regions, diagonals included: their flat indices, then the lower and the higher label."""
    columns = lab.shape[1]
    flat = lab.ravel()
    a, b = [], []
    for here, there, step in (
        (lab[:, :-1], lab[:, 1:], (0, 1)),
        (lab[:-1], lab[1:], (1, 0)),
        (lab[:-1, :-1], lab[1:, 1:], (1, 1)),
        (lab[:-1, 1:], lab[1:, :-1], (1, -1)),
    ):
        row, column = np.nonzero((here != there) & (here != 0) & (there != 0))
        first = row * columns + column + (step[1] < 0)
        a.append(first)
        b.append(first + step[0] * columns + step[1])
    first, second = np.concatenate(a), np.concatenate(b)
    return first, second, np.minimum(flat[first], flat[second]), np.maximum(flat[first], flat[second])
