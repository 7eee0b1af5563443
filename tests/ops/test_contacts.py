"""Who touches whom: laws, a drawing, and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.contacts import contacts, gaps

QUICK = settings(deadline=None, max_examples=50)
SMALL = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6), elements=st.integers(0, 4)
)


def brute(lab: NDArray[np.uint8]) -> dict[tuple[int, int], float]:
    best: dict[tuple[int, int], float] = {}
    where = np.argwhere(lab)
    for p in where:
        for q in where:
            a, b = int(lab[tuple(p)]), int(lab[tuple(q)])
            if a < b:
                best[a, b] = min(best.get((a, b), np.inf), float(np.sqrt(((p - q) ** 2).sum())))
    return best


@QUICK
@given(SMALL)
def test_pairs_and_gaps_are_those_of_brute_force(lab: NDArray[np.uint8]) -> None:
    near = brute(lab)
    touch = contacts(lab)
    pairs = list(zip(touch["first"].tolist(), touch["second"].tolist(), strict=True))
    assert pairs == sorted(k for k, v in near.items() if v <= np.sqrt(lab.ndim) + 1e-9)
    assert ((touch["pairs"] > 0) == [near[p] == 1 for p in pairs]).all()
    found = gaps(lab, within=2.5)
    got = {(a, b): g for a, b, g in zip(found["first"], found["second"], found["gap"], strict=True)}
    assert got == pytest.approx({k: v for k, v in near.items() if v <= 2.5})


@QUICK
@given(SMALL)
def test_flips_change_nothing(lab: NDArray[np.uint8]) -> None:
    here, there = contacts(lab), contacts(lab[::-1])
    assert all(np.array_equal(here[k], there[k]) for k in here)


def test_lengths_follow_the_spacing() -> None:
    lab = np.array([[1, 1], [2, 2]])
    assert contacts(lab, spacing=(3.0, 0.5))["length"].tolist() == [1.0]
    assert contacts(lab.T, spacing=(3.0, 0.5))["length"].tolist() == [6.0]
    assert contacts(lab, spacing=(3.0, None))["length"].tolist() == [2.0]
    assert contacts(np.stack([lab, lab]), spacing=(2.0, 1.0, 0.5))["length"].tolist() == [4.0]
    assert gaps(lab, within=5, spacing=(3.0, 0.5))["gap"].tolist() == [3.0]


def test_nothing_touches_in_an_empty_image() -> None:
    for lab in (np.zeros((0, 3), int), np.zeros((4, 4), int), np.ones((1, 1), int)):
        assert contacts(lab)["first"].size == 0
        assert gaps(lab, within=3)["gap"].size == 0


@pytest.mark.parametrize("bad", [np.ones((2, 2)), np.full((2, 2), -1), np.ones(3, int)])
def test_what_is_not_labels_is_refused(bad: NDArray[np.int64]) -> None:
    with pytest.raises(LayerError):
        contacts(bad)
    with pytest.raises(SettingsError):
        contacts(np.ones((2, 2), int), spacing=(1.0,))
