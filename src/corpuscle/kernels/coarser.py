"""One level coarser at the speed of memory: what `core.pyramid.downsample` answers, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import pyramid
from corpuscle.kernels.compiled import compiled, inlined

_SUM: Final = {"f4": "f8", "f8": "f8", "u1": "i4", "i1": "i4", "u2": "i4", "i2": "i4", "u4": "i8", "i4": "i8"}
"""By type of pixel, what eight of them are added in without loss, or as the reference adds them."""


def downsample(pixels: NDArray[Any], step: Sequence[int], *, labels: bool) -> NDArray[Any]:
    """The mean of each block of pixels, or for labels the commonest value in it, as `core.pyramid.downsample` has it.

    That function says how means are rounded, how ties are broken, and what an edge does. Steps of 1 or 2 along the
    last three axes are done here; anything else, and the means of 64-bit integers and of 16-bit floats and
    negative labels, it does itself.

    >>> downsample(np.array([[1, 2, 5]], np.uint8), (1, 2), labels=False)
    array([[2, 5]], dtype=uint8)
    """
    steps = tuple(step)
    kind = f"{pixels.dtype.kind}{pixels.dtype.itemsize}".replace("b1", "u1")
    known = pixels.dtype.kind in "biu" if labels else kind in _SUM
    odd = len(steps) != pixels.ndim or any(f not in (1, 2) for f in steps) or any(f != 1 for f in steps[:-3])
    if odd or not known or pixels.size == 0 or pixels.ndim == 0 or not pixels.dtype.isnative:
        return pyramid.downsample(pixels, step, labels=labels)
    if labels and pixels.dtype.kind == "i":
        if pixels.min() < 0:
            return pyramid.downsample(pixels, step, labels=True)
        kind = kind.replace("i", "u")
    source = np.ascontiguousarray(pixels).view(kind)
    deep = (1,) * (3 - len(steps)) + pixels.shape[-3:]
    by = (1,) * (3 - len(steps)) + steps[-3:]
    small = tuple(-(-n // f) for n, f in zip(pixels.shape, steps, strict=True))
    out = np.empty(small, source.dtype)
    outs = out.reshape(-1, *(-(-n // f) for n, f in zip(deep, by, strict=True)))
    for volume, into in zip(source.reshape(-1, *deep), outs, strict=True):
        if labels:
            _mode(volume, by[0], by[1], by[2], np.empty((8, into.shape[2]), into.dtype), into)
        elif source.dtype.kind == "f":
            _mean(volume, by[0], by[1], by[2], np.empty(into.shape[2]), into)
        else:
            _mean_whole(volume, by[0], by[1], by[2], np.empty(into.shape[2], _SUM[kind]), into)
    return out.view(pixels.dtype)


@inlined
def _add(row: NDArray[Any], fx: int, start: bool, total: NDArray[Any]) -> None:
    """Add one row of pixels, or the pairs of it, to the totals; an edge that cuts a pair is added twice."""
    long = len(row)
    whole = long // fx
    zero = total.dtype.type(-0.0)  # which added to -0.0 leaves it
    if start:
        for x in range(len(total)):
            total[x] = zero
    if fx == 1:
        for x in range(whole):
            total[x] += row[x]
    else:
        for x in range(whole):
            total[x] = (total[x] + row[2 * x]) + row[2 * x + 1]
        if whole < len(total):
            total[whole] = (total[whole] + row[long - 1]) + row[long - 1]


@compiled
def _mean(source: NDArray[Any], fz: int, fy: int, fx: int, total: NDArray[Any], out: NDArray[Any]) -> None:
    """Sums in the order of the reference: planes, rows, columns."""
    share = 1.0 / (fz * fy * fx)  # a power of 2, so to multiply is to divide
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for k in range(fz):
                for j in range(fy):
                    row = source[min(fz * z + k, source.shape[0] - 1), min(fy * y + j, source.shape[1] - 1)]
                    _add(row, fx, k + j == 0, total)
            for x in range(out.shape[2]):
                out[z, y, x] = total[x] * share


@compiled
def _mean_whole(source: NDArray[Any], fz: int, fy: int, fx: int, total: NDArray[Any], out: NDArray[Any]) -> None:
    """Means of integers, to nearest and halves to even."""
    n = fz * fy * fx
    bits = total.dtype.type((n > 1) + (n > 2) + (n > 4))
    one = total.dtype.type(1)
    below = total.dtype.type(max(0, n // 2 - 1))
    odd = total.dtype.type(n > 1)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for k in range(fz):
                for j in range(fy):
                    row = source[min(fz * z + k, source.shape[0] - 1), min(fy * y + j, source.shape[1] - 1)]
                    _add(row, fx, k + j == 0, total)
            for x in range(out.shape[2]):
                sum_ = total[x]
                out[z, y, x] = (sum_ + below + ((sum_ >> bits) & one & odd)) >> bits


@compiled
def _mode(source: NDArray[Any], fz: int, fy: int, fx: int, eight: NDArray[Any], out: NDArray[Any]) -> None:
    """The commonest of the eight under each voxel; where they are fewer, each is taken equally often."""
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for k in range(2):
                for j in range(2):
                    above = min(fz * z + k * (fz - 1), source.shape[0] - 1)
                    row = source[above, min(fy * y + j * (fy - 1), source.shape[1] - 1)]
                    _part(row, fx, eight[4 * k + 2 * j], eight[4 * k + 2 * j + 1])
            _commonest(eight, out[z, y])


@inlined
def _part(row: NDArray[Any], fx: int, left: NDArray[Any], right: NDArray[Any]) -> None:
    """The first and the second of each pair of a row, or twice the row."""
    whole = len(row) // fx
    for x in range(whole):
        left[x] = row[fx * x]
    for x in range(whole):
        right[x] = row[fx * x + fx - 1]
    if whole < len(left):
        left[whole] = right[whole] = row[len(row) - 1]


@inlined
def _commonest(of: NDArray[Any], out: NDArray[Any]) -> None:
    """Of eight rows of labels, without a branch, so that many are done at once; votes are of the labels' own type."""
    one = of.dtype.type(1)
    for x in range(len(out)):
        a, b, c, d, e, f, g, h = of[0, x], of[1, x], of[2, x], of[3, x], of[4, x], of[5, x], of[6, x], of[7, x]
        best, votes = a, _votes(a, a, b, c, d, e, f, g, h, one)
        best, votes = _better(best, votes, b, _votes(b, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, c, _votes(c, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, d, _votes(d, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, e, _votes(e, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, f, _votes(f, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, g, _votes(g, a, b, c, d, e, f, g, h, one))
        best, votes = _better(best, votes, h, _votes(h, a, b, c, d, e, f, g, h, one))
        out[x] = best


@inlined
def _votes(v: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, one: Any) -> Any:
    none = one - one
    low = (one if v == a else none) + (one if v == b else none) + (one if v == c else none) + (one if v == d else none)
    high = (one if v == e else none) + (one if v == f else none) + (one if v == g else none) + (one if v == h else none)
    return low + high


@inlined
def _better(best: Any, votes: Any, v: Any, n: Any) -> tuple[Any, Any]:
    """More votes win; among equals the smallest label that is not background."""
    wins = (n > votes) | ((n == votes) & (v != 0) & ((best == 0) | (v < best)))
    return (v if wins else best), (n if wins else votes)
