"""The outlines of labelled objects as SVG paths along the edges of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def outline(labels: NDArray[Any], *, cut: bool = False) -> str:
    """Where a label (y, x) meets another or the background, as the data of an SVG path in pixels.

    Pixel (0, 0) covers 0..1 along x and y. An object that touches the border of the array ends there, unless the array
    was `cut` out of a larger one, where nobody knows.

    >>> outline(np.array([[0, 5]]))
    'M1 0h1M1 1h1M1 0v1M2 0v1'
    """
    padded = np.pad(labels, 1, mode="edge" if cut else "constant")
    along = padded[:-1, 1:-1] != padded[1:, 1:-1]
    down = padded[1:-1, :-1] != padded[1:-1, 1:]
    flat = [f"M{x} {y}h{n}" for y, x, n in _runs(along)]
    upright = [f"M{x} {y}v{n}" for x, y, n in _runs(down.T)]
    return "".join(flat + upright)


def _runs(edges: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, start and length of each run of edges."""
    wide = np.zeros((edges.shape[0], edges.shape[1] + 2), np.int8)
    wide[:, 1:-1] = edges
    change = np.diff(wide, axis=1)
    row, start = np.nonzero(change == 1)
    stop = np.nonzero(change == -1)[1]
    return list(zip(row.tolist(), start.tolist(), (stop - start).tolist(), strict=True))
