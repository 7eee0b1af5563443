"""One name for equal content: digests of layers that no compression, chunking, block size or machine changes."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from corpuscle.core.box import Box
from corpuscle.core.graph import Graph
from corpuscle.core.image import Channel, Image
from corpuscle.core.record import Layer
from corpuscle.core.shapes import Shape, Shapes
from corpuscle.core.space import SPATIAL, Space
from corpuscle.core.table import Table
from corpuscle.errors import LayerError

VERSION = 1
PLANE, VOLUME, DEEP = 2048, 256, 16


class Leaf(NamedTuple):
    """The digest of one tile of an image, and where the tile begins."""

    start: tuple[int, ...]
    sha256: str


def of_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 in hex.

    >>> of_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def canonical(value: object) -> bytes:
    """A value as JSON of which there is only one spelling: keys sorted, no spaces, ASCII, nan as NaN.

    Numpy numbers and arrays are taken as what they hold, tuples as lists. Raises a LayerError for anything else
    that JSON has no word for.

    >>> canonical({"b": np.float32(0.5), "a": (1, None)})
    b'{"a":[1,null],"b":0.5}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def of_json(value: object) -> str:
    """Digest of a JSON value, whatever order its keys are in."""
    return of_bytes(canonical(value))


def tiles(axes: Sequence[str], shape: Sequence[int]) -> list[Box]:
    """The boxes of the leaves of an image's digest: a grid that axes and shape alone decide.

    Cubes of 256 where there are 16 planes in z and more, else planes of 2048 squared, one index of every other axis.
    This grid is part of what a digest means: it may change only together with `VERSION`.
    """
    deep = all(a in axes for a in SPATIAL) and shape[list(axes).index("z")] >= DEEP
    side = VOLUME if deep else PLANE
    tile = [side if a in "yx" or (a == "z" and deep) else 1 for a in axes]
    return list(Box.of(shape).tiles(tile))


def leaf(box: Box, pixels: NDArray[Any]) -> Leaf:
    """Digest of the pixels of one of `tiles`: little-endian, in C order."""
    if pixels.shape != box.shape:
        raise LayerError(f"pixels of {pixels.shape} for a tile of {box.shape}", rule="digest-tile")
    return Leaf(box.start, of_bytes(_little(pixels).data))


def root(
    leaves: Iterable[Leaf],
    *,
    shape: Sequence[int],
    dtype: DTypeLike,
    space: Space,
    channels: Sequence[Channel] = (),
    labels_of: str | None = None,
) -> str:
    """Digest of an image from those of its tiles, which may come in any order, even twice.

    Raises a LayerError where a tile is missing, is none of `tiles`, or came twice with different pixels.
    """
    wanted = [box.start for box in tiles(space.axes, shape)]
    found: dict[tuple[int, ...], str] = {}
    for start, sha in leaves:
        if found.setdefault(start, sha) != sha:
            raise LayerError(f"two different tiles at {start}", rule="digest-tile")
    if found.keys() != set(wanted):
        odd = sorted(found.keys() ^ set(wanted))[:3]
        raise LayerError(f"{len(found)} tiles where there are {len(wanted)}, see {odd}", rule="digest-tile")
    head = {
        "digest": VERSION,
        "shape": [int(n) for n in shape],
        "dtype": np.dtype(dtype).name,
        "space": asdict(space),
        "channels": [asdict(c) for c in channels],
        "labels_of": labels_of,
    }
    return of_bytes(canonical(head) + b"".join(bytes.fromhex(found[start]) for start in wanted))


def of_image(image: Image, *, level: int = 0) -> str:
    """Digest of an image: its pixels tile by tile, their type and shape, space, channels and what it labels.

    Reads one tile at a time, at most 32 MB of 16-bit pixels.
    """
    image = image.level(level)
    found = (leaf(box, image.read(box)) for box in tiles(image.space.axes, image.shape))
    return root(
        found,
        shape=image.shape,
        dtype=image.dtype,
        space=image.space,
        channels=image.channels,
        labels_of=image.labels_of,
    )


def of_table(table: Table) -> str:
    """Digest of a table: its rows in their order, its columns in any.

    Strings are text whether fixed or of any length, None is not the empty string, every nan is the same.
    """
    columns = {name: [table.units.get(name), *_column(name, values)] for name, values in table.columns.items()}
    return of_json({"digest": VERSION, "table": columns, "about": table.about, "rows": len(table)})


def of_graph(graph: Graph) -> str:
    """Digest of a graph: nodes and edges in their order, with their properties in any."""
    parts = {
        "axes": graph.axes,
        "units": graph.units,
        "frame": graph.frame,
        "positions": _column("positions", graph.positions),
        "edges": _column("edges", graph.edges),
        "node_props": {k: _column(k, v) for k, v in graph.node_props.items()},
        "edge_props": {k: _column(k, v) for k, v in graph.edge_props.items()},
    }
    return of_json({"digest": VERSION, "graph": parts})


def of_shapes(shapes: Shapes) -> str:
    """Digest of shapes in their order."""
    parts = {"axes": shapes.axes, "frame": shapes.frame, "items": [_shape(s) for s in shapes]}
    return of_json({"digest": VERSION, "shapes": parts})


def of_layer(layer: Layer) -> str:
    """Digest of a layer of whichever kind."""
    match layer:
        case Image():
            return of_image(layer)
        case Table():
            return of_table(layer)
        case Graph():
            return of_graph(layer)
        case Shapes():
            return of_shapes(layer)


def _shape(s: Shape) -> dict[str, object]:
    told = {"kind": s.kind, "label": s.label, "name": s.name, "identity": s.identity, "group": s.group}
    mask = None if s.mask is None else _column("mask", np.asarray(s.mask, bool))
    return {**told, "flags": dict(s.flags), "vertices": _column("vertices", s.vertices), "mask": mask}


def _column(name: str, values: NDArray[Any]) -> list[object]:
    """What an array of values is, its shape and the digest of what it holds."""
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        if values.dtype.kind == "f" and np.isnan(values).any():
            values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
        return [values.dtype.name, list(values.shape), of_bytes(_little(values).data)]
    if values.dtype.kind not in "OUT":
        raise LayerError(f"{name} holds {values.dtype}, which has no digest", rule="digest-dtype")
    h = hashlib.sha256()
    for v in values.ravel().tolist():
        if v is None:
            h.update(struct.pack("<q", -1))
        elif isinstance(v, str):
            text = v.encode("utf-8", "surrogatepass")
            h.update(struct.pack("<q", len(text)) + text)
        else:
            raise LayerError(f"{name} holds {v!r} among its strings", rule="digest-dtype")
    return ["string", list(values.shape), h.hexdigest()]


def _little(values: NDArray[Any]) -> NDArray[np.uint8]:
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return plain.reshape(-1).view(np.uint8)


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float("nan") if value != value else value
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: _plain(v) for k, v in value.items()}
    raise LayerError(f"{type(value).__name__} {str(value)[:80]} has no place in JSON", rule="digest-json")
