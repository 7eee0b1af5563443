"""PNG pictures: grey, colour and palette, of 1 to 16 bits, with what their text chunks tell."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Channel, Fact, Image, Layer, Record, Space
from corpuscle.core.record import Value
from corpuscle.errors import FormatError
from corpuscle.formats.bombs import defuse
from corpuscle.formats.contract import Loss, Scene, image_of, lost, named, pick
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.pngtext import TEXT, text, value, worded
from corpuscle.formats.source import aside, head, whole

NAME = "png"
MAGIC = b"\x89PNG\r\n\x1a\n"
LIMIT = 1 << 29
"""A picture of more samples than this is refused."""

_CHUNKS = 1 << 20
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_CHANNELS = {0: (), 2: ("red", "green", "blue"), 3: ("red", "green", "blue"), 4: ("grey", "alpha")}
_CHANNELS[6] = (*_CHANNELS[2], "alpha")
# Deflate packs at most 1032 to 1.
_TIGHTEST = 1032


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG whose every chunk has been held against its checksum.

    `colour` is the colour type of the specification: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
    `data` has the chunks that pixels need, and no others.
    """

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    data: bytes = field(repr=False)
    palette: bytes = field(repr=False, default=b"")
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """(y, x), or (c, y, x) for colours; those of a palette are read as colours."""
        c = _SAMPLES[self.colour]
        return (self.height, self.width) if c == 1 else (c, self.height, self.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where a sample has 16 bits, else uint8."""
        return np.dtype("u2" if self.depth == 16 else "u1")


def sniff(path: Path) -> bool:
    """Whether it starts with the eight bytes of PNG."""
    return head(path, 8) == MAGIC


def scenes(path: Path) -> tuple[Scene, ...]:
    """The one picture of the file."""
    record = read(path)
    return (Scene.of(record.name, record.image("raw"), facts=record.facts),)


def read(path: Path, scene: str | None = None) -> Record:
    """The picture as layer ``raw``, yx or cyx; grey of less than 8 bits keeps its values, 0 to 2^bits - 1.

    Its text chunks are facts. The dots per inch of a PNG are for printers, so the pixel size is unknown.
    """
    found = vet(whole(path), where=path)
    name, groups = named(path)
    pick((name,), scene, where=path)
    array = Lazy(found.shape, found.dtype, partial(_load, str(path)), paths=(str(path),))
    channels = tuple(Channel(n) for n in _CHANNELS[found.colour])
    image = Image(array, Space("cyx" if channels else "yx"), channels)
    facts = {k: Fact(value(v)) for k, v in found.texts.items()}
    if found.depth < 8:
        facts["bits"] = Fact(found.depth)
    return Record(name, groups, {"raw": image}, facts)


def vet(data: bytes, *, where: str | Path = "", labels: bool = False) -> Png:
    """The header, palette and texts of a PNG in memory, with nothing decoded.

    Raises FormatError: ``png-magic``, ``png-header``, ``png-size`` (more pixels than the data can hold,
    or than `LIMIT`), ``png-bomb`` (see `bombs.defuse`; `labels` pass more), ``png-crc``, ``png-truncated``.
    """
    if data[:8] != MAGIC:
        raise FormatError(
            f"begins with {data[:8].hex(' ') or 'nothing'}, not as a PNG",
            where=where,
            fix="export it again as PNG",
            rule="png-magic",
        )
    width = height = depth = colour = -1
    interlaced = False
    palette, packed = b"", 0
    kept: list[bytes | memoryview] = [MAGIC]
    texts: dict[str, str] = {}
    for at, kind, body in _chunks(data, where):
        if (at == 8) != (kind == b"IHDR"):
            raise FormatError(
                "the header is not where it belongs", where=where, fix="export it again as PNG", rule="png-header"
            )
        if kind == b"IHDR":
            width, height, depth, colour, interlaced = _header(bytes(body), where)
        elif kind == b"PLTE":
            palette = bytes(body)
        elif kind == b"IDAT":
            packed += len(body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts.update(text(kind, bytes(body[:TEXT])))
        elif kind != b"IEND" and kind[0] & 32 == 0:
            raise FormatError(
                f"a chunk {kind!r} that no PNG needs", where=where, fix="export it again as PNG", rule="png-header"
            )
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(memoryview(data)[at : at + 12 + len(body)])
    samples = width * height * (1 if colour == 3 else _SAMPLES[colour])
    if samples * depth // 8 > packed * _TIGHTEST or samples > LIMIT:
        raise FormatError(
            f"claims {width} x {height} pixels in {packed} bytes of data, "
            f"more than these can hold or than {LIMIT} samples",
            where=where,
            fix="export it again, in pieces where it is larger",
            rule="png-size",
        )
    defuse(samples * depth // 8, packed, where=where, rule="png-bomb", labels=labels)
    if colour == 3 and (not palette or len(palette) % 3):
        raise FormatError(
            f"a palette of {len(palette)} bytes", where=where, fix="export it again as PNG", rule="png-header"
        )
    return Png(width, height, depth, colour, interlaced, b"".join(kept), palette, texts)


def decode(png: Png, *, indices: bool = False, where: str | Path = "") -> NDArray[Any]:
    """The pixels, (y, x) or (y, x, c); of a palette image its colours, or the `indices` into the palette.

    Raises FormatError, rule ``png-corrupt``, where they cannot be decoded.
    """
    if png.depth >= 8 and png.colour != 3:
        import imagecodecs

        try:
            pixels = np.asarray(imagecodecs.png_decode(png.data))
        except (imagecodecs.PngError, ValueError) as e:
            raise FormatError(
                f"its pixels cannot be decoded: {e}", where=where, fix="copy the file again", rule="png-corrupt"
            ) from e
    else:
        _complete(png, where)
        pixels = _with_pillow(png, where)
        if png.colour == 0:
            # Pillow stretches 1, 2 and 4 bits to 0..255, which these divide.
            pixels = pixels // np.uint8(255 // (2**png.depth - 1))
        elif not indices:
            table = np.zeros((256, 3), np.uint8)
            table[: len(png.palette) // 3] = np.frombuffer(png.palette, np.uint8).reshape(-1, 3)[:256]
            pixels = table[pixels]
    flat = len(png.shape) == 2 or (indices and png.colour == 3)
    expected = (png.height, png.width) if flat else (png.height, png.width, png.shape[0])
    if pixels.shape != expected:
        raise FormatError(
            f"decodes to {pixels.shape}, not {expected}", where=where, fix="copy the file again", rule="png-corrupt"
        )
    return pixels


def simplest(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same picture, (y, x, c), without an alpha that is everywhere the same, and as (y, x) where colours are grey.

    >>> simplest(np.full((1, 2, 4), 255, np.uint8))
    array([[255, 255]], dtype=uint8)
    """
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) and (pixels[..., -1] == pixels[0, 0, -1]).all():
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[-1] in (1, 3) and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    return pixels


