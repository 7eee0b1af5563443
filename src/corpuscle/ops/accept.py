"""Which arrays an op takes as a picture or as labels, and the error for anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import LayerError, SettingsError

# Beyond this, sums of pixels leave the range of single precision.
_LARGEST = 1e30


def intensities(img: ArrayLike, *, ndim: tuple[int, ...] = (), op: str = "this op") -> NDArray[Any]:
    """The pixels as an array of numbers; booleans become 0 and 1.

    Parameters
    ----------
    ndim
        How many axes are allowed; empty for any.
    op
        Who asks, for the message.

    Raises
    ------
    LayerError
        Complex numbers, text or objects; NaN, infinity or beyond 1e30; another number of axes.

    >>> intensities([[True, False]]).dtype
    dtype('uint8')
    """
    array = np.asarray(img)
    if array.dtype.kind not in "buif":
        raise LayerError(f"{op} needs numbers, not {array.dtype}", rule="pixels-type")
    if ndim and array.ndim not in ndim:
        allowed = " or ".join(str(n) for n in ndim)
        raise LayerError(f"{op} takes {allowed} axes, not {array.ndim}", rule="pixels-axes")
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "f":
        if array.dtype.itemsize < 4:
            array = array.astype(np.float32)
        # min and max of anything with a nan are nan, which is not within any bounds.
        if array.size and not (array.min() >= -_LARGEST and array.max() <= _LARGEST):
            raise LayerError(
                f"{op} met pixels that are not finite, or beyond {_LARGEST:g}",
                fix="fill or crop the missing region first",
                rule="pixels-nan",
            )
    return array


def labels(lab: ArrayLike, *, ndim: tuple[int, ...] = (2, 3), op: str = "this op") -> NDArray[Any]:
    """The labels as an integer array, none of them negative.

    Raises
    ------
    LayerError
        Labels that are not integers, or negative; another number of axes.
    """
    array = np.asarray(lab)
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    if array.dtype.kind not in "iu":
        raise LayerError(f"{op} needs integer labels, not {array.dtype}", rule="labels-float")
    if array.ndim not in ndim:
        raise LayerError(f"{op} takes {' or '.join(map(str, ndim))} axes, not {array.ndim}", rule="labels-axes")
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise LayerError(f"{op} met the negative label {array.min()}", rule="labels-negative")
    return array


def positive(value: float, name: str, *, zero: bool = False) -> float:
    """A finite setting above 0 (or not below, where `zero`), or a SettingsError that names it."""
    number = float(value)
    if not (np.isfinite(number) and (number > 0 or (zero and number == 0))):
        raise SettingsError(f"{name} must be finite and {'not negative' if zero else 'above 0'}, got {value}")
    return number


def steps(ndim: int, spacing: Sequence[float | None] | None) -> NDArray[np.float64]:
    """The size of a pixel along each axis: 1 where it is not known along all of them.

    >>> steps(2, (0.5, 0.25)).tolist(), steps(2, (0.5, None)).tolist()
    ([0.5, 0.25], [1.0, 1.0])
    """
    if spacing is None:
        return np.ones(ndim)
    if len(spacing) != ndim:
        raise SettingsError(f"a spacing of {len(spacing)} numbers for {ndim} axes")
    known = [s for s in spacing if s is not None]
    if any(not (np.isfinite(s) and s > 0) for s in known):
        raise SettingsError(f"a spacing is finite and above 0, got {tuple(spacing)}", fix="None says unknown")
    return np.array(known) if len(known) == ndim else np.ones(ndim)
