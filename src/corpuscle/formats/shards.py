"""The bytes of a Zarr array: its metadata document and its shards, assembled in memory, one file each.

A shard is a row of encoded chunks and, at its end, where each of them lies; the chunks and that index carry
a CRC-32C each, so no byte of it can change unseen. Assembling it here is what makes writing cheap: an engine's
own way of creating an array and committing one shard costs more than compressing a whole 512 x 512 image.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from corpuscle.core.box import Box
from corpuscle.core.space import SPATIAL
from corpuscle.errors import FormatError

ABSENT = 2**64 - 1
PLANE = 512, 2048
VOLUME = 64, 256
DEEP = 16
LEVEL = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """How an array is cut: into chunks, which are read one by one, within shards, which are files.

    >>> Grid.of("cyx", (2, 1104, 1104))
    Grid(shape=(2, 1104, 1104), chunk=(1, 512, 512), shard=(1, 1536, 1536))
    >>> Grid.of("zyx", (300, 100, 1000))
    Grid(shape=(300, 100, 1000), chunk=(64, 64, 64), shard=(256, 128, 256))
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]

    @classmethod
    def of(
        cls, axes: Sequence[str], shape: Sequence[int], *, sharded: bool = True, plane: tuple[int, int] = PLANE
    ) -> Grid:
        """Planes in chunks of 512 and shards of 2048 pixels, stacks of 16 and more in cubes of 64 and 256.

        One t, c or other index to a shard. An array smaller than a chunk or shard is one, as large as it.
        """
        deep = all(a in axes for a in SPATIAL) and shape[list(axes).index("z")] >= DEEP
        small, large = VOLUME if deep else plane
        chunk, shard = [], []
        for a, n in zip(axes, shape, strict=True):
            c = max(1, min(small, n)) if a in "yx" or (a == "z" and deep) else 1
            chunk.append(c)
            shard.append(c * max(1, min(large // small, -(-n // c))) if sharded and c > 1 else c)
        return cls(tuple(int(n) for n in shape), tuple(chunk), tuple(shard))

    @property
    def boxes(self) -> list[Box]:
        """What each shard covers, clipped to the array, in C order."""
        return list(Box.of(self.shape).tiles(self.shard))

    def key(self, box: Box) -> str:
        """Where the shard that begins where `box` does lies, beneath the array.

        >>> Grid((8,), (2,), (4,)).key(Box((4,), (8,)))
        'c/1'
        """
        return "/".join(["c", *(str(a // s) for a, s in zip(box.start, self.shard, strict=True))])

    def shards(self, box: Box) -> list[Box]:
        """The shards that make up `box`; a FormatError unless it is made of whole ones."""
        whole = Box.of(self.shape)
        fits = len(box.start) == len(self.shape) and all(
            0 <= a < b <= n and a % s == 0 and (b % s == 0 or b == n)
            for a, b, n, s in zip(box.start, box.stop, self.shape, self.shard, strict=True)
        )
        if not fits:
            raise FormatError(
                f"{box} is not made of whole shards of {self.shard} within {whole.shape}",
                fix="write the boxes that `shards` names",
                rule="shard-misaligned",
            )
        return list(box.tiles(self.shard))


def v3_metadata(grid: Grid, dtype: np.dtype[Any], axes: Sequence[str], *, labels: bool) -> dict[str, Any]:
    """The zarr.json of a sharded array: Zarr v3 core specification, sharding codec 1.0."""
    little = {"name": "bytes", "configuration": {"endian": "little"}} if dtype.itemsize > 1 else {"name": "bytes"}
    blosc = {"cname": "zstd", "clevel": LEVEL, "shuffle": "bitshuffle", "typesize": dtype.itemsize, "blocksize": 0}
    squeeze = (
        {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}}
        if labels
        else {"name": "blosc", "configuration": blosc}
    )
    sharding = {
        "chunk_shape": list(grid.chunk),
        "codecs": [little, squeeze, {"name": "crc32c"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(grid.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": list(axes),
        "storage_transformers": [],
    }


def v2_metadata(grid: Grid, dtype: np.dtype[Any], *, labels: bool) -> dict[str, Any]:
    """The .zarray of an unsharded array, whose every chunk is a file: Zarr v2."""
    blosc = {"id": "blosc", "cname": "zstd", "clevel": LEVEL, "shuffle": 2, "blocksize": 0}
    return {
        "zarr_format": 2,
        "shape": list(grid.shape),
        "chunks": list(grid.chunk),
        "dtype": dtype.newbyteorder("<").str,
        "compressor": {"id": "zstd", "level": LEVEL} if labels else blosc,
        "fill_value": False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def shard(grid: Grid, box: Box, pixels: Callable[[Box], NDArray[Any]], *, labels: bool) -> memoryview:
    """The file of one shard; `pixels` is asked for one chunk after the other, so no more is held decoded.

    A chunk of nothing but zeros takes no space but its place in the index.
    """
    corners = list(Box((0,) * len(grid.shape), grid.shard).tiles(grid.chunk))
    index = np.full((len(corners), 2), ABSENT, "<u8")
    out: NDArray[np.uint8] | None = None
    at = 0
    for row, corner in zip(index, corners, strict=True):
        start = tuple(a + c for a, c in zip(box.start, corner.start, strict=True))
        if any(a >= n for a, n in zip(start, box.stop, strict=True)):
            continue
        values = pixels(Box(start, tuple(a + c for a, c in zip(start, grid.chunk, strict=True))).clip(box))
        values = _filled(values, grid.chunk)
        if blank(values):
            continue
        most = _most(values.nbytes, labels=labels) + 4
        if out is None:  # what is not written to takes no memory
            out = np.empty(most * len(corners) + index.nbytes + 4, np.uint8)
        room = out.data[at : at + most]
        size = len(_encode(values, labels=labels, out=room[:-4]))
        room[size : size + 4] = _crc(room[:size])
        row[:] = at, size + 4
        at += size + 4
    table = index.tobytes()
    if out is None:
        out = np.empty(len(table) + 4, np.uint8)
    out.data[at : at + len(table) + 4] = table + _crc(table)
    return out.data[: at + len(table) + 4]


def intact(path: Path, grid: Grid, *, deep: bool = False) -> bool:
    """Whether the file of a shard holds a sound index, and is as long as that says: what was torn is not.

    `deep` holds every chunk against its checksum as well, one at a time; else none is read.
    """
    length = 16 * math.prod(s // c for s, c in zip(grid.shard, grid.chunk, strict=True)) + 4
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), length, max(0, size - length))
        if len(tail) != length or _crc(tail[:-4]) != tail[-4:]:
            return False
        index = np.frombuffer(tail[:-4], "<u8").reshape(-1, 2)
        there = [(int(at), int(n)) for at, n in index if at != ABSENT]
        if max((at + n for at, n in there), default=0) + length != size:
            return False
        coded = (os.pread(file.fileno(), n, at) for at, n in there) if deep else iter(())
        return all(_crc(data[:-4]) == data[-4:] for data in coded)


def blank(values: NDArray[Any]) -> bool:
    """Whether there is nothing but zeros, of which none is negative."""
    if values.size and values[(0,) * values.ndim]:  # so that most need not be looked at
        return False
    if values.flags.c_contiguous and values.nbytes % 8 == 0 and values.dtype.kind != "f":
        return not values.reshape(-1).view(np.uint64).any()  # eight bytes at a time
    return not (values.any() or (values.dtype.kind == "f" and np.signbit(values).any()))


def chunk(values: NDArray[Any], shape: tuple[int, ...], *, labels: bool) -> bytes:
    """One chunk, compressed; what the edge of the array cuts off is filled with zeros."""
    values = _filled(values, shape)
    room = memoryview(bytearray(_most(values.nbytes, labels=labels)))
    return bytes(room[: len(_encode(values, labels=labels, out=room))])


def _filled(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A whole chunk, in the order of bytes that is stored."""
    if values.shape != shape:
        full = np.zeros(shape, values.dtype)
        full[tuple(slice(0, n) for n in values.shape)] = values
        values = full
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def _most(size: int, *, labels: bool) -> int:
    """Bytes that a chunk takes at worst, as zstd and blosc say; given more room, blosc would pack it differently."""
    return size + (size >> 8) + 1024 if labels else size + 16


def _encode(plain: NDArray[Any], *, labels: bool, out: memoryview) -> Sized:
    import imagecodecs  # tens of megabytes, which reading does not need

    room: Any = out  # its annotations know neither arrays nor views, which it takes
    if labels:
        return imagecodecs.zstd_encode(cast("bytes", plain.data), level=LEVEL, out=room)
    # Given bytes instead of the array, it forgets the size of a pixel, and shuffles nothing.
    pixels, size = cast("bytes", plain), plain.itemsize
    return imagecodecs.blosc_encode(
        pixels, level=LEVEL, compressor="zstd", shuffle="bitshuffle", typesize=size, numthreads=1, out=room
    )


def _crc(data: bytes | memoryview) -> bytes:
    return struct.pack("<I", google_crc32c.value(bytes(data)))
