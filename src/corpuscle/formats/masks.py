"""Annotations of objects in pixels, from whatever file holds them, told apart by what is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle import formats
from corpuscle.core import Fact, Image, Record
from corpuscle.errors import FormatError
from corpuscle.formats import png, rgbmask
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import whole


def _fits(path: Path, size: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if size != shape:
        raise FormatError(
            f"is {size} where its picture is {shape}",
            where=path,
            fix="export the annotation at the size of the picture",
            rule="annotation-shape",
        )


@dataclass(frozen=True, slots=True)
class _Masks:
    """How to load the labels of a file: hashable, so that it can be remembered and sent to a worker."""

    path: str
    scene: str | None


def read(
    path: Path, *, labels_of: str, scene: str | None = None, shape: tuple[int, ...] | None = None
) -> tuple[Image, dict[str, Fact]]:
    """The labels in an annotation file, lazily, with the facts known before the pixels are read.

    Colour and palette pictures are decoded by `rgbmask`. A picture of integers is taken as it is,
    gaps and all, unless it holds one value in several pieces: then each piece is an object.
    `shape` is that of the picture, where it must agree: FormatError ``annotation-shape``.

    Raises FormatError ``labels-float`` for pixels that are not integers, and on reading
    ``labels-negative`` for values below zero; and whatever the reader of the file raises.
    """
    told = formats.scenes(path)
    if shape is not None and len(told) == 1:
        # Held against the picture's before anything is decoded.
        _fits(path, tuple(n for n, a in zip(told[0].shape, told[0].axes, strict=True) if a != "c"), shape)
    record = _read(path, scene)
    image = next((x for x in record.layers.values() if isinstance(x, Image)), None)
    if image is None:
        raise FormatError("holds no picture", where=path, rule="labels-absent")
    if image.is_labels:
        _fits(path, image.shape, shape or image.shape)
        return replace(image, labels_of=labels_of), dict(record.facts)
    if image.dtype.kind not in "iub":
        raise FormatError(
            f"labels are integers, not {image.dtype}", where=path, fix="save it as whole numbers", rule="labels-float"
        )
    wide = image.dtype if image.dtype.itemsize > 2 else np.dtype(np.int32)
    dtype = np.dtype(np.int64) if wide.itemsize == 8 or wide == np.uint32 else np.dtype(np.int32)
    load = partial(_load, _Masks(str(path), scene))
    return Image(Lazy(image.shape, dtype, load, paths=(str(path),)), image.space, labels_of=labels_of), {}


def _load(masks: _Masks, index: int) -> NDArray[Any]:
    del index
    record = _read(Path(masks.path), masks.scene)
    image = next(x for x in record.layers.values() if isinstance(x, Image))
    return objects(image.read(), where=masks.path)


def _read(path: Path, scene: str | None) -> Record:
    """The file as its own format reads it; a PNG of colours or of palette indices is an object image, flat or not."""
    if formats.sniff(path) in ("png", "rgbmask"):
        grey = png.vet(whole(path), where=path).colour == 0
        return png.read(path, scene) if grey else rgbmask.read(path, scene)
    return formats.read(path, scene)


def objects(values: NDArray[Any], *, where: str | Path = "") -> NDArray[Any]:
    """Integer pixels as labels: as they are, or where all objects share one value, its connected pieces.

    >>> objects(np.array([[255, 0, 255]], np.uint8)).tolist(), objects(np.array([[3, 0, 9]])).tolist()
    ([[1, 0, 2]], [[3, 0, 9]])
    """
    if values.dtype.kind == "i" and values.size and values.min() < 0:
        raise FormatError(
            f"label {values.min()} is below zero",
            where=where,
            fix="number objects from 1, background 0",
            rule="labels-negative",
        )
    if values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise FormatError(f"label {values.max()} is too large", where=where, rule="labels-large")
    dtype = np.int64 if values.dtype.itemsize == 8 or values.dtype == np.uint32 else np.int32
    found = np.unique(values)
    if len(found[found != 0]) == 1:
        from scipy import ndimage

        pieces, n = ndimage.label(values, np.ones((3,) * values.ndim))
        if n > 1:
            return np.asarray(pieces, dtype)
    return values.astype(dtype)
