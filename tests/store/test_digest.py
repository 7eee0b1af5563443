"""Equal content has one name, whatever it is stored in; different content has another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.core import Channel, Graph, Image, Shape, Shapes, Space, Table
from corpuscle.errors import LayerError
from corpuscle.formats import omezarr
from corpuscle.formats.shards import Grid
from corpuscle.store import digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_json_has_one_spelling(value: object) -> None:
    assert digest.canonical(value) == digest.canonical(backwards(value))


def backwards(value: object) -> object:
    if isinstance(value, dict):
        return {k: backwards(v) for k, v in reversed(value.items())}
    return tuple(backwards(v) for v in value) if isinstance(value, list) else value


def test_json_of_numpy_is_what_it_holds() -> None:
    assert digest.of_json({"a": np.float64(0.1), "b": np.arange(2), "c": np.bool_(True)}) == digest.of_json(
        {"c": True, "b": [0, 1], "a": 0.1}
    )
    assert digest.canonical([float("nan"), -0.0, 1, 1.0, "é\ud800"]) == b'[NaN,-0.0,1,1.0,"\\u00e9\\ud800"]'


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, object(), b"x", {"a": 1j}, Path("x")])
def test_what_json_has_no_word_for(value: object) -> None:
    with pytest.raises(LayerError, match="no place in JSON"):
        digest.of_json(value)


def image(**change: Any) -> Image:
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 70, 600)).astype("u2")
    return replace(Image(pixels, Space("cyx", (None, 0.5, 0.5)), (Channel("a"), Channel("b"))), **change)


def test_known_answers() -> None:
    """Were these to change, every corpus would have another name: that takes another VERSION."""
    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    assert digest.VERSION == 1
    found = [
        digest.of_image(Image(pixels, Space("yx", (0.5, 0.25)))),
        digest.of_table(table()),
        digest.of_graph(graph()),
        digest.of_shapes(shapes()),
    ]
    assert [f[:16] for f in found] == KNOWN


KNOWN = ["8b72d864b133103b", "440e48a1aa37677a", "b706185735b0880c", "70a048ac4d7e995e"]


def test_storage_does_not_change_it(tmp_path: Path) -> None:
    one = image()
    omezarr.write(one, tmp_path / "a")
    omezarr.write(one, tmp_path / "b", version="0.4")
    omezarr.write(one, tmp_path / "c", plane=(64, 128))
    found = {digest.of_image(omezarr.read_image(tmp_path / k)) for k in "abc"}
    found.add(digest.of_image(replace(one, array=np.asfortranarray(one.read()))))
    found.add(digest.of_image(replace(one, array=one.read().astype(">u2"))))
    assert found == {digest.of_image(one)}


@pytest.mark.parametrize(
    "change",
    [
        {"array": np.zeros((2, 70, 600), "u2")},
        {"array": image().read().astype("i2")},
        {"array": image().read().reshape(2, 600, 70)},
        {"space": Space("tyx", (None, 0.5, 0.5)), "channels": ()},
        {"space": Space("cyx", (None, 0.5, 0.25))},
        {"space": Space("cyx")},
        {"space": Space("cyx", (None, 0.5, 0.5), (0, 0, 1))},
        {"space": Space("cyx", (None, 0.5, 0.5), frame="stage")},
        {"channels": ()},
        {"channels": (Channel("a"), Channel("b", emission_nm=1))},
        {"labels_of": "raw"},
        {"labels_of": "other"},
    ],
)
def test_any_change_changes_it(change: dict[str, Any]) -> None:
    assert digest.of_image(image(**change)) != digest.of_image(image())


def test_one_pixel_changes_it() -> None:
    pixels = image().read().copy()
    pixels[1, 69, 599] ^= 1
    assert digest.of_image(image(array=pixels)) != digest.of_image(image())


@given(st.data())
def test_leaves_may_come_in_any_order(data: st.DataObject) -> None:
    axes = data.draw(st.sampled_from(["yx", "zyx", "cyx"]))
    shape = tuple(data.draw(st.integers(1, {"z": 40, "c": 3}.get(a, 300))) for a in axes)
    one = Image(np.arange(np.prod(shape), dtype="u4").reshape(shape), Space(axes))
    leaves = [digest.leaf(box, one.read(box)) for box in digest.tiles(axes, shape)]
    leaves = data.draw(st.permutations(leaves)) + leaves[:1]
    root = digest.root(leaves, shape=shape, dtype="u4", space=one.space)
    assert root == digest.of_image(one)


@given(
    st.sampled_from(["yx", "zyx", "cyx", "tczyx", "zx"]).flatmap(
        lambda axes: st.tuples(st.just(axes), st.tuples(*[st.integers(1, 3000)] * len(axes)))
    )
)
def test_a_shard_as_written_is_a_leaf(case: tuple[str, tuple[int, ...]]) -> None:
    """So that a worker names what it writes without reading it again."""
    axes, shape = case
    shape = tuple(
        min(n, 3) if a in "tc" else min(n, 600) if len(axes) > 2 else n for a, n in zip(axes, shape, strict=True)
    )
    assert Grid.of(axes, shape).boxes == digest.tiles(axes, shape)


def test_tiles_that_do_not_make_the_image() -> None:
    one = image()
    leaves = [digest.leaf(box, one.read(box)) for box in digest.tiles("cyx", one.shape)]
    told: dict[str, Any] = {"shape": one.shape, "dtype": "u2", "space": one.space}
    for wrong in (leaves[:1], [*leaves, digest.Leaf((0, 1, 0), "00")], [*leaves, digest.Leaf(leaves[0].start, "00")]):
        with pytest.raises(LayerError) as e:
            digest.root(wrong, **told)
        assert e.value.rule == "digest-tile"
    with pytest.raises(LayerError, match="for a tile of"):
        digest.leaf(digest.tiles("cyx", one.shape)[0], np.zeros((1, 1, 1)))


def table(**columns: Any) -> Table:
    plain: dict[str, Any] = {
        "label": np.array([1, 2, 3]),
        "area": np.array([1.5, np.nan, -0.0]),
        "name": np.array(["a", None, ""], object),
    }
    return Table(plain | columns, {"area": "um2"}, "nuclei")


def test_tables_the_same() -> None:
    one = table()
    turned = Table(dict(reversed(list(one.columns.items()))), one.units, one.about)
    other_nan = one["area"].view("u8").copy()
    other_nan[1] ^= 1
    swapped = table(area=one["area"].astype(">f8"))
    assert {digest.of_table(t) for t in (turned, table(area=other_nan.view("f8")), swapped)} == {digest.of_table(one)}
    text = np.array(["ab", "c"])
    assert digest.of_table(Table({"a": text})) == digest.of_table(Table({"a": text.astype(object)}))


@pytest.mark.parametrize(
    "other",
    [
        table(label=np.array([1, 3, 2])),
        table(label=np.array([1, 2, 3], "i4")),
        table(area=np.array([1.5, np.nan, 0.0])),
        table(name=np.array(["a", "", None], object)),
        table(name=np.array(["", "a", None], object)),
        table(more=np.zeros(3)),
        Table(table().columns, {"area": "px2"}, "nuclei"),
        Table(table().columns, {"area": "um2"}, "cells"),
        Table({"x" if k == "area" else k: v for k, v in table().columns.items()}, {"x": "um2"}, "nuclei"),
    ],
)
def test_tables_that_differ(other: Table) -> None:
    assert digest.of_table(other) != digest.of_table(table())


def test_text_runs_do_not_flow_together() -> None:
    found = {digest.of_table(Table({"a": np.array(v, object)})) for v in (["ab", "c"], ["a", "bc"], ["abc", ""])}
    assert len(found) == 3


@pytest.mark.parametrize("values", [np.array([1, "a"], object), np.zeros(1, "M8[s]"), np.zeros(1, "c8")])
def test_columns_without_a_digest(values: Any) -> None:
    with pytest.raises(LayerError) as e:
        digest.of_table(Table({"a": values}))
    assert e.value.rule == "digest-dtype"


def graph() -> Graph:
    return Graph(("y", "x"), np.array([[0, 1], [2, 3.5]]), np.array([[0, 1]]), {"r": np.ones(2)}, {}, ("um", "um"))


def test_graphs() -> None:
    one = graph()
    others = [
        replace(one, positions=one.positions + 1),
        replace(one, edges=one.edges[:, ::-1]),
        replace(one, edges=one.edges[:0]),
        replace(one, node_props={"r": np.ones(2, "f4")}),
        replace(one, node_props={"r": np.ones((2, 1))}),
        replace(one, edge_props={"w": np.ones(1)}),
        replace(one, units=("px", "px")),
        replace(one, axes=("x", "y")),
        replace(one, frame="stage"),
    ]
    assert len({digest.of_graph(g) for g in [one, *others]}) == 1 + len(others)
    assert digest.of_layer(one) == digest.of_graph(graph())


def shapes() -> Shapes:
    mask = Shape("mask", np.zeros((1, 2)), "m", mask=np.eye(3, dtype=bool))
    return Shapes(("y", "x"), (mask, Shape("point", np.ones((1, 2)), flags={"crowd": True})))


def test_shapes() -> None:
    one = shapes()
    mask, point = one.items
    others = [
        replace(one, items=(point, mask)),
        replace(one, items=(mask,)),
        replace(one, items=(replace(mask, mask=np.ones((3, 3), bool)), point)),
        replace(one, items=(replace(mask, mask=np.eye(3, dtype=bool).reshape(1, 9)), point)),
        replace(one, items=(mask, replace(point, flags={}))),
        replace(one, items=(mask, replace(point, name=""))),
        replace(one, items=(mask, replace(point, vertices=np.zeros((1, 2))))),
        replace(one, frame="stage"),
    ]
    assert len({digest.of_shapes(s) for s in [one, *others]}) == 1 + len(others)
    assert digest.of_layer(one) == digest.of_shapes(shapes())
    assert digest.of_layer(table()) == digest.of_table(table())
    assert digest.of_layer(image()) == digest.of_image(image())
