"""Things, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.space import Space
from corpuscle.errors import LayerError


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Points, tracks, skeletons and wiring diagrams are one type, told apart by their edges.

    ============  ===================================================
    point set     no edges
    tracks        edges run forward in t; two out-edges are a division
    skeleton      edges join neighbouring nodes; `radius` per node
    wiring        a node per cell, an edge per contact; `weight` per edge
    ============  ===================================================

    Parameters
    ----------
    axes
        Names of the columns of `positions`.
    positions
        (nodes, axes) float64, in `units`, so that a graph outlives any resampling of its image.
    edges
        (edges, 2) int64, indices into the nodes.
    node_props, edge_props
        One value, or one row, per node and per edge.
    units
        One per axis: ``um``, ``s``, ``px`` or ``index``. Left out: ``px``.
    frame
        The coordinate frame the positions are in.

    >>> Graph("yx", np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[0, 1]]))
    <graph: 2 nodes, 1 edges in yx (px)>
    """

    axes: tuple[str, ...]
    positions: NDArray[np.float64]
    edges: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    node_props: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    edge_props: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    units: tuple[str, ...] = ()
    frame: str = "image"

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "axes", tuple(self.axes))
        put(self, "units", tuple(self.units) or ("px",) * len(self.axes))
        put(self, "positions", np.asarray(self.positions, np.float64).reshape(-1, len(self.axes)))
        put(self, "edges", np.asarray(self.edges, np.int64).reshape(-1, 2))
        if len(self.units) != len(self.axes):
            raise LayerError(f"{len(self.units)} units for axes {self.axes}")
        if len(self.edges) and not (self.edges.min() >= 0 and self.edges.max() < len(self.positions)):
            raise LayerError(f"an edge names a node outside 0..{len(self.positions) - 1}", rule="edge-dangling")
        for what, n, props in (("node", len(self), self.node_props), ("edge", len(self.edges), self.edge_props)):
            for name, values in props.items():
                if len(values) != n:
                    raise LayerError(f"{what} property {name!r} has {len(values)} values for {n} {what}s")

    @classmethod
    def of(cls, space: Space, index: NDArray[Any], **node_props: NDArray[Any]) -> Graph:
        """Points from array indices, one row each, placed in the world of an image."""
        index = np.asarray(index, np.float64).reshape(-1, len(space.axes))
        world = np.array([space.to_world(tuple(row)) for row in index]).reshape(index.shape)
        return cls(space.axes, world, node_props=node_props, units=space.units, frame=space.frame)

    def __len__(self) -> int:
        return len(self.positions)

    def __add__(self, other: Graph) -> Graph:
        if (self.axes, self.units, self.frame) != (other.axes, other.units, other.frame):
            raise LayerError(f"cannot join graphs in {self.axes} {self.units} and {other.axes} {other.units}")
        return Graph(
            self.axes,
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.edges, other.edges + len(self)]),
            _joined(self.node_props, other.node_props),
            _joined(self.edge_props, other.edge_props),
            self.units,
            self.frame,
        )

    def __repr__(self) -> str:
        units = ", ".join(dict.fromkeys(self.units))
        return f"<graph: {len(self)} nodes, {len(self.edges)} edges in {''.join(self.axes)} ({units})>"


def _joined(a: Mapping[str, NDArray[Any]], b: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if a.keys() != b.keys():
        raise LayerError(f"cannot join graphs whose properties differ: {sorted(a)} and {sorted(b)}")
    return {k: np.concatenate([a[k], b[k]]) for k in a}


def degrees(edges: Sequence[Sequence[int]] | NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """How many edges meet at each node.

    >>> degrees([(0, 1), (1, 2)], 4).tolist()
    [1, 2, 1, 0]
    """
    return np.bincount(np.asarray(edges, np.int64).ravel(), minlength=nodes)
