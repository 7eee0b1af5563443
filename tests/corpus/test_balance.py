from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus.balance import balance


def off(sizes: list[int], target: list[float], where: tuple[int, ...]) -> float:
    sums = [sum(s for s, w in zip(sizes, where, strict=True) if w == p) for p in range(len(target))]
    return sum(abs(a - b) for a, b in zip(sums, target, strict=True))


@given(st.lists(st.integers(1, 9), min_size=3, max_size=7), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_move_and_no_exchange_helps(sizes: list[int], seed: int) -> None:
    target = [sum(sizes) * f for f in (0.6, 0.2, 0.2)]
    order = np.random.default_rng(seed).permutation(len(sizes))
    where = tuple(balance(np.array(sizes, float)[:, None], np.array(target)[:, None], order).tolist())
    assert set(where) == {0, 1, 2}
    got = off(sizes, target, where)
    changed = [[*where] for _ in range(1)]
    for i, p in itertools.product(range(len(sizes)), range(3)):
        changed.append([*where[:i], p, *where[i + 1 :]])
    for i, j in itertools.combinations(range(len(sizes)), 2):
        other = [*where]
        other[i], other[j] = other[j], other[i]
        changed.append(other)
    assert all(off(sizes, target, tuple(w)) >= got - 1e-5 for w in changed if set(w) == {0, 1, 2})


def test_where_a_perfect_deal_is_one_exchange_away_it_is_found() -> None:
    sizes = np.array([7, 5, 4, 4, 3, 2, 2, 2, 1], float)[:, None]
    where = balance(sizes, np.array([[18.0], [6.0], [6.0]]), np.arange(9))
    assert np.bincount(where, sizes[:, 0]).tolist() == [18, 6, 6]


def test_the_second_column_is_levelled_without_spoiling_the_first() -> None:
    # Twenty groups of three records; ten of them are treated.
    sizes = np.array([[3, 3 * (i < 10)] for i in range(20)], float)
    target = np.outer([0.6, 0.2, 0.2], sizes.sum(axis=0))
    where = balance(sizes, target, np.arange(20))
    sums = np.array([sizes[where == p].sum(axis=0) for p in range(3)])
    assert np.array_equal(sums, target)
