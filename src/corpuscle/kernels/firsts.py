"""What a block keeps of the labels that it saw: its own voxels, in a small type, and where each label begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.box import Box
from corpuscle.kernels.compiled import compiled


def cropped(labels: NDArray[Any], box: Box, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The part of an image of labels 0 to `count` in a box, in the smallest type that holds them;
    and the raster index of the first voxel there of each label, -1 for one that is not there.

    >>> cropped(np.array([[3, 0, 2]]), Box((0, 1), (1, 3)), 3)
    (array([[0, 2]], dtype=uint8), array([-1,  1, -1]))
    """
    kind = np.uint8 if count < 2**8 else np.uint16 if count < 2**16 else np.int32
    out = labels[box.slices].astype(kind, order="C")
    first = np.full(count + 1, -1, np.int64)
    rows = out.reshape(-1, box.shape[-1])
    # Eight bytes at a time where rows are made of them: most of a volume is background, and need not be looked at.
    _begin(rows, rows.view(np.uint64) if rows.shape[-1] * rows.itemsize % 8 == 0 and rows.size else rows, first)
    return out, first[1:]


@compiled
def _begin(rows: NDArray[Any], wide: NDArray[Any], first: NDArray[np.int64]) -> None:
    """Where each label begins; `wide` are the same rows in words of one or more labels."""
    each = rows.shape[1] // max(1, wide.shape[1])
    for r in range(len(rows)):
        row = rows[r]
        before = row.dtype.type(0)
        for w in range(wide.shape[1]):
            if wide[r, w] == 0:
                before = row.dtype.type(0)
                continue
            for x in range(w * each, (w + 1) * each):
                if row[x] != before:
                    before = row[x]
                    if before != 0 and first[before] < 0:
                        first[before] = r * len(row) + x
