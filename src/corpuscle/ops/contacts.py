"""Which labelled objects touch, along how much of their edges, and which nearly do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from corpuscle.ops.accept import labels, positive, steps


def contacts(lab: ArrayLike, *, spacing: Sequence[float | None] | None = None) -> dict[str, NDArray[Any]]:
    """Each pair of objects that share an edge or corner of a pixel, once, as columns.

    ``first`` < ``second`` are their labels; ``pairs`` counts the pixel faces that they share, ``length`` their
    extent: pixel edges in 2D, areas of voxel faces in 3D, in pixels or, with `spacing`, in its unit. Objects that
    meet at corners alone have 0 of both. Sorted by first, then second.

    Raises
    ------
    LayerError
        Labels that are not integers, are negative, or not 2D or 3D.

    >>> touching = contacts([[1, 1, 0], [2, 2, 3]])
    >>> touching["first"].tolist(), touching["second"].tolist(), touching["length"].tolist()
    ([1, 1, 2], [2, 3, 3], [2.0, 0.0, 1.0])
    """
    array = labels(lab, op="contacts")
    size = steps(array.ndim, spacing)
    lows, highs, faces, extents = [], [], [], []
    for step in _halfway(array.ndim):
        here, there = array[_shifted(step, array.shape, -1)], array[_shifted(step, array.shape, 1)]
        differ = (here != there) & (here != 0) & (there != 0)
        a, b = here[differ], there[differ]
        across = [axis for axis, s in enumerate(step) if s]
        face = len(across) == 1
        lows.append(np.minimum(a, b))
        highs.append(np.maximum(a, b))
        faces.append(np.full(a.size, int(face)))
        extents.append(np.full(a.size, float(np.prod(size) / size[across[0]]) if face else 0.0))
    low, high = np.concatenate(lows), np.concatenate(highs)
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    new = np.ones(low.size, bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    group = np.cumsum(new) - 1
    count = int(new.sum())
    return {
        "first": low[new].astype(np.int64),
        "second": high[new].astype(np.int64),
        "pairs": np.bincount(group, np.concatenate(faces)[order], minlength=count).astype(np.int64),
        "length": np.bincount(group, np.concatenate(extents)[order], minlength=count).astype(np.float64),
    }


def gaps(lab: ArrayLike, *, within: float, spacing: Sequence[float | None] | None = None) -> dict[str, NDArray[Any]]:
    """Each pair of objects whose nearest pixel centres are at most `within` apart, and that distance.

    Distances are in pixels or, with `spacing`, in its unit; pixels that share an edge are one step apart.
    Memory and time grow with the edge pixels and with how many others lie within reach of each.

    >>> gaps([[1, 0, 0, 2, 3]], within=3)["gap"].tolist()
    [3.0, 1.0]
    """
    array = labels(lab, op="gaps")
    size = steps(array.ndim, spacing)
    positive(within, "within")
    edge = _edge(array)
    where = np.argwhere(edge) * size
    owner = array[edge].astype(np.int64)
    best: dict[tuple[int, int], float] = {}
    names, count = np.unique(owner, return_counts=True)
    order = np.argsort(owner, kind="stable")
    # One object at a time: the edge pixels in the ball around it, each asked for the nearest pixel of the object.
    tree = cKDTree(where)
    for name, rows in zip(names.tolist(), np.split(order, np.cumsum(count)[:-1]), strict=False):
        own = where[rows]
        middle = own.mean(axis=0)
        radius = float(np.sqrt(((own - middle) ** 2).sum(axis=1).max())) + within
        near = np.array(tree.query_ball_point(middle, radius * (1 + 1e-12)), np.int64)
        near = near[owner[near] > name]
        if near.size == 0:
            continue
        apart, _ = cKDTree(own).query(where[near], distance_upper_bound=np.nextafter(within, np.inf))
        for other, distance in zip(owner[near].tolist(), apart.tolist(), strict=True):
            if distance <= within and distance < best.get((name, other), np.inf):
                best[name, other] = distance
    pairs = sorted(best)
    return {
        "first": np.array([a for a, _ in pairs], np.int64),
        "second": np.array([b for _, b in pairs], np.int64),
        "gap": np.array([best[pair] for pair in pairs], np.float64),
    }


def _halfway(ndim: int) -> list[tuple[int, ...]]:
    """One of each two opposite steps to a neighbour."""
    return [step for step in product((-1, 0, 1), repeat=ndim) if step > (0,) * ndim]


def _shifted(step: tuple[int, ...], shape: tuple[int, ...], sign: int) -> tuple[slice, ...]:
    return tuple(slice(max(0, sign * s), n - max(0, -sign * s)) for s, n in zip(step, shape, strict=True))


def _edge(lab: NDArray[Any]) -> NDArray[np.bool_]:
    """The pixels of objects with something else, or the end of the image, beside them."""
    inner = ndimage.minimum_filter(lab, 3, mode="constant") == ndimage.maximum_filter(lab, 3, mode="constant")
    return np.asarray((lab != 0) & ~inner)
