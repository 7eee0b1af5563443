"""Joined ids: the smallest of each group, whatever the order in which pairs are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corpuscle.errors import LayerError
from corpuscle.kernels.forest import roots

PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30)


@given(PAIRS, st.randoms())
def test_the_order_of_pairs_and_of_their_ends_does_not_matter(pairs: list[tuple[int, int]], random: object) -> None:
    expected = roots(20, pairs)
    turned = [(b, a) for a, b in reversed(pairs)]
    assert np.array_equal(roots(20, turned), expected)
    assert np.array_equal(roots(20, [*pairs, *turned]), expected)


@given(PAIRS)
def test_each_leads_to_the_smallest_of_its_group(pairs: list[tuple[int, int]]) -> None:
    found = roots(20, pairs)
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    _, group = connected_components(coo_array((np.ones(len(ends)), ends.T), shape=(20, 20)), directed=False)
    for i in range(20):
        assert found[i] == np.flatnonzero(group == group[i])[0]


def test_a_chain_of_a_million_is_walked_in_no_time() -> None:
    n = 1_000_000
    chain = np.stack([np.arange(n - 1, 0, -1), np.arange(n - 2, -1, -1)], 1)
    assert not roots(n, chain).any()
    assert not roots(n, chain[::-1]).any()


def test_nobody_joined_is_everybody_alone() -> None:
    assert roots(3, []).tolist() == [0, 1, 2]
    assert roots(0, np.empty((0, 2), np.int64)).tolist() == []


@pytest.mark.parametrize("pairs", [[[0, 3]], [[-1, 0]], [[0, 1, 2]], [[0.5, 1.0]], [1, 2]])
def test_pairs_that_name_nobody_are_refused(pairs: list[object]) -> None:
    with pytest.raises(LayerError) as e:
        roots(3, np.asarray(pairs))
    assert e.value.rule == "pairs"
