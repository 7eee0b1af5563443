"""Resampling on another grid: an affine map, linear interpolation, block by block to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.core import Box


def warp(
    pixels: NDArray[Any],
    *,
    matrix: Sequence[Sequence[float]],
    corner: tuple[int, ...],
    target: Box,
    outside: float = 0.0,
) -> NDArray[Any]:
    """The part `target` of an image resampled on another grid, from the part `pixels` of it that begins at `corner`.

    Use it with the region `Warp` of the same matrix: ``input = matrix[:, :-1] @ output + matrix[:, -1]`` in voxels.
    Places outside the input are `outside`; integers are rounded to nearest. The part that is handed over does not
    show: a place is counted in the whole first, and taking the corner from it loses no digit.
    """
    table = np.asarray(matrix, np.float64)
    grid = np.indices(target.shape, np.float64) + np.reshape(target.start, (-1, *[1] * len(target.start)))
    places = []
    for row, start in zip(table, corner, strict=True):
        at = np.full(target.shape, row[-1])
        for factor, index in zip(row[:-1], grid, strict=True):
            at += factor * index
        places.append(at - start)
    kind = pixels.dtype
    value = ndimage.map_coordinates(
        pixels.astype(np.float64), np.stack(places), order=1, mode="constant", cval=outside, prefilter=False
    )
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        value = np.clip(np.rint(value), limits.min, limits.max)
    return np.asarray(value.astype(kind))
