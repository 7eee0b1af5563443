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

from corpuscle.formats.shards import ABSENT
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
    counts = tuple(-(-n // s) for n, s in zip(array.shape, array.shard, strict=True))
    n = math.prod(s // c for s, c in zip(array.shard, array.chunk, strict=True))
    nbytes = math.prod(array.chunk) * array.dtype.itemsize
    bad = 0
    for place in _places(counts):
        path = Path(array.path, "c", *map(str, place))
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
        if _flipped(index.reshape(-1, 2).tolist(), raw[-4:], size - tail):
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


def _flipped(pairs: list[list[int]], crc: bytes, end: int) -> bool:
    """Whether one number mended makes an index good again; of a torn file other bytes are taken for it, and none does.

    Chunks lie one after the other, so each number follows from those beside it.
    """
    there = [p for p in pairs if p != [ABSENT, ABSENT]]
    ends = [0, *(a + n for a, n in there)]
    if ends[-1] == end and all(p[0] == e for p, e in zip(there, ends, strict=False)):
        return True
    at = strange = 0
    for i, (start, long) in enumerate(pairs):
        later = next((a for a, _ in pairs[i + 1 :] if a != ABSENT), end)
        if [start, long] == [ABSENT, ABSENT]:
            continue
        if start == at and start + long == later:
            at = later
            continue
        strange += 1
        if strange > 3:
            return False
        for mended in ([at, long], [start, later - start], [at, later - at], [ABSENT, ABSENT]):
            if sum(a != b for a, b in zip(mended, (start, long), strict=True)) == 1 and mended[1] >= 0:
                whole = [x % 2**64 for p in (*pairs[:i], mended, *pairs[i + 1 :]) for x in p]
                if struct.pack("<I", google_crc32c.value(struct.pack(f"<{len(whole)}Q", *whole))) == crc:
                    return True
        at = start + long if ABSENT not in (start, long) else at
    return False


def _places(counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every place of a grid, without listing any axis of it."""
    if not counts:
        yield ()
        return
    for i in range(counts[0]):
        for rest in _places(counts[1:]):
            yield (i, *rest)