def encode(pixels: NDArray[Any], *, texts: Mapping[str, Value] | None = None, level: int = 6) -> bytes:
    """A PNG of (y, x) or (y, x, 3) uint8 or uint16; the same bytes for the same pixels and texts.

    A text value that is a number, a truth value or None is written as JSON, and read back as what it was.
    """
    pixels = np.ascontiguousarray(pixels)
    if pixels.dtype not in ("u1", "u2") or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise FormatError(
            f"PNG is not written from {pixels.dtype} of shape {pixels.shape}",
            fix="convert to 8 or 16 bits first",
            rule="png-dtype",
        )
    if (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.size > LIMIT or max(pixels.shape) >= 1 << 31:
        raise FormatError(
            f"PNG is not written from shape {pixels.shape}", fix="convert to 8 or 16 bits first", rule="png-dtype"
        )
    height, width = pixels.shape[:2]
    stride = pixels.dtype.itemsize * (1 if pixels.ndim == 2 else 3)
    rows = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False).reshape(height, -1).view(np.uint8)
    head_ = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    out = [MAGIC, _chunk(b"IHDR", head_)]
    out += [_chunk(*worded(key, fact)) for key, fact in (texts or {}).items()]
    out += [_chunk(b"IDAT", zlib.compress(_filtered(rows, stride), level)), _chunk(b"IEND", b"")]
    return b"".join(out)


def write(layer: Layer, path: Path, *, texts: Mapping[str, Value] | None = None) -> tuple[Loss, ...]:
    """Write a yx image, or a cyx one of three channels, of integers from 0 to 65535; `texts` become text chunks.

    Kept are the pixels, in uint8 where the image has that type and else in uint16.
    """
    image = image_of(layer, format=NAME, path=path)
    axes = "".join(image.space.axes)
    if not (axes == "yx" or (axes == "cyx" and image.shape[0] == 3)) or image.dtype.kind not in "iu":
        raise FormatError(
            f"PNG holds integers in yx, or in cyx of three colours, not {image!r}",
            where=path,
            fix="write one plane at a time",
            rule="png-axes",
        )
    pixels = image.read()
    if pixels.dtype != np.uint8 and pixels.size and not 0 <= int(pixels.min()) <= int(pixels.max()) <= 65535:
        raise FormatError(
            f"PNG holds 0 to 65535, not {pixels.min()} to {pixels.max()}",
            where=path,
            fix="convert to 8 or 16 bits first",
            rule="png-dtype",
        )
    kept = pixels.astype(np.uint8 if pixels.dtype == np.uint8 else np.uint16, copy=False)
    data = encode(np.moveaxis(kept, 0, -1) if axes == "cyx" else kept, texts=texts)
    with aside(path) as temporary:
        temporary.write_bytes(data)
    rgb = tuple(Channel(n) for n in _CHANNELS[2])
    losses = lost(image, keeps={"channels"} if image.channels == rgb else ())
    changed = Loss("dtype", 1, (f"{image.dtype} to {kept.dtype}",))
    return losses if kept.dtype == image.dtype else (changed, *losses)


