"""Graphs on disk as GEFF, the graph exchange format of the tracking community: a Zarr group of plain columns.

After its specification, version 1.3 (liveimagetrackingtools.org/geff), on Zarr v3. Positions are one property per
axis, in micrometres, seconds or pixels, and every chunk carries a CRC-32C. What others wrote is read on Zarr v2 too.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.graph import Graph
from corpuscle.errors import FormatError, LayerError, StoreError
from corpuscle.formats import vetted
from corpuscle.formats.pyramids import group, put
from corpuscle.formats.units import factor
from corpuscle.store.columns import read_column, write_column

VERSION = "1.3"
_TYPES = {"t": "time", "z": "space", "y": "space", "x": "space", "c": "channel"}
_NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


def write(
    graph: Graph,
    path: Path,
    *,
    directed: bool = True,
    related: Sequence[Mapping[str, str]] = (),
    replace: bool = False,
) -> None:
    """Write a graph as a GEFF group; it appears under `path` whole or not at all.

    Parameters
    ----------
    directed
        Whether the order of the two ends of an edge means something, as in tracks and wiring.
    related
        Images and labels that belong to it: ``{"type": "labels", "path": "../raw.zarr/labels/nuclei"}``.
    replace
        What is there already gives way. Else a StoreError.

    Raises
    ------
    LayerError
        A property has a name or a type that GEFF has no place for, or an axis a unit that is not of its kind.
    """
    if path.exists() and not replace:
        raise StoreError("something is here already", where=path, fix="write elsewhere", rule="geff-exists")
    nodes = {a: graph.positions[:, i] for i, a in enumerate(graph.axes)}
    if twice := nodes.keys() & graph.node_props.keys():
        raise LayerError(f"{sorted(twice)} are both axes and properties of the nodes", where=path, rule="geff-name")
    nodes |= graph.node_props
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        _group(aside / "nodes", {})
        _group(aside / "edges", {})
        write_column(aside / "nodes" / "ids", np.arange(len(graph), dtype=np.uint64))
        write_column(aside / "edges" / "ids", graph.edges.astype(np.uint64))
        metadata = {
            "geff_version": VERSION,
            "directed": directed,
            "axes": [_axis(graph, i) for i in range(len(graph.axes))],
            "node_props_metadata": _props(aside / "nodes" / "props", nodes),
            "edge_props_metadata": _props(aside / "edges" / "props", graph.edge_props),
            "extra": {"corpuscle": {"units": list(graph.units), "frame": graph.frame}},
        }
        if {"y", "x"} <= set(graph.axes):
            shown = {"horizontal": "x", "vertical": "y", "depth": "z", "time": "t"}
            metadata["display_hints"] = {f"display_{k}": a for k, a in shown.items() if a in graph.axes}
        if "radius" in graph.node_props and graph.node_props["radius"].dtype.kind in "iuf":
            metadata["sphere"] = "radius"
        if related:
            metadata["related_objects"] = [dict(r) for r in related]
        _group(aside, {"geff": metadata})
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)
    except OSError as e:
        raise StoreError(f"cannot be written: {e.strerror or e}", where=path) from e
    finally:
        if aside.exists():
            shutil.rmtree(aside, ignore_errors=True)


def read(path: Path, *, skip: Collection[str] = ()) -> Graph:
    """Read a GEFF group, all of it; properties named in `skip` are left out.

    Positions are brought to micrometres and seconds; an axis in pixels or frames, or without a unit, stays in
    pixels. Where the ids of the nodes are not simply 0, 1, 2, ... they are kept as the property ``id``.

    Raises
    ------
    FormatError
        It is no GEFF, an edge names a node that is not there (rule ``geff-edge``), a column is missing or of
        another length than its fellows, or is of variable length.
    StoreError
        Its bytes are torn or fail their checksum.
    """
    metadata = vetted.mapping(_attributes(path).get("geff"), "geff", path)
    version = vetted.text(metadata.get("geff_version"), "geff_version", path)
    if version.split(".")[0] not in ("0", "1"):
        raise FormatError(f"GEFF version {version!r} is not 1.x", where=path, rule="geff-version")
    ours = vetted.mapping(vetted.mapping(metadata.get("extra", {}), "extra", path).get("corpuscle", {}), "extra", path)
    ids = _column(path / "nodes" / "ids", ours)
    ends = _column(path / "edges" / "ids", ours)
    if ids.dtype.kind not in "iu" or ids.ndim != 1 or ends.dtype.kind not in "iu" or ends.shape[1:] != (2,):
        raise FormatError(f"ids of {ids.dtype} {ids.shape} and {ends.dtype} {ends.shape}", where=path, rule="geff-ids")
    axes = [vetted.mapping(a, "axes", path) for a in vetted.items(metadata.get("axes") or [], "axes", path)]
    names = [vetted.text(a.get("name"), "axis name", path) for a in axes]
    nodes = _read_props(path / "nodes" / "props", metadata.get("node_props_metadata", {}), len(ids), set(skip), ours)
    edges = _read_props(path / "edges" / "props", metadata.get("edge_props_metadata", {}), len(ends), set(skip), ours)
    columns, units = [], []
    for name, axis in zip(names, axes, strict=True):
        values = nodes.pop(name, None)
        if values is None or values.ndim != 1 or values.dtype.kind not in "iuf":
            raise FormatError(f"axis {name!r} is no property of the nodes", where=path, rule="geff-axis")
        column, unit = _settled(values.astype(np.float64), axis, path)
        columns.append(column)
        units.append(unit)
    if ours:
        units = [vetted.text(u, "a unit", path) for u in vetted.items(ours.get("units"), "units", path)]
        if len(units) != len(names) or set(units) - {"um", "s", "px", "index"}:
            raise FormatError(f"units {units} for axes {names}", where=path, rule="geff-axis")
    if not np.array_equal(ids, np.arange(len(ids))):
        nodes.setdefault("id", ids)
    positions = np.stack(columns, 1) if columns else np.empty((len(ids), 0))
    frame = vetted.text(ours.get("frame", "image"), "frame", path)
    try:
        return Graph(tuple(names), positions, _indices(ends, ids, path), nodes, edges, tuple(units), frame)
    except LayerError as e:
        raise FormatError(e.message, where=path, rule=e.rule) from e


def _indices(ends: NDArray[Any], ids: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Edges as places among the nodes instead of ids."""
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    if (ranked[1:] == ranked[:-1]).any():
        raise FormatError("the same node id twice", where=path, rule="geff-ids")
    at = np.searchsorted(ranked, ends)
    found = at < len(ids)
    found[found] = ranked[at[found]] == ends[found]
    if not found.all():
        e = int(np.argmin(found.all(axis=1)))
        raise FormatError(
            f"edge {e} joins nodes {ends[e].tolist()}, of which one is not there", where=path, rule="geff-edge"
        )
    return order[at].astype(np.int64).reshape(-1, 2)


