"""Cellomics .C01 and .DIB: one channel of one field of a plate.

A .C01 is four bytes ``00 00 00 10`` and a zlib stream that holds a .DIB: a 40-byte bitmap header, three
colour masks that mean nothing, and from byte 52 the pixels, little-endian, top row first, rows unpadded.
Sources: Bio-Formats, CellomicsReader; ome/bioformats issue 3474 (the 64 bytes that may follow the
pixels); the real files of jni/cellom2tif, whose pixels this reads as Bio-Formats does.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Channel, Fact, Image, Layer, Record, Space
from corpuscle.core.plate import PlateName, parse
from corpuscle.errors import FormatError
from corpuscle.formats.bombs import defuse
from corpuscle.formats.contract import Loss, Scene, image_of, lost, named, pick
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import aside, head, length, whole

NAME = "c01"
MAGIC = b"\x00\x00\x00\x10"
PIXELS = 2 << 30
"""A file that claims more bytes of pixels than this is refused."""
BEHIND = 1 << 20
"""Up to this many bytes after the pixels of a packed file are tolerated."""

_HEADER = struct.Struct("<IiiHHIIiiII12s")
_START = 52
_TRAILER = 64
_PIECE = 4 << 20
# Deflate spends at least 2 bits on 258 bytes, so it never packs tighter than 1032 to 1.
_TIGHTEST = 1032
_DTYPES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 16: np.dtype("<u2"), 32: np.dtype("<u4")}
_MASKS = {
    "plain": bytes.fromhex("f0010000e003000000fc0000"),
    "packed": bytes.fromhex("1f000000e003000000fc0000"),
    "overlay": bytes.fromhex("00fc0000e00300001f000000"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 52 bytes of the bitmap say; `um` is the pixel size along y and x, None where unknown."""

    width: int
    height: int
    planes: int
    bits: int
    um: tuple[float | None, float | None]
    packed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Unsigned, of as many bits as a pixel has."""
        return _DTYPES[self.bits]

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x), without z where there is one plane."""
        return (self.planes, self.height, self.width) if self.planes > 1 else (self.height, self.width)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return math.prod(self.shape) * self.dtype.itemsize


def sniff(path: Path) -> bool:
    """Whether a zlib stream follows the magic number, or a file starts with a bitmap header that can be meant."""
    start = head(path, _START)
    if start[:4] == MAGIC:
        return len(start) < 6 or (start[4] & 15 == 8 and int.from_bytes(start[4:6], "big") % 31 == 0)
    if len(start) < 16 or start[:4] != b"\x28\0\0\0":
        return False
    _, width, height, planes, bits = struct.unpack_from("<IiiHH", start)
    return bool(width > 0 and height > 0 and planes > 0 and bits in _DTYPES)


def header(path: Path) -> Header:
    """The header of a file, of which a few hundred bytes are read.

    Raises FormatError with rule ``c01-magic`` (neither kind of file), ``c01-header`` (values that
    cannot be meant), ``c01-size`` (more pixels than the file can hold), ``c01-bomb`` (see `bombs.defuse`) or
    ``c01-truncated``.
    """
    size = length(path)
    return _parsed(_open(head(path, 1024), path), size, path)


def decode(data: bytes, *, where: str | Path = "") -> NDArray[Any]:
    """The pixels of a .C01 or .DIB held in memory: (y, x) or (z, y, x), uint8, uint16 or uint32, read-only.

    Bytes after the pixels are tolerated. The checksum of the zlib stream is verified.
    """
    return _decode(data, where)[0]


def stage(path: Path) -> tuple[float, float, float] | None:
    """Stage position x, y, z in micrometres, where 64 finite bytes of it follow the pixels."""
    return _decode(whole(path), path)[1]


