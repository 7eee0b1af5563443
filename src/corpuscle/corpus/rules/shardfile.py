"""The bytes of an array on disk: every shard there and whole, every chunk and index as its checksum says."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

from corpuscle.core import Box
from corpuscle.formats.shards import ABSENT, Grid
from corpuscle.formats.zarrays import ZarrArray

PATIENCE = 1000
"""After so many bad shards of one array, the rest is not looked at."""


def guarded(meta: Mapping[str, Any]) -> bool:
    """Whether an array's metadata says it is sharded as corpuscle does it, with a checksum on chunks and index."""
    match meta:
        case {
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "codecs": [*_, {"name": "crc32c"}],
                        "index_codecs": [{"name": "bytes"}, {"name": "crc32c"}],
                        "index_location": "end",
                    },
                }
            ],
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        }:
            return True
    return False


def damaged(array: ZarrArray) -> Iterator[tuple[str, Path, str]]:
    """Rule, file and reason of every bad shard of a guarded array; no more than one chunk is held at once."""
    grid = Grid(array.shape, array.chunk, array.shard)
    n = math.prod(s // c for s, c in zip(array.shard, array.chunk, strict=True))
    nbytes = math.prod(array.chunk) * array.dtype.itemsize
    bad = 0
    for box in Box.of(grid.shape).tiles(grid.shard):
        path = Path(array.path) / grid.key(box)
        try:
            with path.open("rb") as file:
                found = _shard(file, n, nbytes)
        except FileNotFoundError:
            found = "shard-missing", "a shard is missing, and would be read as zeros"
        except OSError as e:
            found = "shard-missing", f"cannot be read: {e.strerror or e}"
        if found:
            yield found[0], path, found[1]
            bad += 1
            if bad == PATIENCE:
                return


def keys(array: ZarrArray, name: str) -> bool:
    """Whether a path beneath an array, such as ``c/0/1``, is that of one of its shards."""
    parts = name.split("/")
    counts = [-(-n // s) for n, s in zip(array.shape, array.shard, strict=True)]
    if parts[0] != "c" or len(parts) != 1 + len(counts):
        return False
    return all(p.isdecimal() and str(int(p)) == p and int(p) < n for p, n in zip(parts[1:], counts, strict=True))


def _shard(file: BinaryIO, n: int, nbytes: int) -> tuple[str, str] | None:
    size, tail = os.fstat(file.fileno()).st_size, 16 * n + 4
    if size < tail:
        return "shard-torn", f"{size} bytes cannot hold the index of {n} chunks"
    file.seek(size - tail)
    raw = file.read(tail)
    index = np.frombuffer(raw[:-4], "<u8")
    if google_crc32c.value(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
        # A flipped byte leaves all but one number of the index as it must be; of a torn file, other bytes are read.
        if _strange(index, size - tail) <= min(n, 2):
            return "chunk-checksum", "the index does not fit its checksum"
        return "shard-torn", "there is no index at its end: it was cut off"
    taken, bad = 0, []
    for i, (at, long) in enumerate(index.reshape(-1, 2).tolist()):
        if at == ABSENT and long == ABSENT:
            continue
        if long < 4 or at + long > size - tail:
            return "shard-torn", f"chunk {i} would lie at {at} to {at + long} of {size - tail} bytes"
        taken += long
        file.seek(at)
        coded = file.read(long)
        if google_crc32c.value(coded[:-4]) != struct.unpack("<I", coded[-4:])[0]:
            bad.append(i)
    if bad:
        return "chunk-checksum", f"chunk{'s' * (len(bad) > 1)} {str(bad)[1:-1][:80]} of {n} fail the checksum"
    if taken != size - tail:
        return "shard-torn", f"{size - tail - taken} bytes belong to no chunk"
    return None


def _strange(index: np.ndarray[Any, np.dtype[np.uint64]], end: int) -> int:
    """How many numbers of an index are not what the others make them, chunks lying one after the other."""
    at, strange = 0, 0
    pairs = index.reshape(-1, 2).tolist()
    for i, (start, long) in enumerate(pairs):
        if ABSENT in (start, long):
            strange += start != long
            continue
        later = next((s for s, n in pairs[i + 1 :] if ABSENT not in (s, n)), end)
        strange += start != at
        strange += at + long != later
        at = later if at + long != later else at + long
    return strange
