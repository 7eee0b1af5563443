"""Half-open n-dimensional regions, and how to tile them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from corpuscle.errors import SpaceError


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """From `start`, inclusive, to `stop`, exclusive, in array indices.

    >>> [tile.start for tile in Box((0,), (5,)).tiles((2,))]
    [(0,), (2,), (4,)]
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise SpaceError(f"a box needs as many starts as stops: {self.start} to {self.stop}")

    @classmethod
    def of(cls, shape: Sequence[int]) -> Box:
        """The box that covers an array of this shape."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis; 0 where the box is empty."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """How many elements lie inside.

        >>> Box((1, 1), (3, 4)).size
        6
        """
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def slices(self) -> tuple[slice, ...]:
        """What to index an array with."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def grow(self, by: Sequence[int]) -> Box:
        """Larger by `by` on both sides of each axis: a block and its halo.

        >>> Box((4,), (6,)).grow((3,))
        Box(start=(1,), stop=(9,))
        """
        return Box(
            tuple(a - g for a, g in zip(self.start, by, strict=True)),
            tuple(b + g for b, g in zip(self.stop, by, strict=True)),
        )

    def clip(self, to: Box) -> Box:
        """The part of this box inside another; empty, never inverted, where they do not meet."""
        start = tuple(min(max(a, b), c) for a, b, c in zip(self.start, to.start, to.stop, strict=True))
        stop = tuple(min(a, b) for a, b in zip(self.stop, to.stop, strict=True))
        return Box(start, tuple(max(a, b) for a, b in zip(start, stop, strict=True)))

    def inside(self, other: Box) -> Box:
        """This box in the coordinates of the box that holds it."""
        return Box(
            tuple(a - o for a, o in zip(self.start, other.start, strict=True)),
            tuple(b - o for b, o in zip(self.stop, other.start, strict=True)),
        )

    def along(self, axes: Sequence[int]) -> Box:
        """This box along some of its axes."""
        return Box(tuple(self.start[i] for i in axes), tuple(self.stop[i] for i in axes))

    def __contains__(self, index: Sequence[float]) -> bool:
        return all(a <= i < b for a, i, b in zip(self.start, index, self.stop, strict=True))

    def tiles(self, shape: Sequence[int]) -> Iterator[Box]:
        """Tiles of at most `shape` that cover this box exactly once, in C order."""
        if any(n < 1 for n in shape):
            raise SpaceError(f"a tile is at least one element along each axis, not {tuple(shape)}")
        steps = [range(a, b, s) for a, b, s in zip(self.start, self.stop, shape, strict=True)]
        for corner in product(*steps):
            yield Box(corner, tuple(c + s for c, s in zip(corner, shape, strict=True))).clip(self)
