"""Where each label of an image begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.kernels.compiled import compiled


def firsts(labels: ArrayLike, count: int) -> NDArray[np.int64]:
    """The raster index of the first voxel of each of the labels 1 to `count`; -1 for one that is not there.

    >>> firsts(np.array([[0, 2], [2, 1]]), 3)
    array([ 3,  1, -1])
    """
    out = np.full(count + 1, -1, np.int64)
    _firsts(np.ascontiguousarray(labels).reshape(-1), out)
    return out[1:]


@compiled
def _firsts(flat: NDArray[Any], out: NDArray[np.int64]) -> None:
    before = np.int64(0)
    for i in range(len(flat)):
        label = np.int64(flat[i])
        if label != before:
            before = label
            if label != 0 and out[label] < 0:
                out[label] = i
