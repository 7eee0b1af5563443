"""Which part of the input an output box needs, where it is not the same box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from corpuscle.core import Box, Space


class Region(Protocol):
    """The geometry of a step that changes shape: projection, warp, back-projection, pyramid."""

    def out(self, space: Space, shape: tuple[int, ...]) -> tuple[Space, tuple[int, ...]]:
        """Space and shape of the output, from those of the input."""
        ...

    def needs(self, box: Box, shape: tuple[int, ...]) -> Box:
        """The input box, within `shape`, that an output box is made from."""
        ...


@dataclass(frozen=True, slots=True)
class Projection:
    """All of one axis goes into each output pixel, and the axis is gone.

    >>> Projection("z").needs(Box((4, 4), (8, 8)), (10, 64, 64))
    Box(start=(0, 4, 4), stop=(10, 8, 8))
    """

    axis: str
    index: int = 0

    def out(self, space: Space, shape: tuple[int, ...]) -> tuple[Space, tuple[int, ...]]:
        """The input without the axis."""
        i = space.index(self.axis)
        return space.without(self.axis), shape[:i] + shape[i + 1 :]

    def needs(self, box: Box, shape: tuple[int, ...]) -> Box:
        """The same box, through the whole axis, which stands at `index` in the input."""
        i = self.index
        return Box(
            (*box.start[:i], 0, *box.start[i:]),
            (*box.stop[:i], shape[i], *box.stop[i:]),
        )
