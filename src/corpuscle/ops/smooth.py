"""Smoothing that does not show where a volume was cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.core.free import free
from corpuscle.errors import SettingsError
from corpuscle.kernels import gaussian as kernel
from corpuscle.ops.accept import intensities, steps


@free
def gaussian(
    pixels: ArrayLike,
    *,
    sigma: float,
    truncate: float = 4.0,
    spacing: Sequence[float | None] | None = None,
) -> NDArray[Any]:
    """Pixels smoothed alike along every axis; integers stay of their type, rounded to nearest, and floats floats.

    Beyond an edge the image is mirrored. Weights end ``int(truncate * sigma + 0.5)`` voxels away, so a block with a
    halo of `reach` comes out, to the last bit, as the whole would. A mask becomes a float image.

    Parameters
    ----------
    sigma
        Standard deviation, in the unit of `spacing`.
    spacing
        Size of a voxel along each axis, which a step gives by itself: sigma is then in micrometres. Left out, or bound
        to None, sigma is in voxels.

    Raises
    ------
    LayerError
        Pixels that are no finite real numbers, or of other than 1 to 3 axes.
    SettingsError
        A sigma that is negative or not finite; a spacing that does not fit.

    >>> gaussian(np.array([[0, 0, 90, 0, 0]], np.uint8), sigma=0.5, spacing=(1.0, 1.0)).tolist()
    [[0, 10, 71, 10, 0]]
    """
    given = np.asarray(pixels)
    array = intensities(given, ndim=(1, 2, 3), op="gaussian").astype(
        np.float32 if given.dtype.kind == "b" else given.dtype, copy=False
    )
    return kernel.gaussian(array, [sigma / s for s in steps(array.ndim, spacing).tolist()], truncate=truncate)


def reach(sigma: float, truncate: float = 4.0) -> float:
    """How far `gaussian` looks, in the unit of sigma: ``halo=um(reach(0.5))``, or ``px(reach(2))`` for voxels.

    >>> reach(2)
    8.0
    """
    if not 0 <= sigma < float("inf") or not 0 <= truncate < float("inf"):
        raise SettingsError(f"sigma {sigma} and truncate {truncate} are finite and not negative", rule="sigma")
    return float(truncate * sigma)
