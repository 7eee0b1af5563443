"""The compiled level is the reference's, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.core import pyramid
from corpuscle.kernels.coarser import downsample

WHOLE = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">u2"]
FLOAT = ["f2", "f4", "f8"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], tuple[int, ...], bool]:
    labels = draw(st.booleans())
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    shape[-1] = draw(st.just(shape[-1]) | st.sampled_from([31, 64, 67]))
    step = tuple(draw(st.sampled_from([1, 2])) for _ in shape)
    dtype = np.dtype(draw(st.sampled_from(WHOLE if labels else WHOLE + FLOAT)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "f":
        powers = draw(st.integers(0, 4))
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-powers, powers, shape, endpoint=True)
        odd = rng.random(shape)
        values[odd < 0.05], values[odd > 0.95] = np.nan, np.inf
        values[(odd > 0.5) & (odd < 0.55)] = -0.0
        return values.astype(dtype), step, False
    if dtype.kind == "b":
        return rng.random(shape) < 0.5, step, labels
    ends: Any = np.iinfo(dtype.newbyteorder("=").type)
    if labels:
        low = draw(st.sampled_from([0, max(int(ends.min), -2)]))
        return rng.integers(low, draw(st.integers(1, 4)), shape).astype(dtype), step, True
    narrow = draw(st.booleans())
    low, high = (0, 3) if narrow else (int(ends.min), int(ends.max))
    return rng.integers(low, high, shape, dtype=ends.dtype, endpoint=True).astype(dtype), step, False


@settings(max_examples=500)
@given(cases())
def test_it_answers_what_the_reference_answers(case: tuple[NDArray[Any], tuple[int, ...], bool]) -> None:
    pixels, step, labels = case
    before = pixels.tobytes()
    with np.errstate(all="ignore"):
        expected = pyramid.downsample(pixels, step, labels=labels)
        found = downsample(pixels, step, labels=labels)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if pixels.dtype.kind == "f":
        absent = np.isnan(expected)
        assert np.array_equal(np.isnan(found), absent)  # of a nan only that it is one
        found, expected = np.where(absent, 0, found), np.where(absent, 0, expected)
    assert found.tobytes() == expected.tobytes()
    assert pixels.tobytes() == before


@pytest.mark.parametrize("labels", [True, False])
def test_a_part_of_an_array_gives_the_same_as_a_copy_of_it(labels: bool) -> None:
    whole = np.random.default_rng(0).integers(0, 3, (20, 30, 90)).astype(np.uint16)
    part = whole[3:14, 1:30, 5:80:2]
    assert np.array_equal(downsample(part, (2, 2, 2), labels=labels), downsample(part.copy(), (2, 2, 2), labels=labels))


@pytest.mark.parametrize("labels", [True, False])
def test_pieces_cut_at_even_places_give_the_pieces_of_the_whole(labels: bool) -> None:
    whole = np.random.default_rng(0).integers(0, 4, (9, 21, 67)).astype(np.uint32)
    expected = downsample(whole, (2, 1, 2), labels=labels)
    for z, x in ((0, 0), (4, 32), (8, 66)):
        piece = downsample(whole[z:, :, x:], (2, 1, 2), labels=labels)
        assert np.array_equal(piece, expected[z // 2 :, :, x // 2 :])


def test_steps_that_are_not_done_here_are_left_to_the_reference() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (6, 7, 9)).astype(np.uint8)
    assert np.array_equal(
        downsample(labels, (3, 1, 3), labels=True), pyramid.downsample(labels, (3, 1, 3), labels=True)
    )
    with pytest.raises(ValueError, match="halves at most"):
        downsample(labels, (3, 1, 1), labels=False)
    assert downsample(np.zeros((0, 4), np.uint8), (1, 2), labels=False).shape == (0, 2)
