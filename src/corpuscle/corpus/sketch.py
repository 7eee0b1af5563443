"""What is kept of an image so as to know it again: a digest of its pixels and a sketch of its tones."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from corpuscle.errors import FormatError, LayerError

Floats: TypeAlias = NDArray[np.float32]

SIDE: Final = 128
"""A sketch is this many pixels high and wide, whatever the shape of its image."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of an image so as to know it again, 16 kB whatever its size.

    `digest` is of the exact pixels with their type and shape; `shape` is (y, x) in pixels; `relief` tells how
    far structure stands out of the pixel noise (below 1: an empty field); `sketch` holds 128 x 128 tones and
    is empty where the image is blank, that is of one value throughout.
    """

    digest: str
    shape: tuple[int, int]
    relief: float
    sketch: bytes

    @property
    def blank(self) -> bool:
        """One value throughout: it says nothing, and matches nothing."""
        return not self.sketch

    def tones(self) -> Floats:
        """The sketch as an array, (128, 128), of log tones in 0..255."""
        return np.frombuffer(self.sketch, np.uint8).reshape(SIDE, SIDE).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a JSON file.

        >>> f = fingerprint(np.eye(8))
        >>> Fingerprint.from_json(f.as_json()) == f
        True
        """
        sketch = base64.b64encode(self.sketch).decode()
        return {"digest": self.digest, "shape": list(self.shape), "relief": self.relief, "sketch": sketch}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` wrote; raises FormatError for anything else."""
        try:
            y, x = data["shape"]
            sketch = base64.b64decode(data["sketch"], validate=True)
            made = cls(str(data["digest"]), (int(y), int(x)), float(data["relief"]), sketch)
        except (KeyError, TypeError, ValueError) as e:
            raise FormatError(f"not a fingerprint: {e}", rule="fingerprint", fix="compute it again") from e
        if len(sketch) not in (0, SIDE * SIDE):
            raise FormatError(f"a sketch of {len(sketch)} bytes, not {SIDE * SIDE}", rule="fingerprint")
        return made


def fingerprint(pixels: NDArray[Any]) -> Fingerprint:
    """The fingerprint of an image, (y, x) or (y, x, 3 or 4) in colour; of a stack, that of its maximum.

    Colour is averaged and alpha ignored. Values that are not finite count as the least one. Raises LayerError
    where there are no pixels, or what is there is no number.
    """
    array = np.asarray(pixels)
    if array.ndim < 2 or not array.size or array.dtype.kind not in "buif":
        raise LayerError(f"not an image: {array.dtype} of shape {array.shape}", rule="fingerprint-pixels")
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.blake2b(f"{plain.dtype.str}{plain.shape}".encode(), digest_size=20)
    digest.update(plain.reshape(-1).view(np.uint8).data)
    plane = _plane(plain)
    shape = (int(plane.shape[0]), int(plane.shape[1]))
    if plane.min() == plane.max():
        return Fingerprint(digest.hexdigest(), shape, 0.0, b"")
    levels = _levels(plane)
    small = _shrink(plane, *levels)
    relief = float(band(small, 0.8, 6).std()) / _noise(plane, *levels)
    return Fingerprint(digest.hexdigest(), shape, relief, _tones(small).tobytes())


def band(image: Floats, fine: float, wide: float) -> Floats:
    """Structure between two widths, in pixels of the image: a difference of Gaussians."""

    def blur(sigma: float) -> Floats:
        return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0), np.float32)

    return blur(fine) - blur(wide)


def _plane(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            array = np.where(finite, array, array[finite].min() if finite.any() else 0)
    elif array.dtype.kind == "b":
        array = array.view(np.uint8)
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        return np.asarray(array[..., :3].mean(axis=-1, dtype=np.float32))
    return np.asarray(array.reshape(-1, *array.shape[-2:]).max(axis=0)) if array.ndim > 2 else array


def _weights(n: int) -> sparse.csr_array:
    """Rows that average n pixels into SIDE by a tent as wide as a target pixel: nothing aliases, flips commute."""
    step = n / SIDE
    reach = max(1.0, step)
    centre = (np.arange(SIDE) + 0.5) * step - 0.5
    column = np.floor(centre - reach).astype(np.int64)[:, None] + np.arange(int(2 * reach) + 3)
    weight = np.clip(1 - np.abs(column - centre[:, None]) / reach, 0, None)
    weight[(column < 0) | (column >= n)] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    row = np.repeat(np.arange(SIDE), column.shape[1])
    at = (row, np.clip(column, 0, n - 1).ravel())
    return sparse.csr_array((weight.ravel().astype(np.float32), at), shape=(SIDE, n))


def _levels(plane: NDArray[Any]) -> tuple[float, float]:
    """What to take off and divide by, so that float32 holds every difference; half of each, for fear of overflow."""
    if plane.dtype.kind in "ui" and plane.dtype.itemsize <= 2:
        return 0.0, 0.5
    low, high = float(plane.min()) / 2, float(plane.max()) / 2
    return low, high - low


def _shrink(plane: NDArray[Any], low: float, span: float) -> Floats:
    """The plane at SIDE x SIDE, converted a band of rows at a time so that no float copy of it ever exists whole."""
    height, width = plane.shape
    rows = _weights(height).tocsc()
    out = np.zeros((SIDE, width), np.float32)
    step = max(1, (1 << 20) // width)
    for top in range(0, height, step):
        band = plane[top : top + step]
        if (low, span) != (0, 0.5):
            band = (band.astype(np.float64) / 2 - low) / span
        out += rows[:, top : top + step] @ band.astype(np.float32)
    return np.ascontiguousarray((_weights(width) @ np.ascontiguousarray(out.T)).T)


def _noise(plane: NDArray[Any], low: float, span: float) -> float:
    """Pixel noise by the median of 2 x 2 cross differences, never below the rounding of the stored values."""
    height, width = plane.shape
    floor = 1e-3 if plane.dtype.kind == "f" else 0.15 / span
    if height < 2 or width < 2:
        return floor
    top = np.linspace(0, height - 2, min(128, height // 2)).astype(np.int64)
    above, below = ((plane[t].astype(np.float64) / 2 - low) / span for t in (top, top + 1))
    pair = above - below
    even = width // 2 * 2
    cross = np.abs(pair[:, 0:even:2] - pair[:, 1:even:2]) / 2
    return max(float(np.median(cross)) / 0.6745, floor)


def _tones(small: Floats) -> NDArray[np.uint8]:
    """Log tones between robust limits: the faint parts speak as well as the bright, gain and offset fall out."""
    low, high = np.percentile(small, [1, 99.5])
    if high <= low:
        low, high = small.min(), small.max()
    level = np.clip((small - low) / max(high - low, 1e-30), 0, 30)
    return np.asarray(np.rint(np.log1p(10 * level) * (255 / math.log1p(300))), np.uint8)
