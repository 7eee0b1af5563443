from __future__ import annotations

import time
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tests.metrics.cases import mosaic, pairs

from corpuscle.metrics.overlap import overlap

Labels = NDArray[np.int64]
SHAPES = array_shapes(min_dims=1, max_dims=3, max_side=8)


def two() -> st.SearchStrategy[tuple[Labels, Labels]]:
    return SHAPES.flatmap(
        lambda s: st.tuples(*(arrays(np.int64, s, elements=st.sampled_from([0, 1, 2, 5, 9])) for _ in "tg"))
    )


def dense(truth: Labels, guess: Labels) -> NDArray[np.int64]:
    names_t, names_g = np.unique(truth[truth > 0]), np.unique(guess[guess > 0])
    return np.array([[((truth == a) & (guess == b)).sum() for b in names_g] for a in names_t]).reshape(
        len(names_t), len(names_g)
    )


@given(two())
@settings(max_examples=60, deadline=None)
def test_the_table_is_what_counting_by_hand_gives(both: tuple[Labels, Labels]) -> None:
    table = overlap(*both)
    want = dense(*both)
    got = np.zeros_like(want)
    got[table.truth, table.guess] = table.inter
    assert np.array_equal(got, want)
    assert (table.inter > 0).all()
    assert table.truth_area.sum() == (both[0] > 0).sum()
    assert table.guess_area.tolist() == [(both[1] == b).sum() for b in np.unique(both[1][both[1] > 0])]


@given(two())
@settings(max_examples=100, deadline=None)
def test_the_pairing_has_the_largest_total_iou_and_is_one_to_one(both: tuple[Labels, Labels]) -> None:
    table = overlap(*both)
    taken = table.assign()
    assert len(set(table.truth[taken])) == len(set(table.guess[taken])) == taken.sum()
    iou = np.zeros((len(table.truth_area), len(table.guess_area)))
    iou[table.truth, table.guess] = table.inter / table.union
    best = iou[linear_sum_assignment(-iou)].sum()
    # A tie-break worth at most 1e-7 a pair may give way by that much and no more.
    assert abs((table.inter / table.union)[taken].sum() - best) <= 1e-6


def test_the_pairing_of_two_mosaics_is_that_of_the_dense_solver() -> None:
    for n in (15, 60, 200):
        table = overlap(mosaic(n, n), mosaic(n + 1, n))
        iou = np.zeros((len(table.truth_area), len(table.guess_area)))
        iou[table.truth, table.guess] = table.inter / table.union
        best = iou[linear_sum_assignment(-iou)].sum()
        assert abs((table.inter / table.union)[table.assign()].sum() - best) <= 1e-6


def test_huge_labels_and_small_ones_give_one_table() -> None:
    for _, t, g in pairs():
        small, huge = overlap(t, g), overlap(t.astype(np.uint64) << np.uint64(20), g.astype(np.uint64) << np.uint64(21))
        for name in ("truth", "guess", "inter", "truth_area", "guess_area"):
            assert np.array_equal(getattr(small, name), getattr(huge, name))


def test_the_largest_label_there_is() -> None:
    top = np.array([0, 2**64 - 1, 2**64 - 1, 2**63], np.uint64)
    assert overlap(top, top).truth_area.tolist() == [1, 2]


def test_an_image_without_pixels() -> None:
    nothing = np.zeros((0, 5), np.uint8)
    table = overlap(nothing, nothing)
    assert len(table.inter) == len(table.truth_area) == 0
    assert table.assign().shape == (0,)
    assert table.identical


def test_half_a_million_specks_cost_neither_minutes_nor_a_dense_table() -> None:
    side = 1000
    every_other = np.arange(side * side).reshape(side, side)
    specks = np.where(every_other % 2 == 0, every_other + 1, 0)
    blocks: NDArray[Any] = (np.arange(side)[:, None] // 50) * 20 + np.arange(side)[None] // 50 + 1
    start = time.perf_counter()
    table = overlap(blocks, specks)
    assert table.assign().sum() == 400
    assert len(table.inter) == 500_000
    assert time.perf_counter() - start < 5