def _load(path: str, index: int) -> NDArray[Any]:
    pixels = decode(vet(whole(Path(path)), where=path), where=path)
    return pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _complete(png: Png, where: str | Path) -> None:
    """FormatError where there are fewer pixels than claimed, which Pillow makes up where it finds none.

    Source: the PNG specification, section 8.2 (the seven passes of an interlaced picture).
    """
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    need = 0
    for x, y, across, down in starts if png.interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((x - png.width) // across)), max(0, -((y - png.height) // down))
        need += rows * (1 + -(-columns * png.depth // 8)) if columns else 0
    packed = b"".join(bytes(body) for _, kind, body in _chunks(png.data, where) if kind == b"IDAT")
    try:
        found = len(zlib.decompressobj().decompress(packed, need))
    except zlib.error as e:
        raise FormatError(
            f"its pixels cannot be unpacked: {e}", where=where, fix="copy the file again", rule="png-corrupt"
        ) from e
    if found < need:
        raise FormatError(
            f"{found} of {need} bytes of pixels", where=where, fix="copy the file again", rule="png-corrupt"
        )


def _with_pillow(png: Png, where: str | Path) -> NDArray[Any]:
    import io

    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(png.data), formats=["PNG"]) as image:
            return np.asarray(image.convert("L") if png.colour == 0 else image, np.uint8)
    # What Pillow has been seen to raise on broken data, and its bomb error, which is no child of these.
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Pillow.DecompressionBombError) as e:
        raise FormatError(
            f"its pixels cannot be decoded: {e}", where=where, fix="copy the file again", rule="png-corrupt"
        ) from e


def _chunks(data: bytes, where: str | Path) -> Iterator[tuple[int, bytes, memoryview]]:
    view, at = memoryview(data), 8
    for _ in range(_CHUNKS):
        if at + 12 > len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        body = view[at + 8 : at + 8 + size]
        (told,) = struct.unpack_from(">I", data, at + 8 + size)
        if zlib.crc32(view[at + 4 : at + 8 + size]) != told:
            raise FormatError(
                f"chunk {kind!r} at byte {at} does not fit its checksum",
                where=where,
                fix="copy the file again",
                rule="png-crc",
            )
        yield at, kind, body
        if kind == b"IEND":
            return
        at += 12 + size
    raise FormatError(
        f"ends at byte {len(data)}, within a chunk or without its last one",
        where=where,
        fix="copy the file again",
        rule="png-truncated",
    )


def _header(body: bytes, where: str | Path) -> tuple[int, int, int, int, bool]:
    if len(body) != 13:
        raise FormatError(
            f"a header of {len(body)} bytes", where=where, fix="export it again as PNG", rule="png-header"
        )
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31) or depth not in _DEPTHS.get(colour, ()):
        raise FormatError(
            f"tells of {width} x {height} pixels, depth {depth}, colour type {colour}",
            where=where,
            fix="export it again as PNG",
            rule="png-header",
        )
    if packing or filtering or interlace > 1:
        raise FormatError(
            "is packed in a way that PNG does not have", where=where, fix="export it again as PNG", rule="png-header"
        )
    return width, height, depth, colour, bool(interlace)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _filtered(rows: NDArray[np.uint8], stride: int) -> bytes:
    """Each row as it is, less its left neighbours, or less the row above: whichever has the least sum of differences.

    Source: the PNG specification, section 12.7 (filter selection).
    """
    left, above = rows.copy(), rows.copy()
    left[:, stride:] -= rows[:, :-stride]
    above[1:] -= rows[:-1]
    ways = np.stack([rows, left, above])
    best = np.abs(ways.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    chosen = ways[best, np.arange(len(rows))]
    return np.concatenate([best.astype(np.uint8)[:, None], chosen], axis=1).tobytes()
