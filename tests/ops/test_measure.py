"""Measurements: laws, discs and boxes, scikit-image's regionprops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import regionprops
from tests.ops.scenes import discs

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.measure import measure

QUICK = settings(deadline=None, max_examples=40)
LABELS = hnp.arrays(
    np.uint16, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9), elements=st.integers(0, 5)
)


@QUICK
@given(LABELS)
def test_it_equals_regionprops(lab: NDArray[np.uint16]) -> None:
    img = np.random.default_rng(lab.size).integers(0, 4000, lab.shape).astype(np.uint16)
    got = measure(lab, img)
    want = regionprops(lab, img)  # type: ignore[no-untyped-call]
    axes = "zyx"[-lab.ndim :]
    assert got["label"].tolist() == [r.label for r in want]
    for i, r in enumerate(want):
        assert got["pixels"][i] == r.area
        assert [got[f"centroid_{a}"][i] for a in axes] == pytest.approx(r.centroid)
        assert tuple(int(got[f"{end}_{a}"][i]) for end in ("start", "stop") for a in axes) == r.bbox
        assert got["extent"][i] == pytest.approx(r.extent)
        assert got["diameter"][i] == pytest.approx(r.equivalent_diameter_area)
        assert got["mean"][i] == pytest.approx(r.intensity_mean)
        assert (got["least"][i], got["most"][i]) == (r.intensity_min, r.intensity_max)
        if lab.ndim == 2:
            alone = regionprops(np.pad(r.image, 1).astype(np.uint8))[0]  # type: ignore[no-untyped-call]
            assert got["perimeter"][i] == pytest.approx(alone.perimeter)
            # Its ellipse is that of the pixel centres, ours that of the pixels: a square has a variance of 1/12.
            for name, theirs in (("major", r.axis_major_length), ("minor", r.axis_minor_length)):
                assert got[name][i] ** 2 - 16 / 12 == pytest.approx(theirs**2, abs=1e-6)


@QUICK
@given(LABELS, st.permutations(range(1, 6)))
def test_other_numbers_are_other_rows_and_nothing_else(lab: NDArray[np.uint16], to: list[int]) -> None:
    renamed = np.array([0, *to])[lab]
    here, there = measure(lab), measure(renamed)
    order = np.argsort([to[k - 1] for k in here["label"]], kind="stable") if here["label"].size else np.empty(0, int)
    for name in here:
        if name != "label":
            assert np.allclose(here[name][order].astype(float), there[name].astype(float), equal_nan=True), name


def test_a_disc_is_round_and_a_bar_is_not() -> None:
    lab = discs((60, 60), [(30, 30, 20, 1)])[1]
    row = measure(lab)
    assert row["diameter"][0] == pytest.approx(40, rel=0.02)
    assert row["roundness"][0] == pytest.approx(1, abs=0.1)
    assert row["eccentricity"][0] == pytest.approx(0, abs=0.05)
    assert not row["at_edge"][0]
    bar = np.zeros((20, 60), int)
    bar[8:12, 10:50] = 3
    row = measure(bar)
    assert (row["major"][0], row["minor"][0]) == pytest.approx((40 * 2 / 3**0.5, 4 * 2 / 3**0.5), rel=0.01)


def test_lengths_follow_the_spacing() -> None:
    lab = np.pad(np.ones((4, 8), int), 2)
    plain, half = measure(lab), measure(lab, spacing=(0.5, 0.5))
    assert half["area"][0] == plain["area"][0] / 4
    for name in ("perimeter", "major", "minor", "diameter", "centroid_y", "centroid_x"):
        assert half[name][0] == pytest.approx(plain[name][0] / 2)
    assert half["roundness"][0] == pytest.approx(plain["roundness"][0])
    square = measure(lab, spacing=(2.0, 1.0))
    assert square["major"][0] == pytest.approx(square["minor"][0])
    assert np.isnan(square["perimeter"][0])
    assert measure(lab, spacing=(0.5, None))["area"][0] == plain["area"][0]
    assert measure(np.ones((2, 3, 4), int), spacing=(1.0, 0.5, 0.5))["volume"].tolist() == [6.0]


def test_large_numbers_and_gaps_in_them_cost_nothing() -> None:
    lab = np.array([[0, 2**40], [7, 7]])
    assert measure(lab)["label"].tolist() == [7, 2**40]
    assert measure(lab)["pixels"].tolist() == [2, 1]


def test_no_objects_no_rows() -> None:
    for lab in (np.zeros((5, 5), int), np.zeros((0, 3), int), np.zeros((1, 2, 3), np.uint8)):
        rows = measure(lab, np.zeros(lab.shape))
        assert {v.shape for v in rows.values()} == {(0,)}


@pytest.mark.parametrize(
    ("lab", "img"),
    [
        (np.ones((2, 2)), None),
        (np.full((2, 2), -1), None),
        (np.ones((2, 2, 2, 2), int), None),
        (np.ones((2, 2), int), np.ones((2, 3))),
        (np.ones((2, 2), int), np.full((2, 2), np.nan)),
    ],
)
def test_what_cannot_be_measured_is_refused(lab: NDArray[Any], img: NDArray[Any] | None) -> None:
    with pytest.raises(LayerError):
        measure(lab, img)


@pytest.mark.parametrize("spacing", [(1.0,), (0.0, 1.0), (float("nan"), 1.0)])
def test_a_spacing_that_cannot_be_meant_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError):
        measure(np.ones((2, 2), int), spacing=spacing)
