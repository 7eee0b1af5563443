"""Percentile normalisation: the golden files, numpy's percentiles to the last bit, and the way back."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.realdata import real

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.clean import normalise, percentiles, restore

QUICK = settings(deadline=None, max_examples=60)
INTEGERS = (np.uint8, np.uint16, np.int16, np.int8, np.uint64, np.int64)


def pictures(kind: Any) -> Any:
    return hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, max_side=20))


@QUICK
@given(st.sampled_from(INTEGERS).flatmap(pictures), st.sampled_from([99.9, 99.0, 75.3, 50.0, 100.0]))
def test_percentiles_are_numpys_to_the_last_bit(img: NDArray[Any], high: float) -> None:
    near = int(img.max()) - int(img.min()) < 1 << 16
    # Signed types are widened first: numpy subtracts within the type, and overflows.
    same = img if near and img.dtype.kind == "u" else img.astype(np.int64 if near else np.float64)
    assert percentiles(img, high=high) == (np.percentile(same, 100 - high), np.percentile(same, high))


@QUICK
@given(pictures(np.uint16))
def test_what_was_not_clipped_comes_back_within_half_a_step(img: NDArray[np.uint16]) -> None:
    lo, hi = percentiles(img)
    back = restore(normalise(img), lo=lo, hi=hi)
    kept = (img >= lo) & (img <= hi)
    assert (np.abs(back - img)[kept] <= (hi - lo) / 510 * (1 + 1e-9) + 1e-9).all()


@QUICK
@given(pictures(np.uint16), st.integers(2, 7), st.integers(0, 50))
def test_a_linear_change_of_intensity_changes_at_most_one_level(
    img: NDArray[np.uint16], gain: int, offset: int
) -> None:
    changed = img.astype(np.int64) * gain + offset
    assert np.abs(normalise(changed).astype(int) - normalise(img)).max() <= 1


def test_a_table_and_arithmetic_agree() -> None:
    img = np.random.default_rng(0).integers(0, 4096, (200, 200)).astype(np.uint16)
    lo, hi = percentiles(img)
    by_hand = np.rint((np.clip(img.astype(float), lo, hi) - lo) / (hi - lo) * 255).astype(np.uint8)
    assert np.array_equal(normalise(img), by_hand)
    assert np.array_equal(normalise(img.astype(float)), by_hand)


@pytest.mark.parametrize("img", [np.full((5, 5), 7, np.uint16), np.zeros((1, 1)), np.zeros((0, 4), np.uint8)])
def test_an_image_without_contrast_becomes_zeros(img: NDArray[Any]) -> None:
    out = normalise(img)
    assert out.dtype == np.uint8
    assert out.shape == img.shape
    assert not out.any()


def test_booleans_are_zero_and_one() -> None:
    assert normalise(np.array([[True, False]])).tolist() == [[255, 0]]


@pytest.mark.parametrize("bad", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array(["a"]), np.array([1j])])
def test_what_is_not_a_picture_is_refused(bad: NDArray[Any]) -> None:
    for op in (percentiles, normalise):
        with pytest.raises(LayerError):
            op(bad)


def test_limits_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(SettingsError):
        normalise([[1, 2]], lo=float("nan"), hi=3)
    with pytest.raises(SettingsError):
        percentiles([[1, 2]], high=3)


def test_the_real_files_give_their_golden_images() -> None:
    folder = real("nuclei/cellomics")
    for entry in json.loads((folder / "golden.json").read_text(encoding="utf-8")):
        raw = (folder / entry["file"]).read_bytes()
        body = zlib.decompress(raw[4:]) if entry["file"].lower().endswith(".c01") else raw
        img = np.frombuffer(body, "<u2", 512 * 512, 52).reshape(512, 512)
        lo, hi = percentiles(img)
        assert (lo, hi) == (entry["p0_1"], entry["p99_9"]), entry["file"]
        digest = hashlib.sha256(normalise(img, lo=lo, hi=hi).tobytes()).hexdigest()
        assert digest == entry["sha256_u8_norm"], entry["file"]
