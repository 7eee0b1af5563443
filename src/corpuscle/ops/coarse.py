"""A plane on a coarser grid and back, so that wide neighbourhoods cost little; flips and turns commute with both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def grid(shape: tuple[int, ...], cell: float) -> tuple[int, int]:
    """How many cells of about `cell` pixels cover a plane, at least one along each axis.

    >>> grid((512, 512), 5.1), grid((3, 1), 8)
    ((100, 100), (1, 1))
    """
    rows, columns = (max(1, round(min(n, n / cell))) for n in shape)
    return rows, columns


def mean(plane: NDArray[Any], cells: tuple[int, int]) -> NDArray[np.float32]:
    """The mean of each cell. Cells whose edges cut pixels hold these whole, so that none is preferred.

    >>> mean(np.array([[1.0, 2, 3], [1, 2, 3]]), (1, 2)).tolist()
    [[1.5, 2.5]]
    """
    total = _reduced(np.add, plane.astype(np.float32, copy=False), cells)
    rows, columns = (np.diff(_bounds(n, k), axis=0)[0] for n, k in zip(plane.shape, cells, strict=True))
    return np.asarray(total / (rows[:, None] * columns[None, :]), np.float32)


def most(plane: NDArray[Any], cells: tuple[int, int]) -> NDArray[Any]:
    """The greatest pixel of each cell.

    >>> most(np.array([[1.0, 2, 3], [1, 2, 3]]), (1, 2)).tolist()
    [[2.0, 3.0]]
    """
    return _reduced(np.maximum, plane, cells)


def fine(coarse: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Cell values as pixels: linear between the middles of cells, constant beyond the outermost.

    >>> fine(np.array([[0, 4]], np.float32), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    out = coarse
    for axis in (0, 1):
        left, share = _between(shape[axis], coarse.shape[axis])
        right = np.minimum(left + 1, coarse.shape[axis] - 1)
        share = share[:, None] if axis == 0 else share[None, :]
        a, b = np.take(out, left, axis), np.take(out, right, axis)
        b -= a
        b *= share
        a += b
        out = a
    return out


def _bounds(n: int, cells: int) -> NDArray[np.intp]:
    k = np.arange(cells)
    return np.stack([k * n // cells, -((k + 1) * -n // cells)])


def _reduced(ufunc: np.ufunc, plane: NDArray[Any], cells: tuple[int, int]) -> NDArray[Any]:
    out = plane
    reduceat: Callable[..., NDArray[Any]] = ufunc.reduceat
    for axis in (0, 1):
        # Start and stop of each cell in turn; what lies between a stop and the next start is thrown away.
        ends = _bounds(plane.shape[axis], cells[axis]).T.ravel()[:-1]
        kept = (slice(None),) * axis + (slice(None, None, 2),)
        out = reduceat(out, ends, axis=axis)[kept]
    return out


def _between(n: int, cells: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    at = np.clip((np.arange(n) + 0.5) * (cells / n) - 0.5, 0, cells - 1)
    left = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    return left, (at - left).astype(np.float32)
