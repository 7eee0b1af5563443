"""Small pictures with known objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TURNS = (
    ("rows", lambda a: a[::-1]),
    ("columns", lambda a: a[:, ::-1]),
    ("quarter", np.rot90),
    ("half", lambda a: a[::-1, ::-1]),
    ("transposed", np.transpose),
)


def discs(
    shape: tuple[int, int],
    spots: Sequence[tuple[float, float, float, float]],
    *,
    noise: float = 0,
    pedestal: float = 100,
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Blurred discs (y, x, radius, height) on a pedestal, and their labels, in the order given."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape)
    truth = np.zeros(shape, np.int32)
    for k, (cy, cx, radius, height) in enumerate(spots, 1):
        inside = np.hypot(y - cy, x - cx) <= radius
        light = np.maximum(light, inside * height)
        truth[inside] = k
    light = ndimage.gaussian_filter(light, 1.0) + pedestal
    light += np.random.default_rng(0).normal(0, noise, shape) if noise else 0
    return np.clip(np.rint(light), 0, 65535).astype(np.uint16), truth


def field(seed: int = 0, *, shape: tuple[int, int] = (192, 192), radius: float = 9) -> NDArray[np.uint16]:
    """A field of scattered, partly touching discs of different heights."""
    rng = np.random.default_rng(seed)
    spots = [
        (rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), radius * rng.uniform(0.7, 1.2), rng.uniform(400, 3000))
        for _ in range(18)
    ]
    return discs(shape, spots, noise=8)[0]


def overlap(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """For each object of `a` the IoU with its best match in `b`."""
    n, m = int(a.max()) + 1, int(b.max()) + 1
    both = np.bincount((a.astype(np.int64) * m + b).ravel(), minlength=n * m).reshape(n, m)
    union = both.sum(1)[1:, None] + both.sum(0)[None, 1:] - both[1:, 1:]
    return np.asarray((both[1:, 1:] / np.maximum(union, 1)).max(axis=1, initial=0), np.float64)
