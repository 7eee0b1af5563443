"""Which objects of a label image lie in more than one piece, of an image of any size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from corpuscle.core import Box, Image

TILE = {1: 1 << 20, 2: 1024, 3: 128}


def cut(image: Image, *, tile: int | None = None) -> list[int]:
    """The labels that lie in more than one piece, pixels touching at corners too; each t, c or other index by itself.

    Reads one tile after the other, and keeps the edges of those whose neighbours are still to come.

    >>> from corpuscle.core import Space
    >>> cut(Image(np.array([[1, 0, 1], [2, 0, 0], [0, 2, 0]]), Space("yx"), labels_of="raw"))
    [1]
    """
    spatial = image.space.spatial
    side = tile or TILE.get(len(spatial), 64)
    shape = tuple(image.shape[i] for i in spatial)
    others = [range(1) if i in spatial else range(n) for i, n in enumerate(image.shape)]
    found: set[int] = set()
    for corner in product(*others):
        found |= _Plane(image, corner, spatial, shape, side).cut()
    return sorted(found)


class _Plane:
    """The pieces of one plane or volume, joined tile by tile."""

    def __init__(
        self, image: Image, corner: tuple[int, ...], spatial: tuple[int, ...], shape: tuple[int, ...], side: int
    ) -> None:
        self.image, self.corner, self.spatial, self.shape, self.side = image, corner, spatial, shape, side
        self.parent: list[int] = []
        self.value: list[int] = []

    def cut(self) -> set[int]:
        """The labels in more than one piece."""
        faces: dict[tuple[int, ...], list[tuple[Box, NDArray[np.int64]]]] = {}
        ahead = [o for o in product((-1, 0), repeat=len(self.shape)) if any(o)]
        for box in Box.of(self.shape).tiles((self.side,) * len(self.shape)):
            at = tuple(a // self.side for a in box.start)
            wide = Box(tuple(max(0, a - 1) for a in box.start), box.stop)
            pixels = self._read(wide)
            pieces = self._number(pixels)
            for offset in ahead:
                for face, ids in faces.get(tuple(a + o for a, o in zip(at, offset, strict=True)), ()):
                    both = face.clip(wide)
                    if both.size:
                        self._join(pieces[both.inside(wide).slices], ids[both.inside(face).slices])
            if any(b < n for b, n in zip(box.stop, self.shape, strict=True)):
                faces[at] = list(self._faces(box, wide, pieces))
            for gone in [k for k in faces if k[0] < at[0] - 1]:
                del faces[gone]
        roots: dict[int, int] = {}
        cut = set()
        for i, v in enumerate(self.value):
            if roots.setdefault(v, self._root(i)) != self._root(i):
                cut.add(v)
        return cut

    def _read(self, box: Box) -> NDArray[Any]:
        start, stop = list(self.corner), [a + 1 for a in self.corner]
        for i, a, b in zip(self.spatial, box.start, box.stop, strict=True):
            start[i], stop[i] = a, b
        return self.image.read(Box(tuple(start), tuple(stop))).reshape(box.shape)

    def _number(self, pixels: NDArray[Any]) -> NDArray[np.int64]:
        """A number for each piece that no other piece of the plane has; -1 for background."""
        plain = pixels.view(np.int64) if pixels.dtype == np.uint64 else pixels.astype(np.int64, copy=False)
        found: Any = label(plain, background=0, connectivity=pixels.ndim)  # type: ignore[no-untyped-call]
        local = np.asarray(found, np.int64)
        n = int(local.max(initial=0))
        values = np.zeros(n + 1, pixels.dtype)
        values[local] = pixels
        first = len(self.value)
        self.value += values[1:].tolist()
        self.parent += range(first, first + n)
        return np.where(local > 0, local + (first - 1), -1)

    def _faces(self, box: Box, wide: Box, pieces: NDArray[np.int64]) -> Iterator[tuple[Box, NDArray[np.int64]]]:
        for axis, (b, n) in enumerate(zip(box.stop, self.shape, strict=True)):
            if b < n:
                start = tuple(b - 1 if i == axis else a for i, a in enumerate(box.start))
                face = Box(start, box.stop)
                yield face, pieces[face.inside(wide).slices].copy()

    def _join(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        there = a >= 0
        for i, j in np.unique(np.stack([a[there], b[there]], 1), axis=0).tolist():
            i, j = self._root(i), self._root(j)
            self.parent[max(i, j)] = min(i, j)

    def _root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i
