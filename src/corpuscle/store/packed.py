"""Work in progress on disk: arrays packed fast rather than small, and files of several named parts."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from corpuscle.core.disk import store_error
from corpuscle.errors import StoreError
from corpuscle.store.atomic import write_bytes

TORN = "spool-torn"
_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<II")


def pack(array: NDArray[Any]) -> bytes:
    """An array as LZ4: shape and type in front.

    >>> unpack(pack(np.arange(3)))
    array([0, 1, 2])
    """
    import imagecodecs  # where it is used: reading a corpus needs none of it

    array = np.ascontiguousarray(array)
    head = json.dumps([array.dtype.str, array.shape]).encode()
    raw: Any = array.reshape(-1).view(np.uint8)
    return _SIZE.pack(len(head)) + head + (bytes(imagecodecs.lz4_encode(raw, header=True)) if array.size else b"")


def unpack(data: bytes) -> NDArray[Any]:
    """What `pack` packed; the array may be written to."""
    import imagecodecs

    (n,) = _SIZE.unpack_from(data)
    dtype, shape = json.loads(data[_SIZE.size : _SIZE.size + n])
    out = np.empty(shape, dtype)
    packed: Any = memoryview(data)[_SIZE.size + n :]
    into: Any = out.reshape(-1).view(np.uint8)
    if out.size:
        imagecodecs.lz4_decode(packed, header=True, out=into)
    return out


def write_parts(path: Path, parts: Mapping[str, bytes]) -> None:
    """A file of named parts, old or new; the index in front and each part carry a CRC-32C."""
    index, at = {}, 0
    for name, data in parts.items():
        index[name] = (at, len(data), google_crc32c.value(data))
        at += len(data)
    head = json.dumps(index).encode()
    begin = _HEAD.pack(len(head), google_crc32c.value(head))
    if not path.parent.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise store_error(e, path, needed=at) from e
    write_bytes(path, b"".join([begin, head, *parts.values()]))


def sound(path: Path) -> bool:
    """Whether such a file is there, and every part of it as it was written."""
    try:
        with path.open("rb") as f:
            size, _ = _HEAD.unpack(f.read(_HEAD.size))
            names = json.loads(f.read(size))
        return all(read_part(path, name) is not None for name in names)
    except (OSError, ValueError, struct.error):
        return False


def read_part(path: Path, name: str) -> bytes:
    """One part of such a file; nothing where it has no part of this name.

    Raises a StoreError, `spool-torn`, where the file is gone, torn or not as it was written.
    """
    try:
        with path.open("rb") as f:
            size, sum_ = _HEAD.unpack(f.read(_HEAD.size))
            if size > os.fstat(f.fileno()).st_size or google_crc32c.value(head := f.read(size)) != sum_:
                raise ValueError("its index is not as it was written")
            at = json.loads(head).get(name)
            if at is None:
                return b""
            f.seek(at[0], os.SEEK_CUR)
            data = f.read(at[1])
            if google_crc32c.value(data) != at[2]:
                raise ValueError("it is torn, or not as it was written")
    except (OSError, ValueError, struct.error) as e:
        raise StoreError(
            f"work in progress cannot be read back: {e}",
            where=path,
            fix="run it again: its block is made anew",
            rule=TORN,
        ) from e
    return data
