"""Percentile normalisation to 8 bit, as the Aitslab plates were published, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import SettingsError
from corpuscle.ops.accept import intensities

# Two bytes a pixel have at most this many values: counting them beats sorting the pixels.
_COUNTABLE = 1 << 16


def percentiles(img: ArrayLike, *, high: float = 99.9) -> tuple[float, float]:
    """The intensities between which an image is stretched: its 100 - `high` and `high` percentiles.

    Both are those of ``np.percentile`` with linear interpolation, to the last bit; integer images are counted
    instead of sorted. An image without pixels has (0, 0).

    Source: Aitslab/bioimaging, C01 conversion: ``percentile(img, 99.9)`` and ``percentile(img, 100 - 99.9)``.

    Raises
    ------
    LayerError
        Pixels that are not finite numbers.
    SettingsError
        `high` outside 50..100.

    >>> percentiles([[0, 10], [20, 30]], high=100)
    (0.0, 30.0)
    """
    if not 50 <= high <= 100:
        raise SettingsError(f"the high percentile lies in 50..100, got {high}")
    pixels = intensities(img, op="percentiles").ravel()
    if pixels.size == 0:
        return 0.0, 0.0
    wanted = (100 - high, high)
    if pixels.dtype.kind in "ui":
        least, most = int(pixels.min()), int(pixels.max())
        if most - least < _COUNTABLE:
            # Unsigned values are shifted in their own type: 64 bits of them do not fit a signed one.
            shifted = pixels - pixels.min() if pixels.dtype.kind == "u" else pixels.astype(np.int64) - least
            below = np.cumsum(np.bincount(shifted.astype(np.intp, copy=False)))
            return _counted(below, wanted[0], least), _counted(below, wanted[1], least)
        # The difference of two that lie so far apart need not fit their type.
        pixels = pixels.astype(np.float64)
    lo, hi = np.percentile(pixels, wanted)
    return float(lo), float(hi)


def _counted(below: NDArray[np.int64], q: float, least: int) -> float:
    # numpy's own order of operations, so that not even the last bit differs.
    at = (int(below[-1]) - 1) * (q / 100)
    left = int(np.floor(at))
    t = at - left
    a, b = (least + int(v) for v in np.searchsorted(below, (left, min(left + 1, int(below[-1]) - 1)), side="right"))
    return float(b - (b - a) * (1 - t)) if t >= 0.5 else float(a + (b - a) * t)


def normalise(img: ArrayLike, *, lo: float | None = None, hi: float | None = None) -> NDArray[np.uint8]:
    """Stretch `lo`..`hi` to 0..255, clip what lies outside, round to the nearest (ties to even).

    Left out, `lo` and `hi` are the image's own `percentiles`. Keep them: `restore` needs them, and without
    them the intensities of two images no longer compare. Where ``hi <= lo`` (a constant image) all is 0.

    Raises
    ------
    LayerError
        Pixels that are not finite numbers.
    SettingsError
        A limit that is not finite.

    >>> normalise([[0, 50, 100, 200]], lo=0, hi=100).tolist()
    [[0, 128, 255, 255]]
    >>> normalise([[7, 7]]).tolist()
    [[0, 0]]
    """
    pixels = intensities(img, op="normalise")
    if lo is None or hi is None:
        own = percentiles(pixels)
        lo, hi = own[0] if lo is None else lo, own[1] if hi is None else hi
    _check(lo, hi)
    if hi <= lo:
        return np.zeros(pixels.shape, np.uint8)
    if pixels.dtype in (np.uint8, np.uint16) and pixels.size > _COUNTABLE >> 2:
        every = np.arange(1 << 8 * pixels.dtype.itemsize)
        return np.asarray(_stretch(every, lo, hi)[pixels])
    return _stretch(pixels, lo, hi)


def _stretch(pixels: NDArray[Any], lo: float, hi: float) -> NDArray[np.uint8]:
    scaled = (np.clip(pixels.astype(np.float64), lo, hi) - lo) / (hi - lo)
    return np.asarray(np.rint(scaled * 255).astype(np.uint8))


def restore(img: ArrayLike, *, lo: float, hi: float) -> NDArray[np.float64]:
    """The intensities that `normalise` saw, within (hi - lo) / 510 wherever it did not clip.

    >>> restore([[0, 255]], lo=100, hi=610).tolist()
    [[100.0, 610.0]]
    """
    _check(lo, hi)
    return np.asarray(intensities(img, op="restore") / 255 * (max(hi, lo) - lo) + lo)


def _check(lo: float, hi: float) -> None:
    if not (np.isfinite(lo) and np.isfinite(hi)):
        raise SettingsError(f"the limits of a stretch are finite, got {lo} and {hi}")
