"""Which ids belong together, from pairs that do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import LayerError
from corpuscle.kernels.compiled import compiled


def roots(n: int, pairs: ArrayLike) -> NDArray[np.int64]:
    """For each of the ids 0..n-1 the smallest that it is joined with, directly or through others; itself if none.

    Union-find by the smaller id, with path halving (Tarjan and van Leeuwen, J. ACM 31 (1984) 245). The answer does not
    depend on the order of the pairs.

    Parameters
    ----------
    pairs
        Of shape (m, 2), ids that belong together.

    Raises
    ------
    LayerError
        Pairs that are not two ids each, or name an id out of range.

    >>> roots(5, [[3, 1], [4, 3]]).tolist()
    [0, 1, 2, 1, 1]
    """
    given = np.asarray(pairs)
    if given.size == 0:
        return np.arange(n, dtype=np.int64)
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "iu":
        raise LayerError(f"pairs of ids are two integers each, not {given.dtype} of {given.shape}", rule="pairs")
    if int(given.min()) < 0 or int(given.max()) >= n:
        raise LayerError(f"pairs of ids from {given.min()} to {given.max()}, where there are {n} ids", rule="pairs")
    up = np.arange(n, dtype=np.int64)
    _join(up, np.ascontiguousarray(given, dtype=np.int64))
    return up


@compiled
def _join(up: NDArray[np.int64], pairs: NDArray[np.int64]) -> None:
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        while up[a] != a:
            up[a] = up[up[a]]
            a = up[a]
        while up[b] != b:
            up[b] = up[up[b]]
            b = up[b]
        if a < b:
            up[b] = a
        else:
            up[a] = b
    # What an id is joined to is smaller, so already led to its end.
    for i in range(len(up)):
        up[i] = up[up[i]]
