"""Otsu's threshold against scikit-image's and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from tests.ops.scenes import field

from corpuscle.ops.threshold import otsu

QUICK = settings(deadline=None, max_examples=40)


@QUICK
@given(st.lists(st.integers(0, 300), min_size=2, max_size=60).filter(lambda v: len(set(v)) > 1))
def test_no_other_split_parts_the_classes_further(values: list[int]) -> None:
    img = np.array(values, np.uint16)

    def between(t: float) -> float:
        low, high = img[img <= t].astype(float), img[img > t].astype(float)
        return float(low.size * high.size * (low.mean() - high.mean()) ** 2)

    best = max(between(t) for t in sorted(set(values))[:-1])
    assert between(otsu(img)) >= best * (1 - 1e-12)


@QUICK
@given(st.integers(2, 9), st.integers(0, 1000))
def test_it_follows_a_linear_change_of_intensity(gain: int, offset: int) -> None:
    img = field(1, shape=(48, 48))
    changed = img.astype(np.int64) * gain + offset
    assert np.array_equal(changed > otsu(changed), img > otsu(img))


def test_it_equals_scikit_image() -> None:
    for seed in range(3):
        img = field(seed, shape=(64, 64))
        for kind in (img, img.astype(np.uint8), img.astype(np.float64) / 7):
            assert otsu(kind) == pytest.approx(threshold_otsu(kind), abs=1e-9)  # type: ignore[no-untyped-call]


def test_there_is_none_without_contrast() -> None:
    for img in (np.zeros((0, 3)), np.full((4, 4), 3), np.ones((1, 1), bool)):
        assert np.isnan(otsu(img))
    assert np.array_equal(np.array([[False, True]]) > otsu(np.array([[False, True]])), [[False, True]])


def test_a_pedestal_costs_no_digits() -> None:
    img = np.array([0, 1, 2, 100, 101, 102], np.int64)
    assert otsu(img + 10**12) == otsu(img) + 10**12


def test_the_widest_integers_are_split_too() -> None:
    img = np.array([0, 5, 2**64 - 1, 2**64 - 9], np.uint64)
    assert (img > otsu(img)).tolist() == [False, False, True, True]
    low = np.array([-(2**63), -(2**63) + 5, 2**62], np.int64)
    assert (low > otsu(low)).tolist() == [False, False, True]
