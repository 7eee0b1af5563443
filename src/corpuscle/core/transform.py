"""From one named frame to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.image import Image
from corpuscle.errors import SpaceError


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A linear map and a shift: stage positions, re-seating, chromatic shift.

    `matrix` is (n, n + 1): the last column is the shift, in the unit of the frames.

    >>> shift = Affine("tile", "well", np.array([[1.0, 0, 5], [0, 1, -2]]))
    >>> shift(np.array([[0.0, 0.0]])).tolist(), shift.inverse()(np.array([[5.0, -2.0]])).tolist()
    ([[5.0, -2.0]], [[0.0, 0.0]])
    """

    source: str
    target: str
    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        m = np.asarray(self.matrix, np.float64)
        object.__setattr__(self, "matrix", m)
        if m.ndim != 2 or m.shape[1] != m.shape[0] + 1 or not np.isfinite(m).all():
            raise SpaceError(f"an affine of n axes is (n, n + 1) and finite, got shape {m.shape}")

    def __call__(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Rows of positions in `source`, as rows in `target`."""
        return np.asarray(np.asarray(points, np.float64) @ self.matrix[:, :-1].T + self.matrix[:, -1])

    def inverse(self) -> Affine:
        """The way back; a SpaceError where the map flattens an axis."""
        a, b = self.matrix[:, :-1], self.matrix[:, -1]
        if abs(np.linalg.det(a)) < 1e-12:
            raise SpaceError(f"the map {self.source} to {self.target} has no inverse")
        back = np.linalg.inv(a)
        return Affine(self.target, self.source, np.column_stack([back, -back @ b]))

    def then(self, after: Affine) -> Affine:
        """This map, and after it another.

        >>> s = Affine("a", "b", np.array([[1.0, 3]])); s.then(Affine("b", "c", np.array([[2.0, 0]]))).matrix.tolist()
        [[2.0, 6.0]]
        """
        if after.source != self.target:
            raise SpaceError(f"{self.source} to {self.target} cannot be followed by {after.source} to {after.target}")
        a = after.matrix[:, :-1]
        return Affine(
            self.source,
            after.target,
            np.column_stack([a @ self.matrix[:, :-1], a @ self.matrix[:, -1] + after.matrix[:, -1]]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """A shift at every place: an image in `source` with one channel per spatial axis, in its unit."""

    source: str
    target: str
    field: Image

    def __post_init__(self) -> None:
        space = self.field.space
        if "c" not in space.axes or self.field.shape[space.index("c")] != len(space.spatial):
            raise SpaceError(f"a displacement has one channel per spatial axis, got {self.field!r}")


Transform: TypeAlias = Affine | Displacement
