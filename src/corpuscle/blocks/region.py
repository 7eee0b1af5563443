"""Which part of the input an output box needs, where it is not the same box."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Protocol

from corpuscle.core import Box, Space
from corpuscle.errors import StepError


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


@dataclass(frozen=True, slots=True)
class Warp:
    """The output on a grid of its own; each voxel of it comes from a place of the input that an affine map tells.

    Parameters
    ----------
    matrix
        One row per axis of the input: its factors of an output index, and last a constant, so that
        ``input = matrix[:, :-1] @ output + matrix[:, -1]``, both counted in voxels.
    shape
        Of the output.
    reach
        How many voxels further the interpolation looks: 1 for linear.

    >>> Warp(((2.0, 0.0, 0.5), (0.0, 2.0, 0.5)), (32, 32)).needs(Box((0, 0), (8, 8)), (64, 64))
    Box(start=(0, 0), stop=(16, 16))
    """

    matrix: tuple[tuple[float, ...], ...]
    shape: tuple[int, ...]
    reach: int = 1

    def out(self, space: Space, shape: tuple[int, ...]) -> tuple[Space, tuple[int, ...]]:
        """The output's shape, with the axes of the input; its scale is the input's where voxels are only moved."""
        if len(self.matrix) != len(shape) or len(self.shape) != len(shape):
            raise StepError(f"a map of {len(self.matrix)} axes for an image of {len(shape)}", rule="warp-axes")
        kept = all(
            (abs(row[j]) == (1.0 if i == j else 0.0)) for i, row in enumerate(self.matrix) for j in range(len(shape))
        )
        return (space if kept else Space(space.axes)), self.shape

    def needs(self, box: Box, shape: tuple[int, ...]) -> Box:
        """The input around all places that the corners of an output box map to."""
        low, high = [], []
        for row in self.matrix:
            ends = [sorted((f * a, f * (b - 1))) for f, a, b in zip(row[:-1], box.start, box.stop, strict=True)]
            low.append(floor(sum(e[0] for e in ends) + row[-1]) - self.reach + 1)
            high.append(floor(sum(e[1] for e in ends) + row[-1]) + self.reach + 1)
        # Where an output box lies wholly outside, one voxel of the input's edge is read all the same.
        start = tuple(min(max(0, a), n - 1) for a, n in zip(low, shape, strict=True))
        stop = tuple(max(a + 1, min(b, n)) for a, b, n in zip(start, high, shape, strict=True))
        return Box(start, stop)
