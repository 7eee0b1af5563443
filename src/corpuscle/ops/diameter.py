"""How large a typical object of an image is, told from the pixels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from corpuscle.ops.accept import intensities, positive
from corpuscle.ops.threshold import otsu


def diameter(img: ArrayLike, *, sigma: float = 1.0) -> float:
    """The typical diameter of the bright objects of a 2D image, in pixels; nan where there are none.

    Each local maximum of the distance to the background is the centre of an inscribed disc; the answer is the
    disc diameter that splits the area of all discs in half. So a clump counts as the discs it is made of, and
    specks weigh next to nothing. Background is what is below Otsu's threshold of the image, smoothed by a Gaussian
    of `sigma` pixels. Neither flips, quarter turns nor linear changes of intensity move the answer.

    Raises
    ------
    LayerError
        Not a 2D array of finite numbers.

    >>> spot = np.hypot(*np.ogrid[-20:21, -20:21]) < 10
    >>> 17 < diameter(spot) < 21
    True
    >>> diameter(np.zeros((8, 8)))
    nan
    """
    pixels = intensities(img, ndim=(2,), op="diameter").astype(np.float32, copy=False)
    smooth = ndimage.gaussian_filter(pixels, min(positive(sigma, "sigma", zero=True), max(pixels.shape)))
    level = otsu(smooth)
    if not np.isfinite(level):
        return float("nan")
    return inscribed(smooth > level)


def inscribed(mask: NDArray[np.bool_]) -> float:
    """The diameter of inscribed discs that splits their area in half; nan for an empty mask."""
    inside: NDArray[Any] = ndimage.distance_transform_edt(mask)
    peak = (inside > 1) & (ndimage.maximum_filter(inside, 5) == inside)
    radius = np.sort(inside[peak])
    if radius.size == 0:
        return float("nan")
    area = np.cumsum(radius**2)
    return 2 * float(radius[np.searchsorted(area, area[-1] / 2)])
