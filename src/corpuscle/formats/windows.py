"""Windows onto pixels that lie raw in a file: only they are read, and nothing of the file stays in memory."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import FormatError

RUN = 1 << 16
"""Runs of at least this many bytes are read into their place; shorter ones are copied out of a map."""
MAPPED = 16 << 20
PAGE = mmap.ALLOCATIONGRANULARITY


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels that lie in one piece from byte `start` of a file; what is sliced out of them is read there and then.

    `lies` is their shape in the file, in C order, and `stored` their type. Where `order` is given, axis i of what
    is sliced is axis ``order[i]`` of the file.

    ::

        x ->  ....[##]....   a block is cut out of many rows: these are mapped for as long as it takes to copy it,
              ....[##]....   as maps of all that a large volume consists of would count as memory in use
    """

    path: str
    lies: tuple[int, ...]
    stored: str
    start: int = 0
    order: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return tuple(self.lies[i] for i in self.order) if self.order else self.lies

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a pixel, as the file has it."""
        return np.dtype(self.stored)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = (*keys[:at], *(slice(None),) * (len(self.lies) - len(keys) + 1), *keys[at + 1 :])
        keys = (*keys, *(slice(None),) * (len(self.lies) - len(keys)))
        spans: list[tuple[int, int]] = []
        rest: list[Any] = []
        for k, n in zip(keys, self.shape, strict=True):
            if isinstance(k, slice) and (k.step is None or k.step > 0):
                a, b, step = k.indices(n)
                spans.append((a, max(a, b)))
                rest.append(slice(None, None, step))
            elif isinstance(k, slice):
                spans.append((0, n))
                rest.append(k)
            else:
                at = range(n)[k]
                spans.append((at, at + 1))
                rest.append(0)
        if not self.order:
            out = self._read(spans)
        else:
            back = np.argsort(self.order)
            out = self._read([spans[i] for i in back]).transpose(self.order)
        return np.asarray(out[tuple(rest)])

    def _read(self, spans: list[tuple[int, int]]) -> NDArray[Any]:
        out = np.empty([b - a for a, b in spans], self.stored)
        if not out.size:
            return out
        try:
            with open(self.path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size < self.start + math.prod(self.lies) * out.itemsize:
                    raise EOFError("it is shorter than it was")
                self._fill(file.fileno(), spans, out)
        except (OSError, ValueError, EOFError) as e:
            raise FormatError(
                f"has changed since it was opened: {e}",
                where=self.path,
                fix="leave the file alone while it is read, and run again",
                rule="file-changed",
            ) from e
        return out

    def _fill(self, fd: int, spans: list[tuple[int, int]], out: NDArray[Any]) -> None:
        n, size = len(self.lies), out.itemsize
        strides = [math.prod(self.lies[i + 1 :]) * size for i in range(n)]
        # Axes after `cut` are read whole, so along `cut` the window is one run.
        cut = max((i for i in range(n) if spans[i] != (0, self.lies[i])), default=0)
        run = (spans[cut][1] - spans[cut][0]) * strides[cut]
        if run >= RUN or cut == 0:
            for place in product(*(range(a, b) for a, b in spans[:cut])):
                at = (
                    self.start + sum(p * s for p, s in zip(place, strides, strict=False)) + spans[cut][0] * strides[cut]
                )
                _into(fd, out[tuple(p - a for p, (a, _) in zip(place, spans, strict=False))], at)
            return
        # Rows of many planes are mapped at a time: few maps, and little of the file in memory.
        spans = [(0, 1), *spans] if cut == 1 else spans
        strides = [0, *strides] if cut == 1 else strides
        out = out.reshape([b - a for a, b in spans])
        top = max(cut, 2) - 2
        (p0, p1), (r0, r1), (c0, c1) = spans[top : top + 3]
        plane, row, column = strides[top : top + 3]
        rows = max(1, min(r1 - r0, MAPPED // row))
        planes = max(1, MAPPED // (rows * row))
        shape, rest = out.shape[top + 2 :], strides[top + 2 :]
        for place in product(*(range(a, b) for a, b in spans[:top])):
            at = self.start + sum(p * s for p, s in zip(place, strides, strict=False)) + c0 * column
            into = out[tuple(p - a for p, (a, _) in zip(place, spans, strict=False))]
            for p, r in product(range(p0, p1, planes), range(r0, r1, rows)):
                many, high = min(planes, p1 - p), min(rows, r1 - r)
                size = (many - 1) * plane + (high - 1) * row + (c1 - c0) * column
                with _Map(fd, at + p * plane + r * row, size) as (held, skip):
                    seen = np.ndarray((many, high, *shape), self.stored, held, skip, (plane, row, *rest))
                    into[p - p0 : p - p0 + many, r - r0 : r - r0 + high] = seen
                    del seen


class _Map:
    """Bytes of a file, mapped while they are copied."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._skip = start % PAGE
        self._map = mmap.mmap(fd, size + self._skip, access=mmap.ACCESS_READ, offset=start - self._skip)

    def __enter__(self) -> tuple[mmap.mmap, int]:
        return self._map, self._skip

    def __exit__(self, *_: object) -> None:
        self._map.close()


def _into(fd: int, out: NDArray[Any], start: int) -> None:
    room = out.reshape(-1).view(np.uint8).data
    while len(room):
        got = os.preadv(fd, [room], start)
        if not got:
            raise EOFError("it ends within the pixels")
        room, start = room[got:], start + got
