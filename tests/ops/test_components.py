"""Objects of a volume that is cut: the tallies of its blocks add up to those of the whole, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.core import Box, Space
from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.components import Tallies, components, join, joined, larger_than, sizes, table
from corpuscle.ops.measure import measure

COLUMNS = ("label", "voxels", "start", "stop", "moment", "total")


def volume(seed: int, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, shape) * 10 ** rng.integers(0, 12)
    return labels, rng.integers(0, 2**16, shape, np.uint16)


def same(a: Tallies, b: Tallies) -> bool:
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in COLUMNS)


@settings(max_examples=150)
@given(
    st.integers(0, 2**32), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 9), st.randoms(),
    st.booleans(),
)  # fmt: skip
def test_blocks_in_any_order_add_up_to_the_whole(
    seed: int, shape: list[int], side: int, random: Any, bright: bool
) -> None:
    labels, light = volume(seed, tuple(shape))
    whole = sizes(labels, light if bright else None)
    boxes = list(Box.of(shape).tiles((side,) * len(shape)))
    random.shuffle(boxes)
    parts = [sizes(labels[b.slices], light[b.slices] if bright else None, corner=b.start) for b in boxes]
    assert same(joined(parts), whole)
    one_by_one = parts[0]
    for part in parts[1:]:
        one_by_one = join(one_by_one, part)
    assert same(one_by_one, whole)
    assert (whole.total is not None) == bright


def test_a_table_tells_what_measure_tells() -> None:
    labels, light = volume(4, (7, 12, 15))
    labels = labels % 5
    space = Space("tzyx", scale=(None, 2.0, 0.5, 0.25))
    found = table(sizes(labels, light), space, about="nuclei")
    expected = measure(labels, light, spacing=(2.0, 0.5, 0.25))
    assert np.array_equal(found["voxels"], expected["pixels"])
    for name in ("label", "volume", "mean", *(f"{k}_{a}" for k in ("centroid", "start", "stop") for a in "zyx")):
        assert np.allclose(found[name], expected[name], rtol=1e-12), name
    assert found.about == "nuclei"
    assert (found.units["volume"], found.units["centroid_z"]) == ("um3", "um")


def test_positions_are_those_of_the_space() -> None:
    space = Space("yx", scale=(0.5, 2.0), origin=(10.0, -4.0))
    found = table(sizes([[0, 1, 1]]), space)
    assert (found["centroid_y"].tolist(), found["centroid_x"].tolist()) == ([10.0], [-1.0])
    assert table(sizes([[0, 1, 1]]), Space("yx")).units == {"area": "px2", "centroid_y": "px", "centroid_x": "px"}


def test_a_volume_of_nothing_has_a_table_without_rows() -> None:
    empty = sizes(np.zeros((3, 4), int))
    assert len(empty) == 0
    assert same(join(empty, empty), empty)
    assert len(table(empty)) == 0
    assert "mean" not in table(empty).columns


def test_objects_below_a_size_go_and_the_others_keep_their_numbers() -> None:
    labels, _ = volume(1, (9, 11, 13))
    found = table(sizes(labels))
    limit = int(np.median(found["voxels"]))
    kept = larger_than(labels, found, least=limit)
    expected = np.where(np.isin(labels, found["label"][found["voxels"] >= limit]), labels, 0)
    assert kept.dtype == labels.dtype
    assert np.array_equal(kept, expected)
    assert np.array_equal(larger_than(labels, found, least=limit * 1.0, column="volume"), expected)


def test_rows_of_a_table_in_any_order() -> None:
    labels = np.array([[5, 0, 9], [2, 2, 9]], np.uint8)
    rows = {"label": np.array([9, 2, 5, 77]), "voxels": np.array([2, 2, 1, 0])}
    assert larger_than(labels, rows, least=2).tolist() == [[0, 0, 9], [2, 2, 9]]


def test_components_take_what_touches_anywhere_unless_told() -> None:
    cube = np.zeros((2, 2, 2), bool)
    cube[0, 0, 0] = cube[1, 1, 1] = True
    assert components(cube).max() == 1
    assert components(cube, connectivity=18).max() == 2
    assert components(cube[0] | cube[1]).max() == 1
    assert components([0, 1, 1]).tolist() == [0, 1, 1]


@pytest.mark.parametrize("op", [components, sizes, larger_than])
def test_they_say_that_they_let_the_interpreter_go(op: Any) -> None:
    assert op.frees_lock


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: components(np.zeros((2, 2, 2, 2), bool)), "components-axes"),
        (lambda: components(np.zeros((2, 2))), "components-type"),
        (lambda: components(np.zeros((2, 2), bool), connectivity=6), "connectivity"),
        (lambda: sizes(np.zeros((2, 2), int), corner=(1, 2, 3)), "corner"),
        (lambda: sizes(np.zeros((2, 2), int), np.zeros((2, 2))), "tally-type"),
        (lambda: join(sizes([1]), sizes([[1]])), "tally-kinds"),
        (lambda: join(sizes([1]), sizes([1], [1])), "tally-kinds"),
        (lambda: joined([]), "tally-none"),
        (lambda: table(sizes([[1]]), Space("zyx")), "tally-space"),
        (lambda: larger_than([[7]], {"label": np.array([6]), "voxels": np.array([1])}, least=1), "label-missing"),
        (
            lambda: larger_than([[7]], {"label": np.array([], int), "voxels": np.array([], int)}, least=1),
            "label-missing",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Any, rule: str) -> None:
    with pytest.raises((LayerError, SettingsError)) as e:
        call()
    assert e.value.rule == rule


def test_sums_beyond_64_bits_are_told() -> None:
    huge = sizes(np.ones(2, int), np.array([2**31, 2**31]))
    near = Tallies(huge.label, huge.voxels, huge.start, huge.stop, huge.moment, np.array([2**62]))
    with pytest.raises(LayerError) as e:
        join(near, near)
    assert e.value.rule == "tally-size"
