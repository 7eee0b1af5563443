"""How much of an image is noise, told from its finest detail."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from corpuscle.ops.accept import intensities


def grain(img: ArrayLike) -> float:
    """The standard deviation of the noise of single pixels in a 2D image; 0 where it cannot be told.

    Differences of neighbours in both directions at once cancel whatever is smooth; the median of what is left does
    not see the edges. Noise that was blurred, or rounded away, is underestimated.

    Source: the mask of Immerkaer 1996, Comput. Vis. Image Underst. 64, with a median for the mean.

    Raises
    ------
    LayerError
        Not a 2D array of finite numbers.

    >>> 9 < grain(np.random.default_rng(0).normal(500, 10, (200, 200))) < 11
    True
    """
    pixels = intensities(img, ndim=(2,), op="grain").astype(np.float32, copy=False)
    if min(pixels.shape) < 3:
        return 0.0
    rows = pixels[2:] - 2 * pixels[1:-1] + pixels[:-2]
    both = rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]
    return 1.4826 * float(np.median(np.abs(both))) / 6
