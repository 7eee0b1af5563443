"""Pages of TIFF files: vetted before anything is allocated, and decoded a strip or tile at a time."""

from __future__ import annotations

import logging
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from corpuscle.errors import FormatError
from corpuscle.formats import safexml
from corpuscle.formats.bombs import defuse
from corpuscle.formats.source import head, length
from corpuscle.formats.windows import Window

# What tifffile has to say of a file is told here as an error or a fact; an application may still listen to its log.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

PAGES = 1 << 20
"""A file of more pages than this is refused."""

# What tifffile and the codecs beneath it have been seen to raise on damaged files.
BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
# Codecs without loss, of which a picture that packs tighter than `bombs.RATIO` is suspicious.
_LOSSLESS = frozenset({5, 8, 32946, 32773, 34925, 50000})
# How tightly codecs pack at most: deflate 1032 to 1, LZW 4096 codes of up to 4096 bytes, the others by experience.
_TIGHTEST = {1: 1, 5: 4096, 8: 1032, 32946: 1032, 32773: 64}
_TIGHTEST_ELSE = 40_000
_SLACK = 1 << 16
_ENTRY = (
    np.dtype([("tag", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")]),
    np.dtype([("tag", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")]),
)
# Bytes per value of the types of a tag, by number; 0 where there is no such type.
_WIDTHS = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, 0])


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A TIFF file whose chain of pages and first page have been vetted; whatever tifffile raises is a FormatError.

    Rules: ``tiff-magic``, ``tiff-truncated`` (a page or its data lie beyond the end), ``tiff-header``
    (pages in a circle), ``tiff-size`` (more pixels than the data can hold), ``tiff-bomb`` (see `bombs.defuse`),
    ``xml-entities``, ``tiff-corrupt``. A file whose OME-XML is no XML is opened as a plain TIFF: see `ome_fault`.
    """
    _chain(path)
    try:
        with tifffile.TiffFile(path) as file:
            vet(file.pages.first, path)
            for tag in file.pages.first.tags:
                _text(tag.value, path)
            if not ome_fault(file):
                yield file
                return
        with tifffile.TiffFile(path, is_ome=False) as file:
            yield file
    except FormatError:
        raise
    except BROKEN as e:
        raise FormatError(
            f"cannot be read as TIFF: {_first(e)}",
            where=path,
            fix="copy the file again, or export it again",
            rule="tiff-corrupt",
        ) from e


def ome_fault(file: Any) -> str:
    """Why the description of the first page, which sets out to be OME-XML, is no XML; '' where it is, or does not."""
    said = str(file.pages.first.description or "")
    if "<OME" not in said[:2000] and not said.rstrip("\0 \r\n\t").endswith("OME>"):
        return ""
    try:
        safexml.parse(said)
    except FormatError as e:
        if e.rule == "xml-syntax":
            return e.message
    return ""


def vet(page: Any, path: str | Path) -> None:
    """FormatError where a page claims more pixels than its data can hold, or data where the file has none."""
    size = length(Path(path))
    shape = tuple(int(n) for n in page.shape)
    stored = 0
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset < 0 or count < 0 or offset + count > size:
            raise FormatError(
                f"pixels at bytes {offset} to {offset + count} of {size}",
                where=path,
                fix="copy the file again",
                rule="tiff-truncated",
            )
        stored += int(count)
    bits = math.prod(shape) * int(page.bitspersample)
    if (
        not shape
        or min(shape) < 1
        or bits // 8 > stored * _TIGHTEST.get(int(page.compression), _TIGHTEST_ELSE) + _SLACK
    ):
        raise FormatError(
            f"claims {shape} samples of {page.bitspersample} bits in {stored} bytes",
            where=path,
            fix="copy the file again",
            rule="tiff-size",
        )
    if int(page.compression) in _LOSSLESS:
        # Large labels are stored as whole numbers of 16 bits or more.
        labels = page.dtype is not None and page.dtype.kind in "iu" and page.dtype.itemsize > 1
        defuse(bits // 8, stored, where=path, rule="tiff-bomb", labels=labels)


@dataclass(frozen=True, slots=True)
class Page:
    """One page, of which only the strips or tiles that are asked for are decoded.

    Samples come first: (c, y, x) where the page holds several per pixel.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    last: bool = False

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        box = [k.indices(n)[:2] for k, n in zip(keys, self.shape, strict=False)] if _plain(keys, self.shape) else None
        try:
            if (window := _laid(self, os.stat(self.path).st_mtime_ns)) is not None:
                return np.asarray(window[keys], self.dtype)
            with tifffile.TiffFile(self.path) as file:
                file.filehandle.seek(self.offset)
                page = tifffile.TiffPage(file, index=0)
                self.vet(page)
                if box is None or page.planarconfig == 2 or page.imagedepth > 1 or len(page.shape) > 3:
                    return np.asarray(_first_axis(page.asarray(), self.last)[keys])
                return _region(file, page, box, self.shape, self.dtype)
        except FormatError:
            raise
        except BROKEN as e:
            raise FormatError(
                f"the page at byte {self.offset} cannot be decoded: {_first(e)}",
                where=self.path,
                fix="copy the file again, or export it again",
                rule="tiff-corrupt",
            ) from e

    def vet(self, page: Any) -> None:
        """FormatError where the page cannot be what it claims, or is not as the others are."""
        vet(page, self.path)
        stored = tuple(int(n) for n in page.shape)
        if (stored[-1], *stored[:-1]) != self.shape if self.last else stored != self.shape:
            raise FormatError(
                f"the page at byte {self.offset} has shape {stored}, unlike the first, {self.shape}",
                where=self.path,
                fix="copy the file again, or export it again",
                rule="tiff-corrupt",
            )


@lru_cache(maxsize=4096)
def _laid(of: Page, stamp: int) -> Window | None:
    """Where the pixels of a page lie, if they lie in one piece just as they are."""
    with tifffile.TiffFile(of.path) as file:
        file.filehandle.seek(of.offset)
        page = tifffile.TiffPage(file, index=0)
        of.vet(page)
        if page.dtype is None or not page.is_memmappable or page.fillorder != 1 or len(page.shape) not in (2, 3):
            return None
        stored = tuple(int(n) for n in page.shape)
        order = (2, 0, 1) if of.last else ()
        return Window(of.path, stored, page.dtype.newbyteorder(file.byteorder).str, int(page.dataoffsets[0]), order)


def pages(paths: tuple[str, ...], offsets: bytes, shape: tuple[int, ...], dtype: str, last: bool, index: int) -> Page:
    """The page of this number, out of its files and the packed offsets of the pages in them."""
    offset = int(np.frombuffer(offsets, np.int64)[index])
    return Page(paths[min(index, len(paths) - 1)], offset, shape, np.dtype(dtype), last)


def series(path: str, number: int, level: int, last: bool, index: int) -> NDArray[Any]:
    """A whole series, for layouts whose pages are not planes of it."""
    with opened(Path(path)) as file:
        return _first_axis(np.asarray(file.series[number].levels[level].asarray()), last)


def _first_axis(pixels: NDArray[Any], last: bool) -> NDArray[Any]:
    """Samples moved from the last axis to before y and x."""
    return np.moveaxis(pixels, -1, -3) if last else pixels


def _plain(keys: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    return len(keys) == len(shape) and all(isinstance(k, slice) and k.step in (None, 1) for k in keys)


def _region(
    file: Any, page: Any, box: list[tuple[int, int]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The strips or tiles that a box touches, pasted together. `box` and `shape` are (c,) y, x."""
    (y0, y1), (x0, x1) = box[-2:]
    samples = shape[0] if len(shape) == 3 else 1
    out = np.zeros((max(0, y1 - y0), max(0, x1 - x0), samples), dtype)
    height = int(page.tilelength if page.is_tiled else min(page.rowsperstrip, shape[-2]))
    width = int(page.tilewidth if page.is_tiled else shape[-1])
    across = -(-shape[-1] // width)
    tables = page.jpegtables
    for row in range(y0 // height, -(-y1 // height) if out.size else 0):
        for column in range(x0 // width, -(-x1 // width)):
            i = row * across + column
            count = int(page.databytecounts[i])
            if not count:
                continue
            file.filehandle.seek(int(page.dataoffsets[i]))
            pixels, at, _ = page.decode(file.filehandle.read(count), i, jpegtables=tables)
            if pixels is None:
                continue
            y, x = int(at[2]), int(at[3])
            part = pixels[0]
            a, b = max(y, y0), min(y + part.shape[0], y1)
            c, d = max(x, x0), min(x + part.shape[1], x1)
            if a < b and c < d:
                out[a - y0 : b - y0, c - x0 : d - x0] = part[a - y : b - y, c - x : d - x]
    if len(shape) == 2:
        return out[..., 0]
    (s0, s1) = box[0]
    return np.moveaxis(out, -1, 0)[s0:s1]


def _text(value: object, path: Path) -> None:
    """FormatError where a tag holds XML with a document type, before any reader gets to parse it."""
    data = value.encode() if isinstance(value, str) else value
    if isinstance(data, bytes) and data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] == b"<" and safexml.declares(data):
        raise FormatError(
            "holds XML that declares a document type, through which a few bytes can grow to gigabytes",
            where=path,
            fix="remove the <!DOCTYPE ...> if you trust the file",
            rule="xml-entities",
        )


def _chain(path: Path) -> None:
    """Walk from page to page, as the file says they follow one another, and see that all lie in it."""
    size, start = length(path), head(path, 16)
    order: Literal["<", ">"] = ">" if start[:2] == b"MM" else "<"
    version = struct.unpack_from(f"{order}H", start, 2)[0] if start[:2] in (b"II", b"MM") and len(start) >= 8 else 0
    if version not in (42, 43):
        raise FormatError(
            f"begins with {start[:4].hex(' ') or 'nothing'}, not as a TIFF",
            where=path,
            fix="export it again as TIFF",
            rule="tiff-magic",
        )
    big = version == 43
    counts, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    if big and len(start) < 16:
        raise FormatError("ends within its header", where=path, fix="copy the file again", rule="tiff-truncated")
    at = struct.unpack_from(f"{order}{pointer}", start, 8 if big else 4)[0]
    seen = set[int]()
    width, last = struct.calcsize(counts), struct.calcsize(pointer)
    try:
        with open(path, "rb") as file:
            while at:
                if at in seen or len(seen) > PAGES:
                    raise FormatError(
                        f"its pages run in a circle at byte {at}", where=path, fix="export it again", rule="tiff-header"
                    )
                seen.add(at)
                file.seek(min(at, size))
                data = file.read(width)
                entries = struct.unpack(f"{order}{counts}", data)[0] if len(data) == width else size
                end = at + width + entries * entry + last
                if entries > 4096 or end > size:
                    raise FormatError(
                        f"page {len(seen)} should lie at bytes {at} to {end} of {size}", where=path,
                        fix="copy the file again", rule="tiff-truncated",
                    )  # fmt: skip
                table = np.frombuffer(file.read(entries * entry), _ENTRY[big].newbyteorder(order))
                _values(table, size, path)
                at = struct.unpack(f"{order}{pointer}", file.read(last))[0]
    except OSError as e:
        raise FormatError(
            f"cannot be read: {e}", where=path, fix="check the name and its rights", rule="file-unreadable"
        ) from e
    if not seen:
        raise FormatError("has no page", where=path, fix="copy the file again", rule="tiff-truncated")


def _values(table: NDArray[Any], size: int, path: Path) -> None:
    """FormatError where the value of a tag lies beyond the end; tifffile would go on without the tag."""
    width = _WIDTHS[np.minimum(table["type"], len(_WIDTHS) - 1)] * table["count"].astype(np.float64)
    outside = (width > table["value"].dtype.itemsize) & (table["value"] + width > size)
    if outside.any():
        tag = table[outside][0]
        raise FormatError(
            f"tag {tag['tag']} should lie at byte {tag['value']} of {size}", where=path, fix="copy the file again",
            rule="tiff-truncated",
        )  # fmt: skip


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