def encode(
    pixels: NDArray[Any],
    *,
    um_per_px: float | tuple[float | None, float | None] | None = None,
    compressed: bool = True,
    overlay: bool = False,
    level: int = 1,
) -> bytes:
    """The bytes of a .C01 (`compressed`) or .DIB file, as the vendor lays them out; the same each time.

    Parameters
    ----------
    pixels
        (y, x) or (z, y, x), of uint8, uint16 or uint32.
    um_per_px
        Pixel size, or that along y and x; None is unknown. It is stored as whole pixels per metre.
    overlay
        Whether to write the header of a file of outlines.
    level
        Effort of zlib; 1 is what real files have.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind != "u" or pixels.dtype.itemsize > 4:
        raise FormatError(
            f"C01 holds planes of uint8, uint16 or uint32, not {pixels.dtype} of shape {pixels.shape}",
            fix="convert to an unsigned type first",
            rule="c01-dtype",
        )
    planes, bits = 1 if pixels.ndim == 2 else pixels.shape[0], 8 * pixels.dtype.itemsize
    if planes > 65535 or max(pixels.shape) >= 1 << 31 or pixels.nbytes > PIXELS:
        raise FormatError(f"shape {pixels.shape} is more than C01 holds", fix="cut it in pieces", rule="c01-size")
    y, x = um_per_px if isinstance(um_per_px, tuple) else (um_per_px, um_per_px)
    kind = "overlay" if overlay else "packed" if compressed else "plain"
    marks = (3, 3) if overlay else (0, 0)
    start = _HEADER.pack(
        40, pixels.shape[-1], pixels.shape[-2], planes, bits, marks[0], 0, _per_metre(x), _per_metre(y), marks[1], 0,
        _MASKS[kind],
    )  # fmt: skip
    body = start + pixels.astype(_DTYPES[bits], copy=False).tobytes()
    return MAGIC + zlib.compress(body, level) if compressed else body


def scenes(path: Path) -> tuple[Scene, ...]:
    """The one image of the file."""
    record = _record(path, header(path))
    (layer,) = record.layers
    return (Scene.of(record.name, record.image(layer), layer=layer, facts=record.facts),)


def read(path: Path, scene: str | None = None) -> Record:
    """The image as layer ``raw``, or ``vendor_overlay`` for an o-file, with a c axis where the name tells the channel.

    Unlike `scenes` it looks for the stage position behind the pixels, and so inflates the file once.
    """
    record = _record(path, header(path))
    pick((record.name,), scene, where=path)
    at = stage(path)
    if at is None:
        return record
    return record.with_facts(**{f"stage_{a}": Fact(v, "um") for a, v in zip("xyz", at, strict=True)})


def write(layer: Layer, path: Path) -> tuple[Loss, ...]:
    """Write an image as .C01, or as .DIB where the name ends so.

    Axes yx or zyx, with a c of one channel before them; unsigned integers of up to 32 bits. Kept is
    the pixel size along y and x, to a whole number of pixels per metre, and of the channel what the
    file name says.
    """
    image = image_of(layer, format=NAME, path=path)
    axes = image.space.axes
    if "".join(axes) not in ("yx", "zyx", "cyx", "czyx") or ("c" in axes and image.shape[0] != 1):
        raise FormatError(
            f"C01 holds one channel of yx or zyx, not {image!r}",
            where=path,
            fix="write one channel of yx or zyx at a time",
            rule="c01-axes",
        )
    pixels = image.read()
    pixels = pixels[0] if "c" in axes else pixels
    um = dict(zip(axes, image.space.scale, strict=True))
    name = parse(path.name)
    packed = path.suffix.lower() != ".dib"
    data = encode(pixels, um_per_px=(um["y"], um["x"]), compressed=packed, overlay=name is not None and name.overlay)
    with aside(path) as temporary:
        temporary.write_bytes(data)
    return _losses(image, header(path), name)


def _losses(image: Image, kept: Header, name: PlateName | None) -> tuple[Loss, ...]:
    scale = tuple(
        f"{a} {s:g}"
        for a, s in zip(image.space.axes, image.space.scale, strict=True)
        if s is not None and s != {"y": kept.um[0], "x": kept.um[1]}.get(a)
    )
    told = (Channel(name.channel),) if name and name.channel else ()
    losses = list(lost(image, keeps={"scale", "channels"} if image.channels == told else {"scale"}))
    if scale:
        losses.insert(0, Loss("scale", len(scale), scale))
    # The name of the file decides whether it is read with a c axis, and the number of planes whether with z.
    if changed := set(image.space.axes) ^ set(_axes(kept, name)):
        losses.append(Loss("axes", len(changed), tuple(sorted(changed))))
    return tuple(losses)


def _per_metre(um: float | None) -> int:
    if um is None:
        return 0
    # Real files cut the fraction off: 0.645 um is stored as 1550387, not 1550388.
    n = math.floor(1e6 / um + 1e-6) if um > 0 else 0
    if not 0 < n < 1 << 31:
        raise FormatError(
            f"C01 holds whole pixels per metre, and {um} um is {n}",
            fix="give the pixel size in micrometres",
            rule="c01-scale",
        )
    return n


def _open(start: bytes, path: str | Path) -> tuple[bytes, bool]:
    """The bitmap header out of the first bytes of a file, and whether it was packed."""
    if start[:4] == MAGIC:
        try:
            inflated = zlib.decompressobj().decompress(start[4:], _START)
        except zlib.error as e:
            raise FormatError(
                f"no zlib stream follows the magic number: {e}",
                where=path,
                fix="copy the file again",
                rule="c01-corrupt",
            ) from e
        return inflated, True
    if start[:4] == b"\x28\0\0\0":
        return start[:_START], False
    raise FormatError(
        f"begins with {start[:4].hex(' ') or 'nothing'}, not with 00 00 00 10 (.C01) or 28 00 00 00 (.DIB)",
        where=path,
        fix="export it again as .C01 or .DIB",
        rule="c01-magic",
    )


def _parsed(start: tuple[bytes, bool], size: int, path: str | Path) -> Header:
    data, packed = start
    if len(data) < _START:
        raise FormatError(
            f"ends within the header, after {len(data)} of {_START} bytes", where=path, fix="copy the file again",
            rule="c01-truncated",
        )  # fmt: skip
    first, width, height, planes, bits, _, _, x_per_metre, y_per_metre, _, _, _ = _HEADER.unpack(data)
    if first != 40 or width < 1 or height < 1 or planes < 1 or bits not in _DTYPES:
        raise FormatError(
            f"a header of {first} bytes tells of {width} x {height} pixels of {bits} bits in {planes} planes; "
            "wanted are 40 bytes, positive sizes, and 8, 16 or 32 bits",
            where=path,
            fix="export it again",
            rule="c01-header",
        )
    um = (_um(y_per_metre), _um(x_per_metre))
    found = Header(width, height, planes, bits, um, packed)
    room = size * _TIGHTEST if packed else size - _START
    if found.nbytes > min(room, PIXELS):
        raise FormatError(
            f"claims {width} x {height} x {planes} pixels of {bits} bits, which {size} bytes cannot hold",
            where=path,
            fix="copy the file again",
            rule="c01-size" if packed or found.nbytes > PIXELS else "c01-truncated",
        )
    if packed:
        defuse(found.nbytes, size, where=path, rule="c01-bomb")
    return found


def _um(per_metre: int) -> float | None:
    return 1e6 / per_metre if per_metre > 0 else None


def _decode(data: bytes, where: str | Path) -> tuple[NDArray[Any], tuple[float, float, float] | None]:
    found = _parsed(_open(data[:1024], where), len(data), where)
    if found.packed:
        body, trailer = _inflated(data, found.nbytes, where)
        pixels = body.view(found.dtype)
    else:
        pixels = np.frombuffer(data, found.dtype, math.prod(found.shape), _START)
        trailer = data[_START + found.nbytes : _START + found.nbytes + _TRAILER]
    return pixels.reshape(found.shape), _stage(trailer)


def _inflated(data: bytes, nbytes: int, where: str | Path) -> tuple[NDArray[np.uint8], bytes]:
    """The bytes of the pixels, read-only, and the first of those behind them; unpacked once, into one place."""
    # Room for one byte more than may follow, so that the end and its checksum are reached where they exist.
    out, done = np.empty(_START + nbytes, np.uint8), 0
    behind = b""
    stream = zlib.decompressobj()
    try:
        for at in range(len(MAGIC), len(data), _PIECE):
            rest = data[at : at + _PIECE]
            while rest and not stream.eof and len(behind) <= BEHIND:
                room = len(out) - done
                piece = stream.decompress(rest, min(room, _PIECE) or BEHIND + 1 - len(behind))
                if room:
                    out[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
                    done += len(piece)
                else:
                    behind += piece
                rest = stream.unconsumed_tail
    except zlib.error as e:
        raise FormatError(
            f"the zlib stream is broken: {e}", where=where, fix="copy the file again", rule="c01-corrupt"
        ) from e
    if len(behind) > BEHIND:
        raise FormatError(
            f"more than {BEHIND} bytes follow the pixels", where=where, fix="export it again", rule="c01-size"
        )
    if done < len(out) or not stream.eof:
        raise FormatError(
            f"the zlib stream ends early, after {max(0, done - _START)} of {nbytes} bytes of pixels",
            where=where,
            fix="copy the file again",
            rule="c01-truncated",
        )
    out.flags.writeable = False
    return out[_START:], behind[:_TRAILER]


def _stage(trailer: bytes) -> tuple[float, float, float] | None:
    if len(trailer) < 40:
        return None
    x, y, z = struct.unpack_from("<3d", trailer, 16)
    return (x, y, z) if all(map(math.isfinite, (x, y, z))) else None


def _axes(found: Header, name: PlateName | None) -> str:
    return ("c" if name and name.channel else "") + ("zyx" if found.planes > 1 else "yx")


def _record(path: Path, found: Header) -> Record:
    name = parse(path.name)
    label, groups = named(path)
    image = stack([(path, found)], name.channel if name else None)
    overlay = name is not None and name.overlay
    facts = {"bits": Fact(found.bits), **({"overlay": Fact(True)} if overlay else {})}
    return Record(label, groups, {"vendor_overlay" if overlay else "raw": image}, facts)


def stack(files: list[tuple[Path, Header]], *channels: str | None) -> Image:
    """Files of one shape as one image, one entry along c each; without c where the only channel is None."""
    first = files[0][1]
    named_c = tuple(Channel(c) for c in channels if c is not None)
    paths = tuple(str(p) for p, _ in files)
    shape = (*((len(files),) if named_c else ()), *first.shape)
    axes = ("c" if named_c else "") + ("zyx" if first.planes > 1 else "yx")
    scale = (None,) * (len(axes) - 2) + first.um
    array = Lazy(shape, first.dtype, partial(_plane, paths), lead=int(bool(named_c)), paths=paths)
    return Image(array, Space(axes, scale=scale), named_c)


def _plane(paths: tuple[str, ...], index: int) -> NDArray[Any]:
    return decode(whole(Path(paths[index])), where=paths[index])
