"""The bytes of a Zarr array: its metadata document and its shards, assembled in memory, one file each.

A shard is a row of encoded chunks and, at its end, where each of them lies; the chunks and that index carry
a CRC-32C each, so no byte of it can change unseen. Assembling it here is what makes writing cheap: an engine's
own way of creating an array and committing one shard costs more than compressing a whole 512 x 512 image.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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


def shard(grid: Grid, box: Box, pixels: Callable[[Box], NDArray[Any]], *, labels: bool) -> bytes:
    """The file of one shard; `pixels` is asked for one chunk after the other, so no more is held decoded.

    A chunk of nothing but zeros takes no space but its place in the index.
    """
    parts: list[bytes] = []
    index: list[int] = []
    at = 0
    for corner in Box((0,) * len(grid.shape), grid.shard).tiles(grid.chunk):
        start = tuple(a + c for a, c in zip(box.start, corner.start, strict=True))
        if any(a >= n for a, n in zip(start, box.stop, strict=True)):
            index += [ABSENT, ABSENT]
            continue
        inner = Box(start, tuple(a + c for a, c in zip(start, grid.chunk, strict=True))).clip(box)
        values = pixels(inner)
        if not (values.any() or (values.dtype.kind == "f" and np.signbit(values).any())):
            index += [ABSENT, ABSENT]
            continue
        coded = chunk(values, grid.chunk, labels=labels)
        parts += [coded, _crc(coded)]
        index += [at, len(coded) + 4]
        at += len(coded) + 4
    table = struct.pack(f"<{len(index)}Q", *index)
    return b"".join([*parts, table, _crc(table)])


def chunk(values: NDArray[Any], shape: tuple[int, ...], *, labels: bool) -> bytes:
    """One chunk, compressed; what the edge of the array cuts off is filled with zeros."""
    if values.shape != shape:
        full = np.zeros(shape, values.dtype)
        full[tuple(slice(0, n) for n in values.shape)] = values
        values = full
    import imagecodecs  # tens of megabytes, which reading does not need

    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    if labels:
        return bytes(imagecodecs.zstd_encode(plain.tobytes(), level=LEVEL))
    # Given bytes instead of the array, imagecodecs forgets the size of a pixel, and shuffles nothing.
    squeezed = imagecodecs.blosc_encode(
        plain,  # type: ignore[arg-type]
        level=LEVEL,
        compressor="zstd",
        shuffle="bitshuffle",
        typesize=plain.itemsize,
        numthreads=1,
    )
    return bytes(squeezed)


def _crc(data: bytes) -> bytes:
    return struct.pack("<I", google_crc32c.value(data))
