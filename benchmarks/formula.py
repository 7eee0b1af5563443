"""A volume of any size that lies nowhere: noise and blobs, made where they are asked for, the same from any side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from corpuscle.core.free import free

CELL, NOISE, GROUND, BRIGHT = 16, 512, 1000, 3000
LEVEL = 2000
"""Of the smoothed volume: a hundred times its noise above the ground, and within the smallest ball."""
_OTHER, _MIX, _SPREAD = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D)


@dataclass(frozen=True, slots=True)
class Formula:
    """Nine bits of noise a voxel on even ground, and a ball in three of four cells of 16^3, which now and then meet.

    The noise of a voxel is a hash of its place, so it is no one's to compress. Pickles as its shape.
    """

    shape: tuple[int, int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16)

    def __getitem__(self, key: Any) -> NDArray[np.uint16]:
        keys = key if isinstance(key, tuple) else (key,)
        spans = [k.indices(n) for k, n in zip((*keys, *[slice(None)] * 3), self.shape, strict=False)]
        start = np.array([a for a, _, _ in spans])
        out = np.empty([max(0, b - a) for a, b, _ in spans], np.uint16)
        _noise(out, start)
        _balls(out, start, np.array(self.shape))
        return out


@free
def above(pixels: NDArray[Any], *, level: float) -> NDArray[np.uint8]:
    """1 where it is brighter."""
    return (pixels > level).view(np.uint8)


@njit(nogil=True, cache=True)
def _hash(z: int, y: int) -> np.uint32:
    mixed = np.uint32(np.uint32(z) * _SPREAD + np.uint32(y)) * _OTHER
    mixed ^= mixed >> np.uint32(15)
    return np.uint32(mixed * _MIX)


@njit(nogil=True, cache=True)
def _noise(out: NDArray[np.uint16], start: NDArray[np.int64]) -> None:
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            row = _hash(z + start[0], y + start[1])
            line = out[z, y]
            first = np.uint32(start[2])
            for x in range(out.shape[2]):
                h = np.uint32((row ^ (first + np.uint32(x))) * _OTHER)
                h ^= h >> np.uint32(15)
                h = np.uint32(h * _MIX)
                h ^= h >> np.uint32(13)
                h = np.uint32(h * _SPREAD)
                line[x] = GROUND + (h >> np.uint32(23))


@njit(nogil=True, cache=True)
def _balls(out: NDArray[np.uint16], start: NDArray[np.int64], whole: NDArray[np.int64]) -> None:
    """Every ball of the cells that the box touches, and of those beside them."""
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for i in range(3):
        low[i] = max(0, start[i] // CELL - 1)
        high[i] = min(-(-whole[i] // CELL), (start[i] + out.shape[i]) // CELL + 2)
    for a in range(low[0], high[0]):
        for b in range(low[1], high[1]):
            for c in range(low[2], high[2]):
                h = _hash(a * 65537 + b, c + 977)
                h ^= h >> np.uint32(13)
                if h & np.uint32(3) == 0:
                    continue
                radius = 3 + int((h >> np.uint32(2)) % np.uint32(3))
                cz = a * CELL + 3 + int((h >> np.uint32(4)) % np.uint32(10)) - start[0]
                cy = b * CELL + 3 + int((h >> np.uint32(10)) % np.uint32(10)) - start[1]
                cx = c * CELL + 3 + int((h >> np.uint32(16)) % np.uint32(10)) - start[2]
                for z in range(max(0, cz - radius), min(out.shape[0], cz + radius + 1)):
                    for y in range(max(0, cy - radius), min(out.shape[1], cy + radius + 1)):
                        left = radius * radius - (z - cz) ** 2 - (y - cy) ** 2
                        for x in range(max(0, cx - radius), min(out.shape[2], cx + radius + 1)):
                            if (x - cx) ** 2 <= left and out[z, y, x] < BRIGHT:
                                out[z, y, x] += BRIGHT
