from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corpuscle.metrics.instances import compare
from corpuscle.report.worst import KINDS, box_of, faults

labelings = arrays(np.int32, (7, 7), elements=st.integers(0, 4))


@given(labelings, labelings)
def test_splits_and_merges_are_those_that_the_metric_counts(truth: np.ndarray, guess: np.ndarray) -> None:
    found = faults(truth, guess)
    tally = compare(truth, guess)
    assert sum(f.kind == "split" for f in found) == tally.splits
    assert sum(f.kind == "merged" for f in found) == tally.merges


@given(labelings)
def test_a_perfect_guess_has_no_faults(truth: np.ndarray) -> None:
    assert faults(truth, truth * 3) == []


@given(labelings, labelings)
def test_the_worst_of_each_kind_comes_first(truth: np.ndarray, guess: np.ndarray) -> None:
    found = faults(truth, guess)
    assert [f.kind for f in found] == sorted((f.kind for f in found), key=list(KINDS).index)
    for kind in ("missed", "invented"):
        areas = [f.area for f in found if f.kind == kind]
        assert areas == sorted(areas, reverse=True)


def test_one_of_each() -> None:
    truth, guess = np.zeros((2, 40), int), np.zeros((2, 40), int)
    truth[:, 0:4] = 10
    truth[:, 6:12], guess[:, 6:9], guess[:, 9:12] = 20, 1, 2
    truth[:, 14:17], truth[:, 17:20], guess[:, 14:20] = 30, 40, 3
    truth[:, 22:26], guess[:, 23:26] = 50, 4
    guess[:, 30:33] = 5
    assert [(f.kind, f.label, f.partners) for f in faults(truth, guess)] == [
        ("missed", 10, 0),
        ("split", 20, 2),
        ("merged", 3, 2),
        ("outline", 50, 1),
        ("invented", 5, 0),
    ]


@given(st.integers(0, 29), st.integers(0, 19), st.integers(1, 60), st.integers(0, 9))
def test_a_crop_is_square_where_there_is_room_and_never_outside(y: int, x: int, least: int, margin: int) -> None:
    labels = np.zeros((30, 20), int)
    labels[y, x] = 7
    box = box_of(labels, 7, margin=margin, least=least, most=40)
    side = min(40, max(least, 1 + 2 * margin))
    assert box.shape == (min(30, side), min(20, side))
    assert box.start[0] <= y < box.stop[0] <= 30
    assert box.start[1] <= x < box.stop[1] <= 20