def _axis(graph: Graph, i: int) -> dict[str, Any]:
    name, unit, values = graph.axes[i], graph.units[i], graph.positions[:, i]
    kind = _TYPES.get(name)
    if (kind, unit) in (("space", "s"), ("time", "um")):
        raise LayerError(f"axis {name} cannot be in {unit}", rule="geff-unit")
    spoken = {"um": "micrometer", "s": "second", "px": "frame" if kind == "time" else "pixel"}.get(unit)
    out: dict[str, Any] = {"name": name}
    if kind:
        out["type"] = kind
    if spoken:
        out["unit"] = spoken
    if len(values) and np.isfinite(values).all():
        out |= {"min": float(values.min()), "max": float(values.max())}
    return out


def _settled(values: NDArray[np.float64], axis: Mapping[str, Any], path: Path) -> tuple[NDArray[np.float64], str]:
    """Positions along an axis in micrometres or seconds, where its unit is one of these; and in what."""
    unit, kind = axis.get("unit"), axis.get("type")
    if axis.get("scale") is not None:
        scale, offset = vetted.numbers(
            [axis["scale"], axis.get("offset") or 0], f"scale of axis {axis.get('name')}", path
        )
        values = values * scale + offset
        unit = axis.get("scaled_unit")
    if kind not in ("space", "time"):
        return values, "index"
    try:
        size = factor(unit, time=kind == "time")
    except FormatError as e:
        raise FormatError(f"axis {axis.get('name')}: {e.message}", where=path, rule=e.rule) from None
    return (values, "px") if size is None else (values * size, "s" if kind == "time" else "um")


def _props(folder: Path, props: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    _group(folder, {})
    out = {}
    for name, values in props.items():
        if not name or name in (".", "..") or set(name) & set("/\\\0") or len(name.encode()) > 200:
            raise LayerError(f"{name!r} is no name for a property", where=folder, rule="geff-name")
        values = np.asarray(values)
        missing = None
        if values.dtype.kind in "OUT":
            missing = np.array([v is None for v in values.ravel()], bool).reshape(values.shape)
            values = np.where(missing, "", values)
        elif values.dtype.name not in _NUMBERS:
            raise LayerError(
                f"property {name!r} is {values.dtype}",
                where=folder,
                fix=f"make it one of {_NUMBERS}",
                rule="geff-dtype",
            )
        _group(folder / name, {})
        dtype = write_column(folder / name / "values", values)
        if missing is not None and missing.any():
            if missing.ndim != 1:
                raise LayerError(f"property {name!r} has None within a row", where=folder, rule="geff-missing")
            write_column(folder / name / "missing", missing)
        out[name] = {"identifier": name, "dtype": dtype, "varlength": False}
    return out


def _read_props(folder: Path, told: object, n: int, skip: set[str], ours: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    out = {}
    for name, about in vetted.mapping(told, "props_metadata", folder).items():
        if name in skip:
            continue
        place = folder / vetted.inner_path(name, folder)
        if vetted.mapping(about, name, folder).get("varlength"):
            raise FormatError(
                f"property {name!r} holds arrays of different length",
                where=folder,
                fix="skip it",
                rule="geff-varlength",
            )
        values = _column(place / "values", ours)
        missing = _column(place / "missing", ours) if (place / "missing").exists() else None
        if values.ndim < 1 or len(values) != n or (missing is not None and missing.shape != (n,)):
            raise FormatError(
                f"property {name!r} has {values.shape[:1]} values for {n}", where=folder, rule="geff-length"
            )
        if missing is not None and missing.any():
            gone = missing.astype(bool)
            if values.dtype.kind == "O":
                values = values.copy()
                values[gone] = None
            else:
                values = np.where(gone.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)
        out[name] = values
    return out


def _column(folder: Path, ours: Mapping[str, Any]) -> NDArray[Any]:
    return read_column(folder, whole=bool(ours))


def _group(folder: Path, attributes: Mapping[str, Any]) -> None:
    for file, text in group(attributes, "0.5").items():
        put(folder / file, text)


def _attributes(path: Path) -> dict[str, Any]:
    if (path / "zarr.json").exists():
        document = vetted.mapping(vetted.load(path / "zarr.json"), "its metadata", path)
        return vetted.mapping(document.get("attributes", {}), "attributes", path)
    return vetted.mapping(vetted.load(path / ".zattrs"), "attributes", path)
