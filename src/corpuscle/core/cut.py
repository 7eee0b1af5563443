"""A box cut into a grid of blocks, by arithmetic: a million blocks weigh as much as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import overload

from corpuscle.core.box import Box
from corpuscle.errors import SpaceError


@dataclass(frozen=True, slots=True)
class Cut(Sequence[Box]):
    """The tiles of an array of `shape`, at most `tile` large each, in C order.

    >>> cut = Cut((5, 8), (4, 4))
    >>> len(cut), cut[3], cut.touching(Box((3, 0), (5, 4)))
    (4, Box(start=(4, 4), stop=(5, 8)), [0, 2])
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.tile) or any(n < 1 for n in self.tile):
            raise SpaceError(f"cannot cut {self.shape} into tiles of {self.tile}")

    @property
    def grid(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        return tuple(-(-n // t) for n, t in zip(self.shape, self.tile, strict=True))

    def __len__(self) -> int:
        return prod(self.grid)

    @overload
    def __getitem__(self, index: int) -> Box: ...
    @overload
    def __getitem__(self, index: slice) -> list[Box]: ...
    def __getitem__(self, index: int | slice) -> Box | list[Box]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rest = index + len(self) if index < 0 else index
        if not 0 <= rest < len(self):
            raise IndexError(f"no block {index} of {len(self)}")
        place: list[int] = []
        for n in reversed(self.grid):
            rest, at = divmod(rest, n)
            place.append(at)
        start = tuple(p * t for p, t in zip(reversed(place), self.tile, strict=True))
        return Box(start, tuple(min(a + t, n) for a, t, n in zip(start, self.tile, self.shape, strict=True)))

    def __iter__(self) -> Iterator[Box]:
        return Box.of(self.shape).tiles(self.tile)

    def at(self, place: Sequence[int]) -> int:
        """The number of the block at a place of the grid."""
        n = 0
        for p, g in zip(place, self.grid, strict=True):
            n = n * g + p
        return n

    def touching(self, box: Box) -> list[int]:
        """The blocks that meet a box, in order."""
        clip = box.clip(Box.of(self.shape))
        if clip.size == 0:
            return []
        ranges = [range(a // t, (b - 1) // t + 1) for a, b, t in zip(clip.start, clip.stop, self.tile, strict=True)]
        return [self.at(place) for place in product(*ranges)]
