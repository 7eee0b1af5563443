"""Extremes, sum, percentiles and digests of pixels, in little more memory than the pixels take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Image
from corpuscle.errors import LayerError
from corpuscle.ops import clean

KEYS = ("min", "max", "sum", "sha256_pixels", "p0_1", "p99_9", "sha256_u8_norm")

_PIECE = 1 << 20
_TOP = 99.9


def measured(image: Image) -> dict[str, Any]:
    """What `KEYS` name, of the pixels of an image that is held in memory once and gone through a piece at a time.

    Digests are of little-endian pixels in C order. Percentiles 0.1 and 99.9 are those of `clean.percentiles`, and None
    where there are pixels that are no numbers; ``sha256_u8_norm`` is that of one plane of whole numbers of more than 8
    bits, stretched to 8 between these, else None. Whole numbers are summed exactly.
    """
    data = np.ascontiguousarray(image.read()).reshape(-1)
    out: dict[str, Any] = dict.fromkeys(KEYS)
    whole = data.dtype.kind in "bui"
    digest, extremes = hashlib.sha256(), []
    total: int | float = 0
    for piece in _pieces(data):
        extremes += [piece.min(), piece.max()]
        total += _sum(piece)
        digest.update(piece.astype(piece.dtype.newbyteorder("<"), copy=False).data)
    out |= {
        "min": np.min(extremes).item(),
        "max": np.max(extremes).item(),
        "sum": total if whole else float(data.sum(dtype=np.float64)),
        "sha256_pixels": digest.hexdigest(),
    }
    try:
        lo, hi = _percentiles(data, out["min"], out["max"])
    except LayerError:  # NaN has no place in an order
        return out
    out |= {"p0_1": lo, "p99_9": hi}
    if sum(n > 1 for n in image.shape) <= 2 and not image.is_labels and whole and data.dtype.itemsize > 1:
        stretched = hashlib.sha256()
        for piece in _pieces(data):
            stretched.update(clean.normalise(piece, lo=lo, hi=hi).data)
        out["sha256_u8_norm"] = stretched.hexdigest()
    return out


def _pieces(data: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for at in range(0, data.size, _PIECE):
        yield data[at : at + _PIECE]


def _sum(piece: NDArray[Any]) -> int | float:
    """The exact sum of whole numbers; 0 for others, which are summed as one."""
    if piece.dtype.kind == "f":
        return 0
    if piece.dtype.itemsize < 8:
        return int(piece.sum(dtype=np.int64))
    low = piece & piece.dtype.type(0xFFFFFFFF)
    return (int((piece >> piece.dtype.type(32)).sum()) << 32) + int(low.sum())


def _percentiles(data: NDArray[Any], least: Any, most: Any) -> tuple[float, float]:
    """Those of `clean.percentiles`, by counting where whole numbers span less than two bytes, else from one copy."""
    if data.dtype.kind == "f" or data.size <= _PIECE:
        return clean.percentiles(data, high=_TOP)
    if most - least >= 1 << 16:
        order = _placed(data)
        return _between(order, data.size, 100 - _TOP), _between(order, data.size, _TOP)
    count = np.zeros(int(most) - int(least) + 1, np.int64)
    for piece in _pieces(data):
        wide = piece.astype(np.uint8) if piece.dtype.kind == "b" else piece
        shifted = wide.astype(np.int64) - int(least) if wide.dtype != np.uint64 else wide - np.uint64(least)
        count += np.bincount(shifted.astype(np.intp, copy=False), minlength=len(count))
    below = np.cumsum(count)

    def nth(i: int) -> int:
        return int(least) + int(np.searchsorted(below, i, side="right"))

    at = {i: nth(i) for q in (100 - _TOP, _TOP) for i in _around(data.size, q)}
    return _between(at, data.size, 100 - _TOP), _between(at, data.size, _TOP)


def _placed(data: NDArray[Any]) -> dict[int, int]:
    """The pixels that stand where the percentiles lie, were all in order."""
    wanted = sorted({i for q in (100 - _TOP, _TOP) for i in _around(data.size, q)})
    order = np.partition(data, wanted)
    return {i: int(order[i]) for i in wanted}


def _around(n: int, q: float) -> tuple[int, int]:
    left = int(np.floor((n - 1) * (q / 100)))
    return left, min(left + 1, n - 1)


def _between(order: dict[int, int], n: int, q: float) -> float:
    # numpy's own order of operations, so that not even the last bit differs.
    left, right = _around(n, q)
    t = (n - 1) * (q / 100) - left
    a, b = float(order[left]), float(order[right])
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t
