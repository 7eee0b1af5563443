"""Work in progress on disk: arrays packed fast rather than small, and files of several named parts."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import StoreError
from corpuscle.store.atomic import write_bytes

_HEAD = struct.Struct("<I")


def pack(array: NDArray[Any]) -> bytes:
    """An array as LZ4: shape and type in front.

    >>> unpack(pack(np.arange(3)))
    array([0, 1, 2])
    """
    import imagecodecs  # where it is used: reading a corpus needs none of it

    array = np.ascontiguousarray(array)
    head = json.dumps([array.dtype.str, array.shape]).encode()
    raw: Any = array.reshape(-1).view(np.uint8)
    return _HEAD.pack(len(head)) + head + (bytes(imagecodecs.lz4_encode(raw, header=True)) if array.size else b"")


def unpack(data: bytes) -> NDArray[Any]:
    """What `pack` packed; the array may be written to."""
    import imagecodecs

    (n,) = _HEAD.unpack_from(data)
    dtype, shape = json.loads(data[_HEAD.size : _HEAD.size + n])
    out = np.empty(shape, dtype)
    packed: Any = memoryview(data)[_HEAD.size + n :]
    into: Any = out.reshape(-1).view(np.uint8)
    if out.size:
        imagecodecs.lz4_decode(packed, header=True, out=into)
    return out


def write_parts(path: Path, parts: Mapping[str, bytes]) -> None:
    """A file of named parts, old or new."""
    index, at = {}, 0
    for name, data in parts.items():
        index[name] = (at, len(data))
        at += len(data)
    head = json.dumps(index).encode()
    data = b"".join([_HEAD.pack(len(head)), head, *parts.values()])
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def read_part(path: Path, name: str) -> bytes:
    """One part of such a file; nothing where it has no part of this name."""
    try:
        with path.open("rb") as f:
            (n,) = _HEAD.unpack(f.read(_HEAD.size))
            at = json.loads(f.read(n)).get(name)
            if at is None:
                return b""
            f.seek(at[0], os.SEEK_CUR)
            data = f.read(at[1])
    except (OSError, ValueError, struct.error) as e:
        raise StoreError(
            f"work in progress cannot be read back: {e}", where=path, fix="run it again", rule="spool-torn"
        ) from e
    if len(data) != at[1]:
        raise StoreError("work in progress is torn", where=path, fix="run it again", rule="spool-torn")
    return data
