"""Otsu's threshold, exact for integers and fine-grained for everything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.ops.accept import intensities


def otsu(img: ArrayLike, *, bins: int = 256) -> float:
    """The intensity that splits the pixels into two classes as far apart as can be; ``img > otsu(img)`` is bright.

    Integer images are split at one of their own values, others at the middle of one of `bins` equal bins.
    nan where there is nothing to split: no pixels, or all the same.

    Source: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9, equation 12.

    Raises
    ------
    LayerError
        Pixels that are not finite numbers.

    >>> otsu([1, 1, 2, 9, 9, 8])
    2.0
    >>> otsu([3, 3])
    nan
    """
    pixels = intensities(img, op="otsu").ravel()
    if pixels.size == 0:
        return float("nan")
    low, high = float(pixels.min()), float(pixels.max())
    if high - low < np.finfo(np.float32).tiny:
        return float("nan")
    if pixels.dtype.kind in "ui" and high - low < 1 << 16:
        counts = np.bincount((pixels.astype(np.int64) - int(low)) if low else pixels)
        centres = np.arange(len(counts), dtype=np.float64) + low
    else:
        if pixels.dtype.kind in "ui":
            pixels = pixels.astype(np.float64)
        # A bin's own upper edge belongs to the next bin, the last one's to itself, as in np.histogram.
        index = ((pixels - pixels.dtype.type(low)) * (bins / (high - low))).astype(np.intp)
        counts = np.bincount(np.minimum(index, bins - 1), minlength=bins)
        centres = (np.arange(bins, dtype=np.float64) + 0.5) * ((high - low) / bins) + low
    return float(centres[_split(counts, centres)])


def _split(counts: NDArray[np.intp], centres: NDArray[np.float64]) -> int:
    weight = counts.astype(np.float64)
    below = np.cumsum(weight)[:-1]
    above = weight.sum() - below
    # About the middle, so that a large offset (a camera's pedestal) costs no digits.
    moment = np.cumsum(weight * (centres - centres.mean()))
    # Both classes hold something: the first bin holds the least pixel, the last the greatest.
    between = below * above * (moment[:-1] / below - (moment[-1] - moment[:-1]) / above) ** 2
    return int(np.argmax(between))
