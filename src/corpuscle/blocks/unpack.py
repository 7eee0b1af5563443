"""Sources that are read block by block: as they are, or by way of a file, so that each plane is decoded once."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Cut, Image
from corpuscle.core.disk import store_error
from corpuscle.core.image import ArrayLike
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.windows import Window
from corpuscle.formats.zarrays import ZarrArray

BAND = 128 << 20


@dataclass(frozen=True, slots=True)
class Direct:
    """A source of which any block is read without reading much else."""

    array: ArrayLike

    def blocks(self, cut: Cut) -> Sequence[Box]:
        """All of them."""
        return cut

    def read(self, box: Box) -> NDArray[Any]:
        """The pixels of a block."""
        return np.asarray(self.array[box.slices])


@dataclass(frozen=True, slots=True)
class Slab:
    """As many planes of a source as its blocks are thick, decoded side by side into one file.

    ::

        plane 0 ------------------     |  block  |  block  |  block  |
        plane 1 ------------------     |         |         |         |     each block is cut out of the planes
        plane 2 ------------------     |         |         |         |     of its slab, which lie raw in `file`
    """

    array: Lazy
    box: Box
    file: str = ""

    @property
    def lead(self) -> tuple[int, ...]:
        """How many planes there are along each of the axes that number them."""
        return self.box.shape[: self.array.lead]

    @property
    def plane(self) -> tuple[int, ...]:
        """Shape of a plane."""
        return self.array.shape[self.array.lead :]

    @property
    def planes(self) -> Sequence[int]:
        """The numbers of the planes, within the slab."""
        return range(math.prod(self.lead))

    @property
    def nbytes(self) -> int:
        """Length of the file."""
        return math.prod((*self.lead, *self.plane)) * self.array.dtype.itemsize

    def at(self, file: Path) -> Slab:
        """The slab with the file that it is to lie in."""
        return replace(self, file=str(file))

    def make_room(self) -> None:
        """The file, with nothing in it yet."""
        try:
            with open(self.file, "wb") as file:
                file.truncate(self.nbytes)
        except OSError as e:
            raise store_error(e, Path(self.file), needed=self.nbytes) from e

    def blocks(self, cut: Cut) -> Sequence[Box]:
        """The blocks that are cut out of this slab."""
        return [cut[i] for i in cut.touching(self.box)]

    def read(self, box: Box) -> NDArray[Any]:
        """The pixels of a block, out of the file."""
        window = Window(self.file, (*self.lead, *self.plane), self.array.dtype.str)
        n = self.array.lead
        return window[(*(slice(None),) * n, *box.slices[n:])]


def slabs(image: Image, cut: Cut) -> list[Direct | Slab]:
    """The parts of a source, one after the other: slabs where planes must be decoded whole and are cut in blocks."""
    array = image.array
    if not isinstance(array, Lazy) or array.windowed or cut.grid[array.lead :] == (1,) * (len(cut.grid) - array.lead):
        return [Direct(array)]
    over = Cut(
        (*array.shape[: array.lead], *array.shape[array.lead :]), (*cut.tile[: array.lead], *array.shape[array.lead :])
    )
    return [Slab(array, box) for box in over]


def unpack(slab: Slab, plane: int) -> int:
    """Decode one plane of a slab into its place in the file; how many bytes that was."""
    array, size = slab.array, math.prod(slab.plane) * slab.array.dtype.itemsize
    within = np.unravel_index(plane, slab.lead) if slab.lead else ()
    index = tuple(int(i) + a for i, a in zip(within, slab.box.start, strict=False))
    *above, rows = slab.plane[:-1]
    row = slab.plane[-1] * array.dtype.itemsize
    band = rows if size <= BAND or not array.lead else max(1, BAND // (row * math.prod(above)))
    try:
        with open(slab.file, "r+b", buffering=0) as file:
            for y in range(0, rows, band):
                part = array[(*index, ..., slice(y, y + band), slice(None))]
                for k, samples in enumerate(part.reshape(-1, *part.shape[-2:])):
                    data = np.ascontiguousarray(samples).data.cast("B")
                    at = plane * size + (k * rows + y) * row
                    while data:
                        n = os.pwrite(file.fileno(), data, at)
                        data, at = data[n:], at + n
    except OSError as e:
        raise store_error(e, Path(slab.file), needed=size) from e
    return size


class Compared(NamedTuple):
    """How a block that was read back compares: where its first wrong pixel is, and what it is and should be."""

    bytes: int
    at: tuple[int, ...] | None = None
    stored: str = ""
    expected: str = ""


def compared(stored: ZarrArray, source: Direct | Slab, box: Box) -> Compared:
    """Read one block back, a row of chunks at a time, and hold it against the source, bit for bit."""
    want = source.read(box)
    want = np.ascontiguousarray(want, want.dtype.newbyteorder("="))
    if stored.dtype != want.dtype:
        return Compared(want.nbytes, box.start, str(stored.dtype), str(want.dtype))
    kind = f"u{want.dtype.itemsize}"
    along = max(range(len(box.shape)), key=lambda i: (box.shape[i] > stored.chunk[i], -i))
    for part in box.tiles(
        [c if i == along else n for i, (c, n) in enumerate(zip(stored.chunk, box.shape, strict=True))]
    ):
        expected, have = want[part.inside(box).slices], stored[part.slices]
        wrong = have.view(kind) != np.ascontiguousarray(expected).view(kind)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            place = tuple(int(i) + a for i, a in zip(at, part.start, strict=True))
            return Compared(want.nbytes, place, str(have[at]), str(expected[at]))
    return Compared(want.nbytes)
