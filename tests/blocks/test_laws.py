"""Cutting a volume into blocks never changes the answer, byte for byte."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.memory import Memory
from corpuscle.blocks.merge import Claim, Collect, Paste, Reduce, Stitch
from corpuscle.blocks.region import Projection, Warp
from corpuscle.blocks.run import run
from corpuscle.blocks.step import Blockwise
from corpuscle.core import Box, Graph, Image, Record, Space, Table, px
from corpuscle.ops.warp import warp
from corpuscle.store.ledger import Ledger

COUNTER = itertools.count()
masks = arrays(np.uint8, st.tuples(*[st.integers(1, 8)] * 3), elements=st.integers(0, 1))
blocks = st.integers(3, 6)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(tmp: Path, step: Blockwise, pixels: NDArray[Any], block: tuple[int, ...] | None, axes: str = "zyx") -> Any:
    place = tmp / str(next(COUNTER))
    shelf = Memory(place / "scratch", {"r": Record("r", {}, {"raw": Image(pixels, Space(axes))})})
    with Ledger(place / "ledger") as ledger:
        receipt = run([step], shelf, Conditions(Local(1), ledger, block=block))
    assert receipt.ok, receipt.failures
    return shelf.record("r")[step.writes]


def components(pixels: NDArray[Any], *, reach: int) -> NDArray[np.int32]:
    labels, _ = ndimage.label(pixels, ndimage.generate_binary_structure(pixels.ndim, reach))
    return np.asarray(labels, np.int32)


def by_first_voxel(labels: NDArray[Any]) -> NDArray[np.int64]:
    ids, first = np.unique(labels, return_index=True)
    rank = {int(i): 0 for i in ids}
    for n, k in enumerate(sorted(range(len(ids)), key=lambda k: first[k] if ids[k] else -1)):
        rank[int(ids[k])] = n if 0 in ids else n + 1
    rank[0] = 0
    return np.asarray(np.vectorize(rank.__getitem__, otypes=[np.int64])(labels), np.int64)


@pytest.mark.parametrize("reach", [1, 2, 3])
@given(mask=masks, block=blocks, halo=st.integers(1, 3))
@quick
def test_stitched_components_are_those_of_the_whole(
    reach: int, mask: NDArray[Any], block: int, halo: int, tmp_path: Path
) -> None:
    step = Blockwise(partial(components, reach=reach), "raw", "cells", halo=px(halo), merge=Stitch(), labels_of="raw")
    cells = outcome(tmp_path, step, mask, (block,) * 3)
    np.testing.assert_array_equal(cells.read(), by_first_voxel(components(mask, reach=reach)))


@given(mask=masks, block=blocks)
@quick
def test_a_pasted_filter_is_the_filter_of_the_whole(mask: NDArray[Any], block: int, tmp_path: Path) -> None:
    op = partial(ndimage.maximum_filter, size=3)
    out = outcome(tmp_path, Blockwise(op, "raw", "out", halo=px(1), merge=Paste()), mask, (block,) * 3)
    np.testing.assert_array_equal(out.read(), op(mask))


@given(mask=masks, block=blocks)
@quick
def test_collected_points_are_each_kept_once(mask: NDArray[Any], block: int, tmp_path: Path) -> None:
    points = outcome(tmp_path, Blockwise(np.argwhere, "raw", "pts", halo=px(2), merge=Collect()), mask, (block,) * 3)
    assert isinstance(points, Graph)
    np.testing.assert_array_equal(points.positions, np.argwhere(mask).astype(float))


def histogram(pixels: NDArray[Any]) -> NDArray[np.int64]:
    return np.bincount(pixels.ravel(), minlength=2)


def as_table(counts: NDArray[np.int64]) -> Table:
    return Table({"count": counts})


@given(mask=masks, block=blocks)
@quick
def test_a_folded_histogram_is_that_of_the_whole(mask: NDArray[Any], block: int, tmp_path: Path) -> None:
    step = Blockwise(histogram, "raw", "counts", merge=Reduce(np.add, as_table))
    table = outcome(tmp_path, step, mask, (block,) * 3)
    np.testing.assert_array_equal(table["count"], histogram(mask))


def discs(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """Touching compact objects told apart by their value: what a net or a watershed would answer."""
    labels = np.zeros(pixels.shape, np.int32)
    n = 0
    for value in np.unique(pixels[pixels > 0]):
        parts, k = ndimage.label(pixels == value)
        labels[parts > 0] = parts[parts > 0] + n
        n += k
    return labels


@given(
    centres=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=25),
    block=st.integers(11, 40),
)
@quick
def test_claimed_objects_are_those_of_the_whole(centres: list[tuple[int, int]], block: int, tmp_path: Path) -> None:
    pixels = np.zeros((40, 40), np.uint8)
    for i, (y, x) in enumerate(centres):
        pixels[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = i + 1
    # Two squares of one value never meet: each has its own. Cut by later ones they stay within 5 x 5.
    step = Blockwise(discs, "raw", "cells", halo=px(6), axes="yx", merge=Claim(), labels_of="raw")
    cells = outcome(tmp_path, step, pixels, (block, block), axes="yx")
    np.testing.assert_array_equal(cells.read(), by_first_voxel(discs(pixels)))


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)), block=st.integers(1, 6))
@quick
def test_axes_the_op_does_not_see_are_taken_one_by_one(shape: tuple[int, ...], block: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint16)
    op = partial(ndimage.uniform_filter, size=3)
    out = outcome(tmp_path, Blockwise(op, "raw", "out", halo=px(1), axes="yx"), pixels, (block, block), axes="tyx")
    np.testing.assert_array_equal(out.read(), np.stack([op(p) for p in pixels]))


@given(values=arrays(np.uint8, st.tuples(*[st.integers(1, 14)] * 2), elements=st.integers(0, 3)), block=blocks)
@quick
def test_flat_components_of_equal_values_are_those_of_the_whole(
    values: NDArray[Any], block: int, tmp_path: Path
) -> None:
    step = Blockwise(
        partial(of_value, connectivity=8), "raw", "cells", halo=px(1), axes="yx", merge=Stitch(), labels_of="raw"
    )
    cells = outcome(tmp_path, step, values, (block, block), axes="yx")
    np.testing.assert_array_equal(cells.read(), by_first_voxel(of_value(values, connectivity=8)))


def of_value(values: NDArray[Any], *, connectivity: int) -> NDArray[np.int32]:
    """Components of each value on its own, one after the other."""
    near = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    out = np.zeros(values.shape, np.int32)
    for value in (1, 2, 3):
        parts, _ = ndimage.label(values == value, near)
        out[parts > 0] = parts[parts > 0] + out.max()
    return out


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    block=st.integers(3, 7),
    turn=st.sampled_from(
        [((1.0, 0.0, 0.25), (0.0, 1.0, -0.75)), ((0.6, 0.8, 1.5), (-0.8, 0.6, 3.1)), ((2, 0, 0), (0, 0.5, 0))]
    ),
)
@quick
def test_a_warp_is_that_of_the_whole(
    shape: tuple[int, ...], block: int, turn: tuple[tuple[float, ...], ...], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 999, shape).astype(np.uint16)
    to = Warp(turn, (9, 11))
    step = Blockwise(partial(warp, matrix=turn), "raw", "moved", axes="yx", region=to)
    out = outcome(tmp_path, step, pixels, (block, block), axes="yx")
    whole = warp(pixels, matrix=turn, corner=(0, 0), target=Box((0, 0), (9, 11)))
    np.testing.assert_array_equal(out.read(), whole)


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), block=st.integers(3, 5))
@quick
def test_a_projection_is_that_of_the_whole(shape: tuple[int, ...], block: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 999, shape).astype(np.uint16)
    step = Blockwise(partial(np.max, axis=0), "raw", "flat", region=Projection("z"))
    out = outcome(tmp_path, step, pixels, (block, block))
    np.testing.assert_array_equal(out.read(), pixels.max(0))


def kept(labels: NDArray[Any], sizes: Table, *, least: int) -> NDArray[Any]:
    large = np.concatenate([[False], sizes["voxels"] >= least])
    return np.where(large[labels], labels, 0)


def test_a_table_is_handed_over_whole(tmp_path: Path) -> None:
    labels = np.arange(60, dtype=np.int32).reshape(3, 4, 5) % 4
    sizes = Table({"voxels": np.array([5, 50, 500])})
    shelf = Memory(
        tmp_path, {"r": Record("r", {}, {"cells": Image(labels, Space("zyx"), labels_of="raw"), "sizes": sizes})}
    )
    step = Blockwise(partial(kept, least=50), ("cells", "sizes"), "large", labels_of="raw")
    with Ledger(tmp_path / "ledger") as ledger:
        assert run([step], shelf, Conditions(Local(1), ledger, block=(2, 2, 2))).ok
    np.testing.assert_array_equal(shelf.record("r").image("large").read(), np.where(labels > 1, labels, 0))
