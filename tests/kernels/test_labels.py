"""Labels renumbered, replaced, met and counted: laws, then what NumPy says, then bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.errors import LayerError
from corpuscle.kernels.labels import dense, pairs, remap, tally

DTYPES = ["?", "u1", "i1", "u2", "i4", "u4", "i8", "u8", ">i4"]


def some(seed: int, shape: tuple[int, ...], dtype: str, kinds: int, *, far: bool = False) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    ends = np.iinfo(kind.newbyteorder("="))
    names = rng.integers(0 if not far else ends.min, ends.max, kinds, dtype=ends.dtype, endpoint=True)
    names = names if far else np.arange(1, kinds + 1).astype(kind)
    return (names[rng.integers(0, kinds, shape)] * (rng.random(shape) < 0.7)).astype(kind)


@st.composite
def volumes(draw: st.DrawFn) -> NDArray[Any]:
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=3)))
    return some(draw(st.integers(0, 2**32)), shape, draw(st.sampled_from(DTYPES)), draw(st.integers(1, 9)),
                far=draw(st.booleans()))  # fmt: skip


@given(volumes())
def test_dense_is_the_same_partition_in_the_order_of_first_voxels(labels: NDArray[Any]) -> None:
    found, first = dense(labels)
    flat = labels.ravel()
    assert found.dtype == np.int32
    assert found.shape == labels.shape
    assert np.array_equal(first, np.sort(first))
    assert np.array_equal(np.concatenate([np.zeros(1, labels.dtype), flat[first]])[found], labels)
    assert len(set(flat[first].tolist())) == len(first)
    ids, places = np.unique(flat, return_index=True)
    assert np.array_equal(first, np.sort(places[ids != 0]))


@given(volumes())
def test_dense_of_dense_is_itself(labels: NDArray[Any]) -> None:
    found, first = dense(labels)
    again, same = dense(found)
    assert np.array_equal(found, again)
    assert np.array_equal(first, same)


@pytest.mark.parametrize("far", [1, 10**12])
def test_dense_of_more_labels_than_it_made_room_for(far: int) -> None:
    labels = np.random.default_rng(0).permutation(200_000).astype(np.int64) * far
    found, first = dense(labels)
    nonzero = np.flatnonzero(labels)
    assert np.array_equal(first, nonzero)
    assert np.array_equal(found[nonzero], np.arange(1, len(nonzero) + 1))


@pytest.mark.parametrize("labels", ["u1", "i4", "u8"])
@pytest.mark.parametrize("table", ["?", "i2", "f4", "f8", "i8"])
def test_remap_is_indexing(labels: str, table: str) -> None:
    places = some(1, (7, 8, 9), labels, 90)
    entries = np.random.default_rng(2).integers(0, 99, 91).astype(table)
    assert np.array_equal(remap(places, entries), entries[places.astype(np.int64)])


@given(volumes(), st.integers(0, 2**32), st.sampled_from(DTYPES))
def test_pairs_are_what_lies_on_the_same_voxels(a: NDArray[Any], seed: int, dtype: str) -> None:
    b = some(seed, a.shape, dtype, 5, far=bool(seed % 2))
    if np.dtype(np.uint64) in (a.dtype, b.dtype):  # no type holds both what it and what a sign may say
        a, b = np.where(a < 0, 0, a).astype(a.dtype), np.where(b < 0, 0, b).astype(b.dtype)
    met, voxels = pairs(a, b)
    both = [(int(x), int(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True) if x and y]
    expected = sorted(set(both))
    assert [tuple(p) for p in met.tolist()] == expected
    assert voxels.tolist() == [both.count(p) for p in expected]


def test_pairs_take_memory_by_what_meets() -> None:
    """A million labels on either side: a table of all pairs would hold 10**12."""
    a = np.arange(1, 1_000_001, dtype=np.uint64)
    met, voxels = pairs(a << np.uint64(30), a[::-1])
    assert met.shape == (1_000_000, 2)
    assert (voxels == 1).all()
    assert np.array_equal(met[:, 0], a << np.uint64(30))


@settings(max_examples=200)
@given(volumes(), st.sampled_from(["?", "u1", "i2", "u4", "i8"]), st.integers(0, 2**32))
def test_a_tally_is_what_numpy_counts(labels: NDArray[Any], dtype: str, seed: int) -> None:
    values = some(seed, labels.shape, dtype, 9)
    found = tally(labels, values)
    assert found.total is not None
    ids = np.unique(labels)
    assert np.array_equal(found.label, ids[ids != 0])
    for k, label in enumerate(found.label):
        where = np.nonzero(labels == label)
        assert found.voxels[k] == len(where[0])
        assert found.start[k].tolist() == [int(i.min()) for i in where]
        assert found.stop[k].tolist() == [int(i.max()) + 1 for i in where]
        assert found.moment[k].tolist() == [int(i.sum()) for i in where]
        assert found.total[k] == values[where].astype(np.int64).sum()


def test_a_tally_of_more_labels_than_it_made_room_for() -> None:
    labels = np.arange(1, 50_001, dtype=np.uint32).reshape(10, 5000)
    found = tally(labels)
    assert found.total is None
    assert np.array_equal(found.label, np.arange(1, 50_001))
    assert (found.voxels == 1).all()
    assert np.array_equal(found.moment, np.stack(np.unravel_index(np.arange(50_000), labels.shape), 1))


def test_sums_are_exact_where_doubles_are_not() -> None:
    values = np.array([[2**32 - 1] * 5 + [1]], np.uint32)
    assert tally(np.ones((1, 6), np.int8), np.repeat(values, 1, 0)).total == [5 * (2**32 - 1) + 1]
    assert tally(np.ones((1, 2), np.int8), np.array([[-(2**31), -1]], np.int32)).total == [-(2**31) - 1]


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: dense(np.zeros(3)), "labels-float"),
        (lambda: remap(np.array([0, 3]), np.zeros(3)), "remap-range"),
        (lambda: remap(np.array([-1]), np.zeros(3)), "remap-range"),
        (lambda: remap(np.array([0]), np.zeros(0)), "remap-range"),
        (lambda: remap(np.array([0]), np.zeros((1, 1))), "remap-table"),
        (lambda: remap(np.array([0.5]), np.zeros(3)), "labels-float"),
        (lambda: pairs(np.zeros(3, int), np.zeros(4, int)), "shape-differs"),
        (lambda: pairs(np.zeros(3, int), np.zeros(3)), "labels-float"),
        (lambda: pairs(np.array([-1]), np.array([1], np.uint64)), "labels-negative"),
        (lambda: tally(np.zeros((1, 1, 1, 1), int)), "tally-axes"),
        (lambda: tally(np.zeros(3, int), np.zeros(4, int)), "shape-differs"),
        (lambda: tally(np.zeros(3, int), np.zeros(3)), "tally-type"),
        (lambda: tally(np.zeros(1, int), np.array([2**40])), "tally-size"),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Any, rule: str) -> None:
    with pytest.raises(LayerError) as e:
        call()
    assert e.value.rule == rule
