"""What a person draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import LayerError

Kind: TypeAlias = Literal["box", "polygon", "line", "point", "mask"]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One thing drawn.

    Parameters
    ----------
    kind
        A ``box`` has two corner vertices, a ``point`` one, a ``line`` and a ``polygon`` as many as
        it takes; a ``mask`` has its first corner, and its pixels in `mask`.
    vertices
        (points, axes) float64. Pixel (r, c) covers [r, r+1] x [c, c+1] in the ``corner``
        convention that every reader converts to, so an outline runs along pixel edges.
    label
        The text as the tool stored it, never cleaned.
    name
        The class that the label stands for, where somebody said so.
    identity
        Which individual it is: the same over time, planes or parts.
    group
        Shapes of one group are parts of one thing.
    flags
        What else the tool knew: occluded, crowd, difficult, ...
    """

    kind: Kind
    vertices: NDArray[np.float64]
    label: str = ""
    name: str | None = None
    identity: str | None = None
    group: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise LayerError(f"a shape is one of {get_args(Kind)}, not {self.kind!r}", rule="shape-kind")
        vertices = np.asarray(self.vertices, np.float64)
        object.__setattr__(self, "vertices", vertices)
        if vertices.ndim != 2 or not np.isfinite(vertices).all():
            raise LayerError(f"vertices are finite rows, got shape {vertices.shape}", rule="shape-vertices")
        need = {"box": 2, "point": 1, "mask": 1}.get(self.kind)
        few = {"polygon": 3, "line": 2}.get(self.kind, 1)
        if (need is not None and len(vertices) != need) or len(vertices) < few:
            raise LayerError(f"a {self.kind} of {len(vertices)} vertices", rule="shape-vertices")
        if (self.kind == "mask") != (self.mask is not None):
            raise LayerError("a mask has pixels, and nothing else has", rule="shape-mask")


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Drawn things in one frame; they may overlap.

    >>> square = Shape("polygon", np.array([[0, 0], [0, 4], [4, 4], [4, 0]]), label="nucleus")
    >>> Shapes("yx", (square,))
    <shapes: 1 polygon in yx>
    """

    axes: tuple[str, ...]
    items: tuple[Shape, ...] = ()
    frame: str = "image"

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        object.__setattr__(self, "items", tuple(self.items))
        for i, s in enumerate(self.items):
            if s.vertices.shape[1] != len(self.axes):
                raise LayerError(f"shape {i} has {s.vertices.shape[1]} coordinates in axes {self.axes}")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Shape]:
        return iter(self.items)

    def __repr__(self) -> str:
        kinds = [s.kind for s in self.items]
        told = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds)) or "none"
        return f"<shapes: {told} in {''.join(self.axes)}>"
