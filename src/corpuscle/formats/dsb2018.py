"""The layout of the Data Science Bowl 2018: a folder per image, and in it one PNG per object.

``<id>/images/<id>.png`` and ``<id>/masks/*.png``, in a folder or in a zip, which is read where it lies.
Whether a picture saved as RGBA is in truth grey is told by its pixels alone, so even `scenes` decodes it.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Channel, Fact, Image, Record, Space
from corpuscle.errors import FormatError
from corpuscle.formats import png
from corpuscle.formats.contract import Scene, pick
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import head, length, part, whole

NAME = "dsb2018"
LIMIT = 64 << 20
"""A picture in a zip that unpacks to more bytes than this is refused."""

_TIGHTEST = 1032
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, KeyError)
_COLOURS = ("red", "green", "blue", "alpha")


@dataclass(slots=True)
class _Entry:
    """The files of one image, as names relative to the source."""

    images: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)


def sniff(path: Path) -> bool:
    """Whether a folder has a child with images/ in it, or is one; or a zip begins with such names."""
    if path.is_dir():
        return ((path / "images").is_dir() and (path / "masks").is_dir()) or _has_child(path)
    start = head(path, 8192)
    return start[:4] == b"PK\3\4" and any(mark in start for mark in (b"/images/", b"/masks/")) and b".png" in start


def scenes(path: Path) -> tuple[Scene, ...]:
    """One scene per image, in the order of their names."""
    found = []
    for name, entry in _index(path).items():
        record = _record(path, name, entry)
        found.append(Scene.of(name, record.image("raw"), facts=record.facts))
    return tuple(found)


def records(path: Path) -> Iterator[Record | FormatError]:
    """All images; what is wrong with one comes as an error in its place."""
    for name, entry in _index(path).items():
        try:
            yield _record(path, name, entry)
        except FormatError as e:
            yield e


def read(path: Path, scene: str | None = None) -> Record:
    """One image as layer ``raw`` (grey, or c for true colours), and its objects as layer ``nuclei``.

    Labels follow the names of the masks. Where two masks overlap the earlier keeps the pixel, and the
    fact ``overlapping_pixels`` counts them; ``empty_masks`` counts masks without a pixel, which get no
    label. Without masks, as in the test sets, there is no layer ``nuclei``.

    Raises FormatError: ``dsb-layout``, ``dsb-mask-grey`` (a mask of more than two values),
    ``dsb-mask-shape``, ``dsb-zip``, ``dsb-size``, and what `png` raises.
    """
    index = _index(path)
    pick(tuple(index), scene, where=path)
    name = scene if scene is not None else next(iter(index))
    return _record(path, name, index[name])


def _record(path: Path, name: str, entry: _Entry) -> Record:
    if len(entry.images) != 1:
        raise FormatError(f"{len(entry.images)} images for {name!r}", where=path, rule="dsb-layout")
    pixels = _picture(str(path), entry.images[0], 0)
    colours = tuple(Channel(c) for c in _COLOURS[: len(pixels)]) if pixels.ndim == 3 else ()
    paths = (str(path),) if path.is_file() else (str(path / entry.images[0]),)
    raw = Lazy(pixels.shape, pixels.dtype, partial(_picture, str(path), entry.images[0]), paths=paths)
    layers = {"raw": Image(raw, Space("cyx" if colours else "yx"), colours)}
    facts: dict[str, Fact] = {}
    if entry.masks:
        shape = pixels.shape[-2:]
        _, objects, overlap, empty = _composed(str(path), tuple(entry.masks), shape)
        load = partial(_nuclei, str(path), tuple(entry.masks), shape)
        layers["nuclei"] = Image(Lazy(shape, np.dtype(np.int32), load, paths=paths), Space("yx"), labels_of="raw")
        told = {"objects": objects, "overlapping_pixels": overlap, "empty_masks": empty}
        facts = {k: Fact(v, source="computed") for k, v in told.items()}
    return Record(name, {}, layers, facts)


def _has_child(path: Path) -> bool:
    try:
        for i, child in enumerate(path.iterdir()):
            if (child / "images").is_dir():
                return True
            if i == 20:
                break
    except OSError:
        return False
    return False


def _index(path: Path) -> Mapping[str, _Entry]:
    """The images of a source by name, sorted, and their files."""
    index: dict[str, _Entry] = {}
    for name in sorted(_names(path)):
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[-2] not in ("images", "masks") or not parts[-1].lower().endswith(".png"):
            continue
        # macOS puts a shadow of each file into its zips.
        if parts[0] == "__MACOSX" or parts[-1].startswith("."):
            continue
        entry = index.setdefault(parts[-3], _Entry())
        (entry.images if parts[-2] == "images" else entry.masks).append(name)
    if not index:
        raise FormatError("no images/*.png one folder below an image's own", where=path, rule="dsb-layout")
    return dict(sorted(index.items()))


def _names(path: Path) -> list[str]:
    if path.is_dir():
        base = path.parent if (path / "images").is_dir() else path
        files = path.glob("images/*") if base != path else path.glob("*/images/*")
        masks = path.glob("masks/*") if base != path else path.glob("*/masks/*")
        up = f"../{path.name}" if base != path else ""
        return [str(PurePosixPath(up, *p.relative_to(path).parts)) for p in (*files, *masks)]
    stamp = path.stat() if path.exists() else None
    return list(_archive(str(path), stamp.st_mtime_ns if stamp else 0))


@lru_cache(maxsize=2)
def _archive(path: str, stamp: int) -> Mapping[str, zipfile.ZipInfo]:
    length(Path(path))
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (*_BROKEN, NotImplementedError) as e:
        raise FormatError(f"is no zip that can be read: {e}", where=path, rule="dsb-zip") from e
    for info in infos:
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if info.filename.startswith(("/", "\\")) or ".." in parts or stat.S_ISLNK(info.external_attr >> 16):
            raise FormatError(f"holds {info.filename!r}, which leads out of it", where=path, rule="dsb-zip")
    return {info.filename: info for info in infos if info.filename and not info.is_dir()}


def _bytes(source: str, name: str) -> bytes:
    path = Path(source)
    if path.is_dir():
        return whole(path / name, limit=LIMIT)
    info = _archive(source, path.stat().st_mtime_ns)[name]
    where = f"{source}/{name}"
    if info.file_size > min(LIMIT, info.compress_size * _TIGHTEST + 64):
        raise FormatError(f"unpacks to {info.file_size} bytes from {info.compress_size}", where=where, rule="dsb-size")
    # Taken out by hand: opening the archive again would read its directory of thousands of names for each mask.
    start = part(path, info.header_offset, 30)
    if start[:4] != b"PK\3\4" or len(start) < 30 or info.flag_bits & 1 or info.compress_type not in (0, 8):
        raise FormatError("is encrypted, or packed in a way that is not read", where=where, rule="dsb-zip")
    skip = 30 + sum(struct.unpack_from("<2H", start, 26))
    data = part(path, info.header_offset + skip, info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, info.file_size + 1)
        except zlib.error as e:
            raise FormatError(f"cannot be unpacked: {e}", where=where, fix="copy it again", rule="dsb-zip") from e
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise FormatError("does not fit its checksum", where=where, fix="copy it again", rule="dsb-zip")
    return data


def _pixels(source: str, name: str) -> NDArray[Any]:
    where = f"{source}/{name}"
    return png.simplest(png.decode(png.vet(_bytes(source, name), where=where), where=where))


def _picture(source: str, name: str, index: int) -> NDArray[Any]:
    pixels = _pixels(source, name)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _nuclei(source: str, masks: tuple[str, ...], shape: tuple[int, ...], index: int) -> NDArray[np.int32]:
    return _composed(source, masks, shape)[0]


def _composed(source: str, masks: tuple[str, ...], shape: tuple[int, ...]) -> tuple[NDArray[np.int32], int, int, int]:
    """Labels, how many there are, pixels that a second mask wanted, and masks without a pixel."""
    labels = np.zeros(shape, np.int32)
    objects = overlap = empty = 0
    for name in masks:
        mask = _mask(source, name, shape)
        if not mask.any():
            empty += 1
            continue
        objects += 1
        taken = mask & (labels > 0)
        overlap += int(taken.sum())
        labels[mask & ~taken] = objects
    return labels, objects, overlap, empty


def _mask(source: str, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    pixels = _pixels(source, name)
    if pixels.shape != shape:
        raise FormatError(
            f"a mask of shape {pixels.shape} for an image of {shape}", where=f"{source}/{name}", rule="dsb-mask-shape"
        )
    top = pixels.max()
    mask: NDArray[np.bool_] = pixels == top
    if top and not (mask | (pixels == 0)).all():
        values = np.unique(pixels)
        raise FormatError(
            f"a mask of {len(values)} grey values, {int((~mask & (pixels > 0)).sum())} pixels between black and "
            f"{top}: it was smoothed or resized",
            where=f"{source}/{name}",
            fix="export the masks again as black and white",
            rule="dsb-mask-grey",
        )
    return mask if top else np.zeros(shape, np.bool_)


def names(path: Path) -> tuple[str, ...]:
    """The images of a source, by name, from its list of files alone."""
    return tuple(_index(path))
