"""Gaussian smoothing in one pass over memory: the three sums of a voxel are made while its rows are in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from math import fsum
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import LayerError, SettingsError
from corpuscle.kernels.compiled import compiled, inlined

_CACHE: Final = 1 << 20
"""About how many bytes of the source one tile may need at a time, so that they stay in the cache of one core."""
_LEAST: Final = 16
"""The least rows of a tile: with fewer, its rim would be most of the work."""

_CAMERA: Final = tuple(np.dtype(t) for t in (np.uint8, np.uint16, np.int16))
_WHOLE: Final = 2**51

# Added and taken away again, it leaves no room for a fraction: rounded to nearest, halves to even (IEEE 754).
_ROUND: Final = np.float32(1.5 * 2**23)


def radius(sigma: float, truncate: float = 4.0) -> int:
    """How many voxels away the farthest lies that counts: `truncate` sigmas, rounded.

    >>> radius(2), radius(0)
    (8, 0)
    """
    return int(truncate * sigma + 0.5)


def gaussian(pixels: ArrayLike, sigma: Sequence[float], *, truncate: float = 4.0) -> NDArray[Any]:
    """Pixels smoothed with a Gaussian along each axis; beyond an edge the image is mirrored, edge pixels repeated.

    The same weights as `scipy.ndimage.gaussian_filter` in its mode ``reflect``. 8- and 16-bit integers and 32-bit
    floats are summed in single precision, others in double. Nothing is rounded between axes. A voxel depends on its
    surroundings alone, to the last bit: cut out with a rim of `radius` voxels, it comes out the same.

    Parameters
    ----------
    pixels
        Of 1 to 3 axes, or more where those before the last three have a sigma of 0.
    sigma
        Standard deviation in voxels along each axis; 0 leaves an axis alone.

    Returns
    -------
    Integers of the type given, rounded to nearest (halves to even) and kept within its range; floats of 32 or 64 bits
    as given; booleans and 16-bit floats as 32-bit floats.

    Raises
    ------
    LayerError
        Pixels that are no real numbers, or integers beyond 2**51, which no sum here would keep.
    SettingsError
        Not one finite sigma, 0 or more, for each axis; one that needs more than three axes at a time.

    >>> gaussian(np.array([0, 0, 100, 0, 0], np.uint8), [1]).tolist()
    [6, 24, 40, 24, 6]
    """
    array = np.asarray(pixels)
    sigmas = tuple(float(s) for s in sigma)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise LayerError(f"cannot smooth pixels of type {array.dtype}", rule="pixels")
    if len(sigmas) != array.ndim or not all(0 <= s < float("inf") for s in (*sigmas, truncate)):
        raise SettingsError(f"sigma {sigmas} for {array.ndim} axes: one finite number of 0 or more each", rule="sigma")
    if any(radius(s, truncate) for s in sigmas[:-3]):
        raise SettingsError(f"sigma {sigmas}: at most the last three axes can be smoothed at a time", rule="sigma")
    kind = array.dtype.newbyteorder("=")
    vast = kind.kind in "iu" and kind.itemsize == 8 and array.size > 0
    if vast and not -_WHOLE <= int(array.min()) <= int(array.max()) <= _WHOLE:
        raise LayerError(f"cannot smooth integers from {array.min()} to {array.max()}", rule="pixels-large")
    if kind.kind == "b" or kind == np.float16:
        kind = np.dtype(np.float32)
    # Integers that no camera gives are not worth a loop of their own.
    direct = kind.kind == "f" or kind in _CAMERA
    sums = np.dtype(np.float32 if kind.itemsize < 4 or kind == np.float32 else np.float64)
    source = array.astype(kind if direct else sums, order="C", copy=False)
    out = np.empty(source.shape, source.dtype)
    if array.ndim and array.size:
        radii = [radius(s, truncate) for s in sigmas[-3:]]
        taps = [np.array(_weights(s, r), sums) for s, r in zip(sigmas[-3:], radii, strict=True)]
        while len(taps) < 3:
            taps.insert(0, np.ones(1, sums))
        deep = (1,) * (3 - array.ndim) + array.shape[-3:]
        for volume, into in zip(source.reshape(-1, *deep), out.reshape(-1, *deep), strict=True):
            _smooth(volume, into, taps)
    else:
        out[...] = source
    if not direct:
        ends = np.iinfo(kind)
        out = np.clip(np.rint(out), ends.min, ends.max, out=out) if kind.itemsize < 8 else np.rint(out, out=out)
    return out.astype(kind, copy=False)


@lru_cache(maxsize=64)
def _weights(sigma: float, radius: int) -> tuple[float, ...]:
    """The weight of the middle and of those 1, 2, .. away; each correctly rounded, whatever the processor."""
    if radius == 0:
        return (1.0,)
    width = 2 * Decimal(sigma) ** 2
    raw = [float((-Decimal(k * k) / width).exp()) for k in range(radius + 1)]
    total = fsum([raw[0], *(2 * w for w in raw[1:])])
    return tuple(w / total for w in raw)


def _smooth(source: NDArray[Any], out: NDArray[Any], taps: list[NDArray[Any]]) -> None:
    """Tile by tile along y, so that the planes around one are still in the cache when the next needs them."""
    reach, high = len(taps[0]) - 1, len(taps[1]) - 1
    sums = taps[0].dtype
    long = source.shape[2]
    span = 2 * len(taps[1]) - 1
    ring = np.empty((span, long), sums)
    padded = np.empty(long + 2 * (len(taps[2]) - 1), sums)
    total = np.empty(long, sums)
    rows = _CACHE // max(1, (2 * reach + 1) * long * source.itemsize) - 2 * high if reach else source.shape[1]
    rows = max(rows, 2 * high, _LEAST)
    ends = np.iinfo(out.dtype) if out.dtype.kind in "iu" else None
    for y in range(0, source.shape[1], rows):
        end = min(y + rows, source.shape[1])
        if ends is None:
            _tile(source, out, y, end, taps[0], taps[1], taps[2], ring, padded, total)
        else:
            low, top = np.float32(ends.min), np.float32(ends.max)
            _tile_whole(source, out, y, end, taps[0], taps[1], taps[2], ring, padded, total, low, top)


@compiled
def _tile(
    source: NDArray[Any],
    out: NDArray[Any],
    begin: int,
    end: int,
    deep: NDArray[Any],
    tall: NDArray[Any],
    wide: NDArray[Any],
    ring: NDArray[Any],
    padded: NDArray[Any],
    total: NDArray[Any],
) -> None:
    """Smooth the rows from `begin` to `end` of every plane."""
    for z in range(source.shape[0]):
        ready = max(0, begin - len(tall) + 1)
        for y in range(begin, end):
            ready = _row(source, z, y, ready, deep, tall, wide, ring, padded, total)
            into = out[z, y]
            for x in range(len(into)):
                into[x] = total[x]


@compiled
def _tile_whole(
    source: NDArray[Any],
    out: NDArray[Any],
    begin: int,
    end: int,
    deep: NDArray[Any],
    tall: NDArray[Any],
    wide: NDArray[Any],
    ring: NDArray[Any],
    padded: NDArray[Any],
    total: NDArray[Any],
    low: Any,
    top: Any,
) -> None:
    """The same for integers, rounded and kept between `low` and `top`."""
    for z in range(source.shape[0]):
        ready = max(0, begin - len(tall) + 1)
        for y in range(begin, end):
            ready = _row(source, z, y, ready, deep, tall, wide, ring, padded, total)
            into = out[z, y]
            for x in range(len(into)):
                v = (total[x] + _ROUND) - _ROUND
                v = low if v < low else v
                v = top if v > top else v
                into[x] = v


@inlined
def _row(
    source: NDArray[Any],
    z: int,
    y: int,
    ready: int,
    deep: NDArray[Any],
    tall: NDArray[Any],
    wide: NDArray[Any],
    ring: NDArray[Any],
    padded: NDArray[Any],
    total: NDArray[Any],
) -> int:
    """One smoothed row in `total`; `ring` holds those around it, smoothed along z, up to the one returned."""
    last = min(y + len(tall), source.shape[1])
    while ready < last:
        row = ring[ready % len(ring)]
        _scale(source[z, ready], deep[0], row)
        k = 1
        while k + 3 < len(deep):
            _add_four(
                source[_mirror(z - k, source.shape[0]), ready], source[_mirror(z + k, source.shape[0]), ready],
                source[_mirror(z - k - 1, source.shape[0]), ready], source[_mirror(z + k + 1, source.shape[0]), ready],
                source[_mirror(z - k - 2, source.shape[0]), ready], source[_mirror(z + k + 2, source.shape[0]), ready],
                source[_mirror(z - k - 3, source.shape[0]), ready], source[_mirror(z + k + 3, source.shape[0]), ready],
                deep, k, row,
            )  # fmt: skip
            k += 4
        while k < len(deep):
            below, above = _mirror(z - k, source.shape[0]), _mirror(z + k, source.shape[0])
            _add(source[below, ready], source[above, ready], deep[k], row)
            k += 1
        ready += 1
    side = len(wide) - 1
    long = len(total)
    middle = padded[side : side + long]
    _scale(ring[y % len(ring)], tall[0], middle)
    k = 1
    n = source.shape[1]
    while k + 3 < len(tall):
        _add_four(
            ring[_mirror(y - k, n) % len(ring)], ring[_mirror(y + k, n) % len(ring)],
            ring[_mirror(y - k - 1, n) % len(ring)], ring[_mirror(y + k + 1, n) % len(ring)],
            ring[_mirror(y - k - 2, n) % len(ring)], ring[_mirror(y + k + 2, n) % len(ring)],
            ring[_mirror(y - k - 3, n) % len(ring)], ring[_mirror(y + k + 3, n) % len(ring)],
            tall, k, middle,
        )  # fmt: skip
        k += 4
    while k < len(tall):
        _add(ring[_mirror(y - k, n) % len(ring)], ring[_mirror(y + k, n) % len(ring)], tall[k], middle)
        k += 1
    for k in range(1, side + 1):
        padded[side - k] = middle[_mirror(-k, long)]
        padded[side + long - 1 + k] = middle[_mirror(long - 1 + k, long)]
    _scale(middle, wide[0], total)
    k = 1
    while k + 3 < len(wide):
        _add_four(
            padded[side - k :], padded[side + k :], padded[side - k - 1 :], padded[side + k + 1 :],
            padded[side - k - 2 :], padded[side + k + 2 :], padded[side - k - 3 :], padded[side + k + 3 :],
            wide, k, total,
        )  # fmt: skip
        k += 4
    while k < len(wide):
        _add(padded[side - k :], padded[side + k :], wide[k], total)
        k += 1
    return ready


@inlined
def _mirror(i: int, n: int) -> int:
    """The index that stands for one beyond an edge: d c b a | a b c d | d c b a."""
    if 0 <= i < n:
        return i
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@inlined
def _scale(row: NDArray[Any], weight: Any, into: NDArray[Any]) -> None:
    for x in range(len(into)):
        into[x] = weight * into.dtype.type(row[x])


@inlined
def _add(left: NDArray[Any], right: NDArray[Any], weight: Any, into: NDArray[Any]) -> None:
    for x in range(len(into)):
        into[x] += weight * (into.dtype.type(left[x]) + into.dtype.type(right[x]))


@inlined
def _add_four(
    a: NDArray[Any],
    b: NDArray[Any],
    c: NDArray[Any],
    d: NDArray[Any],
    e: NDArray[Any],
    f: NDArray[Any],
    g: NDArray[Any],
    h: NDArray[Any],
    weights: NDArray[Any],
    k: int,
    into: NDArray[Any],
) -> None:
    """Four pairs at once, added in the order in which they would be one after another."""
    kind = into.dtype.type
    w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    for x in range(len(into)):
        v = into[x] + w0 * (kind(a[x]) + kind(b[x]))
        v += w1 * (kind(c[x]) + kind(d[x]))
        v += w2 * (kind(e[x]) + kind(f[x]))
        v += w3 * (kind(g[x]) + kind(h[x]))
        into[x] = v
