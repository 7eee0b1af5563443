"""Numpy's own file: one array, and nothing known about it. Nothing pickled is ever opened."""

from __future__ import annotations

import ast
import math
import re
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from corpuscle.core import Fact, Image, Layer, Record, Space
from corpuscle.core.space import STANDARD
from corpuscle.errors import FormatError
from corpuscle.formats.contract import Loss, Scene, image_of, lost, named, pick
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import aside, head, length
from corpuscle.formats.windows import Window

NAME = "npy"
MAGIC = b"\x93NUMPY"
_NUMBER = re.compile(r"[<>|=]?[biufc](?:1|2|4|8|16)|[|]?\?")
# Far above what numpy writes for an array of numbers, far below what would be slow to parse.
_HEADER = 4096


def sniff(path: Path) -> bool:
    """Whether it starts with numpy's magic bytes."""
    return head(path, len(MAGIC)) == MAGIC


def scenes(path: Path) -> tuple[Scene, ...]:
    """The one array of the file."""
    record = read(path)
    return (Scene.of(record.name, record.image("raw"), facts=record.facts),)


def read(path: Path, scene: str | None = None) -> Record:
    """The array as layer ``raw``, mapped from the file when somebody asks.

    Its axes are assumed to be the last ones of tczyx, and nothing is known of its pixel size. Raises
    FormatError: ``npy-pickle`` for objects, ``npy-dtype`` for anything else that is no number,
    ``npy-axes`` for less than two or more than five axes, ``npy-header``, ``npy-truncated``.
    """
    shape, fortran, dtype, start = _header(path)
    name, groups = named(path)
    pick((name,), scene, where=path)
    load = partial(_window, str(path), shape, fortran, dtype.str, start)
    axes = STANDARD[-len(shape) :]
    array = Lazy(shape, dtype.newbyteorder("="), load, paths=(str(path),), windowed=True)
    return Record(name, groups, {"raw": Image(array, Space(axes))}, {"axes": Fact(axes, source="assumed")})


def write(layer: Layer, path: Path) -> tuple[Loss, ...]:
    """Write the pixels; everything else about the image is lost, as is said."""
    image = image_of(layer, format=NAME, path=path)
    if image.dtype.kind not in "biufc" or not 2 <= len(image.shape) <= len(STANDARD) or 0 in image.shape:
        raise FormatError(
            f"no array of numbers with two to five axes: {image!r}",
            where=path,
            fix="save it as a plain array of numbers",
            rule="npy-dtype",
        )
    with aside(path) as temporary, open(temporary, "wb") as file:
        npy_format.write_array(file, np.ascontiguousarray(image.read()), version=(1, 0), allow_pickle=False)
    losses = lost(image, keeps=())
    assumed = tuple(STANDARD[-len(image.shape) :])
    if image.space.axes != assumed:
        losses = (Loss("axes", len(assumed), image.space.axes), *losses)
    return losses


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    size = length(path)
    start = head(path, _HEADER + 16)
    if start[:6] != MAGIC:
        raise FormatError(
            f"begins with {start[:6].hex(' ')}, not as numpy's file does",
            where=path,
            fix="save it again with numpy.save",
            rule="npy-magic",
        )
    shape, fortran, descr, at = _told(start, path)
    if not isinstance(descr, str) or "O" in descr:
        objects = "O" in str(descr)
        raise FormatError(
            "holds pickled Python objects, and opening those runs whatever code is in them"
            if objects
            else f"an array of records is no image: {str(descr)[:200]}",
            where=path,
            fix="save the arrays themselves, with allow_pickle=False" if objects else "save its fields one by one",
            rule="npy-pickle" if objects else "npy-dtype",
        )
    if _NUMBER.fullmatch(descr) is None:
        raise FormatError(
            f"an array of {descr[:40]!r} is no image",
            where=path,
            fix="save it as a plain array of numbers",
            rule="npy-dtype",
        )
    try:
        dtype = np.dtype(descr)
    except TypeError as e:
        raise FormatError(
            f"there is no type {descr!r}", where=path, fix="save it as a plain array of numbers", rule="npy-dtype"
        ) from e
    if not 2 <= len(shape) <= len(STANDARD) or min(shape) < 1:
        raise FormatError(
            f"an array of shape {shape} is no image",
            where=path,
            fix="save two to five axes, none of length 0",
            rule="npy-axes",
        )
    need = at + math.prod(shape) * dtype.itemsize
    if need > size:
        raise FormatError(
            f"shape {shape} of {dtype} needs {need} bytes, and there are {size}",
            where=path,
            fix="copy the file again",
            rule="npy-truncated",
        )
    return shape, fortran, dtype, at


def _told(start: bytes, path: Path) -> tuple[tuple[int, ...], bool, Any, int]:
    """Shape, whether Fortran order, type description and where the data begins.

    Source: NEP 1. A header is a Python literal, and is read as nothing more.
    """
    wide = {1: "<H", 2: "<I", 3: "<I"}.get(start[6]) if len(start) > 12 else None
    if wide is None:
        raise FormatError(
            "is cut short, or of a version that numpy does not have",
            where=path,
            fix="save it again with numpy.save",
            rule="npy-header",
        )
    at = 8 + struct.calcsize(wide) + struct.unpack_from(wide, start, 8)[0]
    if at > len(start):
        raise FormatError(
            f"a header of {at} bytes in a file of {len(start)} or more",
            where=path,
            fix="save it again with numpy.save",
            rule="npy-header",
        )
    try:
        header = ast.literal_eval(start[8 + struct.calcsize(wide) : at].decode("latin-1").strip())
        shape, fortran, descr = header["shape"], header["fortran_order"], header["descr"]
        if not (isinstance(shape, tuple) and all(type(n) is int for n in shape) and isinstance(fortran, bool)):
            raise ValueError(f"shape {shape!r}, order {fortran!r}")
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as e:
        raise FormatError(
            f"its header makes no sense: {str(e)[:200]}",
            where=path,
            fix="save it again with numpy.save",
            rule="npy-header",
        ) from e
    return shape, fortran, descr, at


def _window(path: str, shape: tuple[int, ...], fortran: bool, dtype: str, start: int, index: int) -> Window:
    if fortran:
        return Window(path, shape[::-1], dtype, start, tuple(range(len(shape)))[::-1])
    return Window(path, shape, dtype, start)
