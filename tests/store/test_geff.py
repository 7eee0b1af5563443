"""Graphs come back from GEFF as they went in, and what is no graph is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from geff_spec import GeffMetadata
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.core import Graph
from corpuscle.errors import CorpuscleError, FormatError, LayerError, StoreError
from corpuscle.store import geff
from corpuscle.store.digest import of_graph

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6)
NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]


@st.composite
def props(draw: st.DrawFn, n: int) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name in draw(st.sets(st.sampled_from(["radius", "type name", "wäldchen", "label"]), max_size=4)):
        if draw(st.booleans()):
            dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
            shape = (n, *draw(st.lists(st.integers(0, 3), max_size=2)))
            values = np.random.default_rng(n).integers(0, 100, shape).astype(dtype)
            if dtype.kind == "f" and values.size:
                values.flat[0] = np.nan
            out[name] = values
        else:
            out[name] = np.array([*draw(st.lists(TEXT | st.none(), min_size=n, max_size=n)), None], object)[:-1]
    return out


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    axes = draw(st.sampled_from([("y", "x"), ("t", "z", "y", "x"), ("c", "y", "x"), ("x",), ("angle", "y", "x")]))
    n, e = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    ends = st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), min_size=e, max_size=e) if n else st.just([])
    edges = np.array(draw(ends), np.int64).reshape(-1, 2)
    positions = np.array(draw(st.lists(st.floats(), min_size=n * len(axes), max_size=n * len(axes))))
    units = tuple(draw(st.sampled_from(["s" if a == "t" else "um", "px", "index"])) for a in axes)
    frame = draw(st.sampled_from(["image", "stage"]))
    return Graph(axes, positions, edges, draw(props(n)), draw(props(len(edges))), units, frame)


def same(a: Graph, b: Graph) -> None:
    assert (a.axes, a.units, a.frame) == (b.axes, b.units, b.frame)
    assert of_graph(a) == of_graph(b)
    for x, y in ((a.node_props, b.node_props), (a.edge_props, b.edge_props)):
        assert {k: v.dtype for k, v in x.items()} == {k: v.dtype for k, v in y.items()}


@quick
@given(graph=graphs())
def test_what_is_written_is_read_back(graph: Graph, tmp_path: Path) -> None:
    geff.write(graph, tmp_path / "g.geff", replace=True)
    same(geff.read(tmp_path / "g.geff"), graph)
    assert [p.name for p in tmp_path.iterdir()] == ["g.geff"]
    conforms(tmp_path / "g.geff")


def conforms(path: Path) -> None:
    """The rules of the specification, as its own validator has them, and its schema where it is at hand."""
    root = zarr.open_group(path, mode="r")
    meta: Any = root.attrs["geff"]
    nodes, edges = np.asarray(root["nodes/ids"][...]), np.asarray(root["edges/ids"][...])  # type: ignore[index]
    assert nodes.dtype == edges.dtype == np.uint64
    assert nodes.ndim == 1
    assert edges.shape[1:] == (2,)
    assert set(edges.ravel()) <= set(nodes)
    for part, told, n in (("nodes", "node", len(nodes)), ("edges", "edge", len(edges))):
        group = root[f"{part}/props"]
        assert isinstance(group, zarr.Group)
        assert set(group.keys()) == set(meta[f"{told}_props_metadata"])
        for name, about in meta[f"{told}_props_metadata"].items():
            assert about["identifier"] == name
            values = group[f"{name}/values"]
            assert isinstance(values, zarr.Array)
            assert np.issubdtype(values.dtype, np.dtype(about["dtype"]))
            assert values.shape[0] == n
            assert values[...] is not None
            if f"{name}/missing" in group:
                missing = group[f"{name}/missing"]
                assert isinstance(missing, zarr.Array)
                assert (missing.shape, missing.dtype) == ((n,), np.dtype(bool))
    for axis in meta["axes"]:
        assert f"{axis['name']}/missing" not in root["nodes/props"]  # type: ignore[operator]
        assert root[f"nodes/props/{axis['name']}/values"].ndim == 1  # type: ignore[union-attr]
    GeffMetadata.model_validate(meta)


def graph() -> Graph:
    return Graph(
        ("t", "y", "x"),
        np.array([[0, 1.5, 2], [1, 2, 3], [2, 3, 4.25]]),
        np.array([[0, 1], [1, 2]]),
        {"radius": np.array([1.0, 2, 3]), "name": np.array(["a", None, "ü"], object)},
        {"weight": np.array([[1, 2], [3, 4]], "i4")},
        ("s", "um", "um"),
    )


def test_metadata_by_the_specification(tmp_path: Path) -> None:
    related = {"type": "labels", "path": "../raw.zarr/labels/nuclei", "node_prop": "label"}
    geff.write(graph(), tmp_path / "g", directed=False, related=[related])
    meta = json.loads((tmp_path / "g/zarr.json").read_text())["attributes"]["geff"]
    assert meta["axes"] == [
        {"name": "t", "type": "time", "unit": "second", "min": 0.0, "max": 2.0},
        {"name": "y", "type": "space", "unit": "micrometer", "min": 1.5, "max": 3.0},
        {"name": "x", "type": "space", "unit": "micrometer", "min": 2.0, "max": 4.25},
    ]
    assert (meta["directed"], meta["sphere"], meta["related_objects"]) == (False, "radius", [related])
    assert meta["display_hints"] == {"display_horizontal": "x", "display_vertical": "y", "display_time": "t"}
    assert meta["node_props_metadata"]["name"] == {"identifier": "name", "dtype": "str", "varlength": False}
    geff.write(Graph(("t", "x"), np.ones((1, 2))), tmp_path / "p")
    axes = json.loads((tmp_path / "p/zarr.json").read_text())["attributes"]["geff"]["axes"]
    assert [a["unit"] for a in axes] == ["frame", "pixel"]
    conforms(tmp_path / "g")


def test_many_nodes_span_chunks(tmp_path: Path) -> None:
    n = (1 << 17) + 7
    rng = np.random.default_rng(0)
    big = Graph(
        ("z", "y", "x"), rng.random((n, 3)), np.stack([np.arange(n - 1), np.arange(1, n)], 1), {"a": np.arange(n)}
    )
    geff.write(big, tmp_path / "g")
    same(geff.read(tmp_path / "g"), big)
    (tmp_path / "g/nodes/props/a/values/c/1").unlink()
    with pytest.raises(StoreError, match="chunk c/1 is missing"):
        geff.read(tmp_path / "g")


def foreign(path: Path, *, zarr_format: Any = 2, ids: Any = (7, 3, 5), edges: Any = ((3, 7),), **change: Any) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, values in (("nodes/ids", np.array(ids, "u4")), ("edges/ids", np.array(edges, "u4").reshape(-1, 2))):
        root.create_array(name, data=values)
    root.create_array("nodes/props/x/values", data=np.arange(3, dtype="u2"))
    root.create_array("nodes/props/h/values", data=np.array([1.0, 2, 3]))
    root.create_array("nodes/props/h/missing", data=np.array([False, True, False]))
    root.create_array("nodes/props/n/values", data=np.array([1, 2, 3]))
    root.create_array("nodes/props/n/missing", data=np.array([False, True, False]))
    names = {"x": "uint16", "h": "float64", "n": "int64"}
    if zarr_format == 2:
        root.create_array("nodes/props/s/values", data=np.array(["a", "bc", ""]))
        root.create_array("nodes/props/s/missing", data=np.array([False, False, True]))
        names["s"] = "str"
    meta: dict[str, Any] = {
        "geff_version": "1.1",
        "directed": True,
        "axes": [{"name": "x", "type": "space", "unit": "pixel", "scale": 500, "scaled_unit": "nanometer"}],
        "node_props_metadata": {k: {"identifier": k, "dtype": v} for k, v in names.items()},
        "edge_props_metadata": {},
    }
    root.attrs["geff"] = meta | change


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_others_wrote(zarr_format: int, tmp_path: Path) -> None:
    foreign(tmp_path / "g", zarr_format=zarr_format)
    found = geff.read(tmp_path / "g")
    assert (found.axes, found.units, found.edges.tolist()) == (("x",), ("um",), [[1, 0]])
    assert found.positions[:, 0].tolist() == [0.0, 0.5, 1.0]
    assert found.node_props["id"].tolist() == [7, 3, 5]
    assert np.array_equal(found.node_props["h"], [1, np.nan, 3], equal_nan=True)
    assert np.array_equal(found.node_props["n"], [1, np.nan, 3], equal_nan=True)
    if zarr_format == 2:
        assert found.node_props["s"].tolist() == ["a", "bc", None]
    assert geff.read(tmp_path / "g", skip=["h", "n", "s"]).node_props.keys() == {"id"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"edges": [[3, 4]]}, "geff-edge"),
        ({"edges": [[3, 7], [9, 3]]}, "geff-edge"),
        ({"ids": [3, 3, 7]}, "geff-ids"),
        ({"ids": [3, 7]}, "geff-length"),
        ({"axes": [{"name": "y"}]}, "geff-axis"),
        ({"axes": [{"name": "x", "type": "space", "unit": "furlong"}]}, "unit-unknown"),
        ({"axes": [{"name": "x", "type": "space", "scale": "5"}]}, "metadata"),
        ({"axes": [{"name": "x"}, {"name": "x"}]}, "geff-axis"),
        ({"axes": 3}, "metadata"),
        ({"geff_version": "2.0"}, "geff-version"),
        ({"geff_version": None}, "metadata"),
        ({"node_props_metadata": {"x": {"varlength": True}}}, "geff-varlength"),
        ({"node_props_metadata": {"q": {}}}, "column-missing"),
        ({"node_props_metadata": {"../../x": {}}}, "path-outside"),
        ({"edge_props_metadata": []}, "metadata"),
        ({"extra": {"corpuscle": {"units": ["um", "um"]}}}, "geff-axis"),
    ],
)
def test_what_cannot_be_a_graph_is_refused(change: dict[str, Any], rule: str, tmp_path: Path) -> None:
    foreign(tmp_path / "g", zarr_format=3, **change)
    with pytest.raises(FormatError) as e:
        geff.read(tmp_path / "g")
    assert e.value.rule == rule
    assert str(tmp_path / "g") in e.value.where


def test_no_byte_of_a_column_can_change_unseen(tmp_path: Path) -> None:
    geff.write(graph(), tmp_path / "g")
    shutil.copytree(tmp_path / "g", tmp_path / "good")
    for file in sorted((tmp_path / "g").rglob("c/*")):
        if not file.is_file():
            continue
        data = file.read_bytes()
        for at in range(0, len(data), 5):
            file.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
            with pytest.raises(StoreError):
                geff.read(tmp_path / "g")
        for length in (0, len(data) // 2, len(data) - 1):
            file.write_bytes(data[:length])
            with pytest.raises(StoreError):
                geff.read(tmp_path / "g")
        file.write_bytes(data)
    same(geff.read(tmp_path / "g"), graph())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), which=st.integers(0, 100))
def test_metadata_with_a_flipped_bit_reads_or_is_refused(at: int, bit: int, which: int, tmp_path: Path) -> None:
    if not (tmp_path / "g").exists():
        geff.write(graph(), tmp_path / "g")
    files = sorted((tmp_path / "g").rglob("zarr.json"))
    file = files[which % len(files)]
    good = file.read_bytes()
    data = bytearray(good)
    data[at % len(data)] ^= 1 << bit
    file.write_bytes(data)
    try:
        geff.read(tmp_path / "g")
    except CorpuscleError:
        pass
    finally:
        file.write_bytes(good)


@pytest.mark.parametrize(
    ("node_props", "rule"),
    [
        ({"x": np.zeros(1)}, "geff-name"),
        ({"a/b": np.zeros(1)}, "geff-name"),
        ({"": np.zeros(1)}, "geff-name"),
        ({"..": np.zeros(1)}, "geff-name"),
        ({"a": np.zeros(1, "f2")}, "geff-dtype"),
        ({"a": np.zeros(1, "c16")}, "geff-dtype"),
        ({"a": np.array([3], object)}, "column-text"),
        ({"a": np.array(["b\0"], object)}, "column-text"),
        ({"a": np.array([["b", None]], object)}, "geff-missing"),
    ],
)
def test_properties_without_a_place_are_refused(node_props: dict[str, Any], rule: str, tmp_path: Path) -> None:
    with pytest.raises(LayerError) as e:
        geff.write(Graph(("x",), np.zeros((1, 1)), node_props=node_props), tmp_path / "g")
    assert e.value.rule == rule
    assert list(tmp_path.iterdir()) == []


def test_units_are_of_their_axis(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="axis x cannot be in s"):
        geff.write(Graph(("x",), np.zeros((1, 1)), units=("s",)), tmp_path / "g")


def test_nothing_is_written_over_unasked(tmp_path: Path) -> None:
    geff.write(graph(), tmp_path / "g")
    with pytest.raises(StoreError, match="already"):
        geff.write(graph(), tmp_path / "g")
    with pytest.raises(FormatError):
        geff.read(tmp_path / "absent")
