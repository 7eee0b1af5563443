"""Arrays that are read plane by plane when somebody asks, here or in another process."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.image import ArrayLike
from corpuscle.errors import FormatError

CACHED = 64 << 20
"""Planes of up to this many bytes are remembered, two of them."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """Planes in a file, or in several, as one array.

    Parameters
    ----------
    shape, dtype
        Of the whole.
    load
        A module-level function, or a `functools.partial` of one with hashable arguments: the number
        of a plane in, its pixels out, as an array or anything that can be sliced like one.
    lead
        How many of the first axes number the planes, in C order; the others lie within a plane.
    paths
        The file behind each plane, or one file behind all: where it has changed, nothing
        remembered of it is used.
    windowed
        What `load` answers is read only where it is sliced, and reads no more than that: it is never remembered.

    It holds no file open and pickles as what it was built from.

    >>> np.asarray(Lazy((3, 2), np.dtype("i8"), np.zeros((3, 2), "i8").__getitem__, lead=1)[1:, 0]).shape
    (2,)
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[int], ArrayLike]
    lead: int = 0
    paths: tuple[str, ...] = ()
    windowed: bool = False

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = _spelled(key, len(self.shape))
        lead, inner = keys[: self.lead], keys[self.lead :]
        if any(isinstance(k, int) and not -n <= k < n for k, n in zip(keys, self.shape, strict=True)):
            raise IndexError(f"{key} is outside shape {self.shape}")
        grid = np.arange(math.prod(self.shape[: self.lead])).reshape(self.shape[: self.lead])
        wanted = np.asarray(grid[lead])
        if wanted.ndim == 0:
            return np.asarray(self._plane(int(wanted))[inner], self.dtype)
        shape = tuple(len(range(*k.indices(n))) for k, n in zip(inner, self.shape[self.lead :], strict=True)
                      if isinstance(k, slice))  # fmt: skip
        out = np.empty((wanted.size, *shape), self.dtype)
        for i, plane in enumerate(wanted.flat):
            out[i] = self._plane(int(plane))[inner]
        return out.reshape(wanted.shape + shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[...], dtype=dtype, copy=copy)

    def _plane(self, index: int) -> Any:
        plane = self.shape[self.lead :]
        path = self.paths[min(index, len(self.paths) - 1)] if self.paths else ""
        if self.windowed or not path or math.prod(plane) * self.dtype.itemsize > CACHED:
            return _checked(self.load(index), plane, self.dtype, path)
        try:
            stat = os.stat(path)
        except OSError as e:
            raise FormatError(
                f"cannot be read: {e.strerror}", where=path, fix="check the name and its rights", rule="file-unreadable"
            ) from e
        func, args, named = _parts(self.load)
        return _remembered(func, args, named, index, plane, self.dtype, path, (stat.st_size, stat.st_mtime_ns))


def _spelled(key: Any, ndim: int) -> tuple[Any, ...]:
    """One slice or int per axis."""
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = (*keys[:at], *(slice(None),) * (ndim - len(keys) + 1), *keys[at + 1 :])
    keys = (*keys, *(slice(None),) * (ndim - len(keys)))
    keys = tuple(int(k) if isinstance(k, int | np.integer) else k for k in keys)
    if len(keys) != ndim or not all(isinstance(k, int | slice) for k in keys):
        raise IndexError(f"a lazy array of {ndim} axes takes that many slices or integers, not {key!r}")
    return keys


def _parts(load: Any) -> tuple[Callable[..., Any], tuple[Any, ...], tuple[tuple[str, Any], ...]]:
    if hasattr(load, "func"):
        return load.func, load.args, tuple(sorted(load.keywords.items()))
    return load, (), ()


# Two planes: the one being cut into blocks, and one more for an op that reads two layers.
@lru_cache(maxsize=2)
def _remembered(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: tuple[tuple[str, Any], ...],
    index: int,
    plane: tuple[int, ...],
    dtype: np.dtype[Any],
    path: str,
    stamp: tuple[int, int],
) -> Any:
    array = func(*args, index, **dict(keywords))
    # A memory map, or a page that decodes on demand, is read out here: what is remembered holds no file open.
    loose = isinstance(array, np.memmap) or not isinstance(array, np.ndarray)
    pixels: NDArray[Any] = _checked(np.array(array[...]) if loose else array, plane, dtype, path)
    pixels.flags.writeable = False
    return pixels


def _checked(array: Any, plane: tuple[int, ...], dtype: np.dtype[Any], path: str) -> Any:
    if tuple(array.shape) != plane:
        raise FormatError(
            f"has changed since it was opened: a plane of shape {plane} is now {tuple(array.shape)}",
            where=path,
            fix="leave the file alone while it is read, and run again",
            rule="file-changed",
        )
    return array.astype(dtype, copy=False) if isinstance(array, np.ndarray) and array.dtype != dtype else array
