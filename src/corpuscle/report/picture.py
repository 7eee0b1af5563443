"""Pictures for a page: grey, stretched so that faint and bright show, no larger than needed, inside the page itself."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Image, Record
from corpuscle.corpus.layout import primary
from corpuscle.errors import CorpuscleError
from corpuscle.formats import png
from corpuscle.ops import clean

GAMMA = 0.6


def plane(image: Image, *, level: int = 0) -> NDArray[Any]:
    """One level of an image in (y, x): the first channel, the first time, the middle of z."""
    chosen = image.level(level)
    data, space = chosen.read(), chosen.space
    while data.ndim > 2:
        axis = next(i for i, a in enumerate(space.axes) if a not in "yx")
        data = np.take(data, data.shape[axis] // 2 if space.axes[axis] == "z" else 0, axis)
        space = space.without(space.axes[axis])
    return data


def stretched(data: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels as 8 bits: percentiles 0.1 to 99.9 over the whole range, then raised to `GAMMA` to show the faint."""
    lo, hi = clean.percentiles(data)
    every = 255 * (np.arange(256) / 255) ** GAMMA
    return np.asarray(np.rint(every).astype(np.uint8)[clean.normalise(data, lo=lo, hi=hi)])


def small(image: Image, *, most: int) -> NDArray[Any]:
    """The image in (y, x), at most about `most` pixels wide: the coarsest level that is large enough, then averaged."""
    sizes = [max(_yx(image.level(k))) for k in range(1 + len(image.levels))]
    enough = [k for k, n in enumerate(sizes) if n >= most]
    data = plane(image, level=enough[-1] if enough else 0)
    step = -(-max(data.shape) // most)
    if step <= 1:
        return data
    rows, columns = (n // step for n in data.shape)
    if not rows or not columns:
        return data[::step, ::step]
    return np.asarray(data[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3)))


def _yx(image: Image) -> tuple[int, ...]:
    return tuple(n for a, n in zip(image.space.axes, image.shape, strict=True) if a in "yx")


def uri(pixels: NDArray[np.uint8]) -> str:
    """The pixels as a PNG inside a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(png.encode(pixels)).decode()


def thumbnail(record: Record, *, most: int = 144) -> tuple[str, tuple[int, int]] | None:
    """A small picture of a record and its (height, width); None where it has no image, or none that can be read.

    A broken picture is for `check` to tell of; the page goes on without it.
    """
    layer = primary(record)
    if layer is None:
        return None
    try:
        data = small(record.image(layer), most=most)
        # Two bits fewer cost no eye anything, and the page a third less.
        pixels = stretched(data) & np.uint8(0xFC)
    except CorpuscleError:
        return None
    return uri(pixels), (pixels.shape[0], pixels.shape[1])
