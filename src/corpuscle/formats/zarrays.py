"""Zarr arrays, versions 2 and 3, opened where they are read: lazy, and light enough to send to a worker."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.box import Box
from corpuscle.errors import FormatError, PlanError, StoreError
from corpuscle.formats import storage, vetted
from corpuscle.formats.place import Place, Url
from corpuscle.formats.storage import cache, keep

__all__ = ["CHUNK_LIMIT", "ZarrArray", "cache", "keep", "open_array"]

CHUNK_LIMIT = 1 << 30
_TYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array in a folder, or behind a URL, read by tensorstore, or by zarr-python where that lacks the codec.

    Holds no open file: a worker that is sent one opens it for itself, once. Decoded chunks are kept up to 16 MB
    per process (see `cache`), and looked up again on disk before they are used, so what another process has written
    is seen. Behind a URL what was read is held to be so for five minutes at most.

    Reading raises a StoreError where the bytes are torn or fail their checksum, or a server does not give them, and a
    PlanError where the region is larger than the memory of the machine.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.shape)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        where, drop = _region(key, self.shape)
        nbytes = math.prod(len(range(s.start, s.stop, s.step)) for s in where) * self.dtype.itemsize
        if nbytes > _memory():
            raise PlanError(
                f"{nbytes / 2**30:.1f} GB are asked for at once, more than this machine has",
                where=self.path,
                fix="read it by boxes",
                rule="zarr-large",
            )
        out = _read(self.path, where, nbytes)
        if out.dtype != self.dtype or out.ndim != len(where):
            raise StoreError(
                f"holds {out.dtype}, not {self.dtype} any more",
                where=self.path,
                fix="leave the array alone while it is read",
                rule="zarr-changed",
            )
        return out.reshape([n for i, n in enumerate(out.shape) if i not in drop])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def __repr__(self) -> str:
        return f"<zarr: {' x '.join(map(str, self.shape))} {self.dtype} at {self.path}>"


def open_array(folder: Place) -> ZarrArray:
    """The array in `folder`, of whichever Zarr version; nothing but its metadata is read.

    Raises a FormatError where there is none, or its metadata cannot be meant.
    """
    name, document = vetted.first(folder, ("zarr.json", ".zarray")) or ("", None)
    if name == "zarr.json":
        meta = vetted.mapping(document, "its metadata", folder)
        if meta.get("zarr_format") != 3 or meta.get("node_type") != "array":
            _bad("is no Zarr array", folder, "zarr-metadata")
        grid = vetted.mapping(meta.get("chunk_grid"), "chunk_grid", folder)
        shape = vetted.sizes(meta.get("shape"), "shape", folder, least=0)
        shard = _chunk_shape(grid.get("configuration"), folder)
        chunk, names, kind = (
            _inner(meta.get("codecs"), shard, folder),
            meta.get("dimension_names"),
            meta.get("data_type"),
        )
        if names is not None and not (isinstance(names, list) and len(names) == len(shape)):
            _bad(f"dimension_names {str(names)[:80]} for {len(shape)} axes", folder, "zarr-metadata")
        named = tuple(names) if names and all(isinstance(n, str) for n in names) else None
    elif name == ".zarray":
        meta = vetted.mapping(document, "its metadata", folder)
        if meta.get("zarr_format") != 2:
            _bad("is no Zarr array", folder, "zarr-metadata")
        shape = vetted.sizes(meta.get("shape"), "shape", folder, least=0)
        shard = chunk = vetted.sizes(meta.get("chunks"), "chunks", folder)
        named, kind = None, meta.get("dtype")
    else:
        _bad("there is no Zarr array here", folder, "zarr-missing")
    dtype = _dtype(kind, folder)
    if not len(shape) == len(shard) == len(chunk) or math.prod(shape) * dtype.itemsize >= 2**60:
        _bad(f"shape {shape} in chunks of {chunk}", folder, "zarr-metadata")
    if math.prod(chunk) * dtype.itemsize > CHUNK_LIMIT:
        _bad(
            f"one chunk of {chunk} {dtype} would be {math.prod(chunk) * dtype.itemsize >> 20} MB", folder, "zarr-chunk"
        )
    return ZarrArray(folder if isinstance(folder, Url) else str(folder), shape, dtype, chunk, shard, named)


def _region(key: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], set[int]]:
    """One slice with a start, a stop and a positive step per axis, and which axes a single index takes away."""
    if isinstance(key, Box):
        key = key.slices
    keys = list(key) if isinstance(key, tuple) else [key]
    gap = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    tail = keys[gap + 1 :]
    keys = [*keys[:gap], *[slice(None)] * (len(shape) - len(keys[:gap]) - len(tail)), *tail]
    if len(keys) != len(shape):
        raise IndexError(f"{len(keys)} indices for {len(shape)} axes")
    out, drop = [], set()
    for i, (k, n) in enumerate(zip(keys, shape, strict=True)):
        if isinstance(k, slice):
            start, stop, step = k.indices(n)
            if step < 1:
                raise IndexError(f"axis {i} is read forwards only, not in steps of {step}")
            out.append(slice(start, max(start, stop), step))
        else:
            at = int(k)
            if not -n <= at < n:
                raise IndexError(f"index {at} on axis {i} of {n}")
            out.append(slice(at % n, at % n + 1, 1))
            drop.add(i)
    return tuple(out), drop


def _read(path: str, where: tuple[slice, ...], nbytes: int) -> NDArray[Any]:
    handle = storage.opened(path)
    try:
        part = handle[where]
        if not isinstance(part, np.ndarray):
            part = storage.wait(part.read(), path, nbytes=nbytes)
        return np.ascontiguousarray(part)
    except StoreError:
        raise
    except (ValueError, OSError, RuntimeError, KeyError) as e:
        raise (storage.unreachable(e, path) if isinstance(path, Url) else None) or StoreError(
            f"its bytes cannot be read back: {storage.short(e)}",
            where=path,
            fix="it is torn or was changed; write it again",
            rule="zarr-corrupt",
        ) from e


@lru_cache(maxsize=1)
def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _dtype(kind: object, folder: Place) -> np.dtype[Any]:
    try:
        dtype = np.dtype(kind).newbyteorder("=") if isinstance(kind, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in _TYPES:
        _bad(f"pixels of type {str(kind)[:80]!r}", folder, "zarr-dtype")
    return dtype


def _inner(codecs: object, shard: tuple[int, ...], folder: Place) -> tuple[int, ...]:
    for codec in vetted.items(codecs, "codecs", folder):
        if isinstance(codec, dict) and codec.get("name") == "sharding_indexed":
            return _chunk_shape(codec.get("configuration"), folder)
    return shard


def _chunk_shape(configuration: object, folder: Place) -> tuple[int, ...]:
    found = vetted.mapping(configuration, "configuration", folder).get("chunk_shape")
    return vetted.sizes(found, "chunk_shape", folder)


def _bad(message: str, folder: Place, rule: str) -> NoReturn:
    raise FormatError(message, where=folder, fix="mend the metadata, or write the image again", rule=rule)
