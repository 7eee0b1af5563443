"""Outlines: half heights, whole pieces, filled holes, steepness."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.ops.outline import filled_holes, heights, outlined, steepness, whole

QUICK = settings(deadline=None, max_examples=50)


@QUICK
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_filled_holes_are_scipys(mask: NDArray[np.bool_]) -> None:
    assert np.array_equal(filled_holes(mask), ndimage.binary_fill_holes(mask))


@QUICK
@given(hnp.arrays(np.int32, (7, 9), elements=st.integers(0, 4)), st.sampled_from([0.0, 0.5, 0.75, 1.0]))
def test_heights_are_order_statistics(lab: NDArray[np.int32], quantile: float) -> None:
    light = np.random.default_rng(1).random(lab.shape).astype(np.float32)
    got = heights(lab, light, quantile=quantile)
    for k in range(1, int(lab.max()) + 1):
        own = np.sort(light[lab == k])
        want = own[min(int(quantile * own.size), own.size - 1)] if own.size else 0
        assert abs(got[k] - want) < 1e-4


@QUICK
@given(hnp.arrays(np.int32, (8, 8), elements=st.integers(0, 3)))
def test_objects_are_in_one_piece_without_holes(lab: NDArray[np.int32]) -> None:
    out = whole(lab)
    for k in range(1, int(lab.max()) + 1):
        assert ndimage.label(out == k)[1] <= 1
        others = (lab != 0) & (lab != k)
        assert not ((out == k) & others).any()


def test_a_cone_ends_at_half_its_upper_quartile() -> None:
    y, x = np.mgrid[-20:21, -20:21]
    cone = np.maximum(0, 100 - 5 * np.hypot(y, x)).astype(np.float32)
    out = outlined((cone > 0).astype(np.int32), cone, share=0.5, area=1)
    assert 24 < cone[out == 1].min() < 40
    assert not outlined((cone > 0).astype(np.int32), cone, share=0.5, area=2000).any()


def test_an_object_in_the_hole_of_another_stays() -> None:
    lab = np.ones((7, 7), np.int32)
    lab[2:5, 2:5] = 0
    lab[3, 3] = 2
    assert (whole(lab) == 2).sum() == 1


def test_steepness_is_the_gradient_at_the_rim() -> None:
    ramp = np.arange(12, dtype=np.float32)[None, :].repeat(9, axis=0) * 3
    lab = np.zeros((9, 12), np.int32)
    lab[3:6, 4:8] = 1
    assert steepness(lab, ramp).tolist() == [0.0, 3.0]
    assert steepness(np.ones((3, 3), np.int32), ramp[:3, :3]).tolist() == [0.0, np.inf]
    assert steepness(np.zeros((3, 3), np.int32), ramp[:3, :3]).tolist() == [0.0]
