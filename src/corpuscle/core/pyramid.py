"""The coarser levels of an image: how many, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.space import SPATIAL, Space

SMALLEST = 256


def factors(space: Space, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Per level above 0, how many pixels of the level below one pixel spans along each axis.

    Levels are added until no spatial axis is longer than 256. An axis that is already much
    coarser in the world than another (thick sections) is halved later, so that voxels grow
    towards cubes; one of unknown scale is halved with the others. Nothing waits for an axis that
    is down to 64 pixels, or a long stack of tiny planes would be all planes of one pixel first.

    >>> factors(Space("yx"), (1104, 1104))
    [(2, 2), (2, 2), (2, 2)]
    >>> factors(Space("zyx", scale=(2.0, 0.5, 0.5)), (64, 512, 512))
    [(1, 2, 2)]
    """
    size, now = list(shape), space
    out: list[tuple[int, ...]] = []
    while any(size[i] > SMALLEST for i in space.spatial):
        spacing = dict(zip(now.spatial, now.spacing, strict=True))
        finest = min(s for i, s in spacing.items() if size[i] > SMALLEST // 4)
        step = tuple(
            2 if a in SPATIAL and size[i] > 1 and spacing[i] < 2 * finest else 1 for i, a in enumerate(now.axes)
        )
        size = [-(-n // f) for n, f in zip(size, step, strict=True)]
        now = now.coarser(step)
        out.append(step)
    return out


def downsample(pixels: NDArray[Any], step: Sequence[int], *, labels: bool) -> NDArray[Any]:
    """One level coarser: the mean of each block of pixels, or for labels the commonest value in it.

    A block that the edge cuts is averaged over what there is. Means of integers are rounded to
    nearest, halves to even. A tie among labels goes to the smallest label that is not background,
    so thin objects fade late.

    >>> downsample(np.array([[1, 2, 5]], np.uint8), (1, 2), labels=False)
    array([[2, 5]], dtype=uint8)
    >>> downsample(np.array([[0, 7, 0, 0]]), (1, 2), labels=True)
    array([[7, 0]])
    """
    blocks = _blocks(pixels, step)
    return _mode(blocks) if labels else _mean(pixels, blocks, step)


def _blocks(pixels: NDArray[Any], step: Sequence[int]) -> list[NDArray[Any]]:
    """One array per place within a block, edges repeated where the last block is cut."""
    short = [(-n) % f for n, f in zip(pixels.shape, step, strict=True)]
    if any(short):
        pixels = np.pad(pixels, [(0, s) for s in short], mode="edge")
    return [pixels[tuple(slice(o, None, f) for o, f in zip(place, step, strict=True))] for place in np.ndindex(*step)]


def _mean(pixels: NDArray[Any], blocks: list[NDArray[Any]], step: Sequence[int]) -> NDArray[Any]:
    # With factors of at most 2 per axis, repeating the edge pixel leaves the mean of what there is.
    if any(f > 2 for f in step):
        raise ValueError(f"one level halves at most, got {tuple(step)}")
    if pixels.dtype.kind == "f":
        total = blocks[0].astype(np.float64)
        for b in blocks[1:]:
            total += b
        return np.asarray((total / len(blocks)).astype(pixels.dtype))
    if pixels.dtype.kind not in "iub":
        raise ValueError(f"cannot average {pixels.dtype}")
    n = len(blocks)
    if pixels.dtype.itemsize == 8:  # a sum of four would overflow: add quotients and remainders apart
        low: NDArray[Any] = sum((b // n for b in blocks[1:]), blocks[0] // n)
        rest: NDArray[Any] = sum((b % n for b in blocks[1:]), blocks[0] % n)
        low, rest = low + rest // n, rest % n
    else:
        total = blocks[0].astype(np.int64 if pixels.dtype.itemsize == 4 else np.int32)
        for b in blocks[1:]:
            total += b
        low, rest = total // n, total % n
    up = (2 * rest > n) | ((2 * rest == n) & (low % 2 == 1))
    return np.asarray((low + up).astype(pixels.dtype))


def _mode(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    if len(blocks) == 1:
        return blocks[0].copy()
    best, votes = blocks[0].copy(), np.zeros(blocks[0].shape, np.uint8)
    for a in blocks:
        count = np.zeros(a.shape, np.uint8)
        for b in blocks:
            count += a == b
        tie = (count == votes) & (a != 0) & ((best == 0) | (a < best))
        better = (count > votes) | tie
        best[better] = a[better]
        votes[better] = count[better]
    return best
