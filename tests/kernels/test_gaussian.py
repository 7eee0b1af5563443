"""Smoothing: the same however a volume is cut; what SciPy says; bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.errors import LayerError, SettingsError
from corpuscle.kernels.gaussian import gaussian, radius

DTYPES = ["u1", "u2", "i2", "i4", "f4", "f8"]


def pixels(seed: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.standard_normal(shape) * 100).astype(kind)
    ends = np.iinfo(kind)
    return rng.integers(ends.min, ends.max, shape, kind, endpoint=True)


@st.composite
def volumes(draw: st.DrawFn) -> tuple[NDArray[Any], tuple[float, ...]]:
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 24)) for _ in range(ndim))
    sigma = tuple(draw(st.sampled_from([0.0, 0.4, 0.8, 1.0, 1.7, 2.6])) for _ in range(ndim))
    return pixels(draw(st.integers(0, 2**32)), shape, draw(st.sampled_from(DTYPES))), sigma


@settings(max_examples=300)
@given(volumes(), st.data())
def test_a_block_with_its_rim_comes_out_as_the_whole_does(
    case: tuple[NDArray[Any], tuple[float, ...]], data: st.DataObject
) -> None:
    """To the last bit, wherever it is cut: at an edge of the image the block's edge is the image's."""
    whole, sigma = case
    expected = gaussian(whole, sigma)
    start = [data.draw(st.integers(0, n - 1)) for n in whole.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, whole.shape, strict=True)]
    rim = [radius(s) + data.draw(st.integers(0, 2)) for s in sigma]
    read = [(max(0, a - r), min(n, b + r)) for a, b, r, n in zip(start, stop, rim, whole.shape, strict=True)]
    found = gaussian(whole[tuple(slice(a, b) for a, b in read)], sigma)
    own = tuple(slice(a - r, b - r) for a, b, (r, _) in zip(start, stop, read, strict=True))
    cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    assert np.ascontiguousarray(found[own]).tobytes() == np.ascontiguousarray(expected[cut]).tobytes()


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_blocks_of_three_sizes_put_together_are_the_whole(dtype: str) -> None:
    """Rows so long that the whole is done in several tiles."""
    whole, sigma = pixels(0, (9, 70, 700), dtype), (0.8, 2.0, 3.1)
    expected = gaussian(whole, sigma)
    rim = [radius(s) for s in sigma]
    for side in (5, 33, 400):
        found = np.empty_like(expected)
        for at in np.ndindex(*(-(-n // side) for n in whole.shape)):
            own = [(i * side, min(n, (i + 1) * side)) for i, n in zip(at, whole.shape, strict=True)]
            read = [(max(0, a - r), min(n, b + r)) for (a, b), r, n in zip(own, rim, whole.shape, strict=True)]
            part = gaussian(whole[tuple(slice(*r) for r in read)], sigma)
            inner = tuple(slice(a - r, b - r) for (a, b), (r, _) in zip(own, read, strict=True))
            found[tuple(slice(*o) for o in own)] = part[inner]
        assert found.tobytes() == expected.tobytes()


@settings(max_examples=200)
@given(volumes())
def test_it_is_what_scipy_says(case: tuple[NDArray[Any], tuple[float, ...]]) -> None:
    given_, sigma = case
    exact = ndimage.gaussian_filter(given_.astype(np.float64), sigma)
    found = gaussian(given_, sigma)
    assert found.dtype == given_.dtype
    if given_.dtype.kind == "f":
        most = float(np.abs(given_).max())
        assert np.allclose(found, exact, rtol=0, atol=most * (1e-6 if given_.dtype == np.float32 else 1e-14))
    else:
        # Half, and what single precision loses on the way.
        assert np.abs(found - exact).max() <= 0.5 + (0.05 if given_.dtype.itemsize < 4 else 1e-5)


@given(volumes())
def test_the_mirrored_image_gives_the_mirrored_answer(case: tuple[NDArray[Any], tuple[float, ...]]) -> None:
    whole, sigma = case
    turned = (slice(None, None, -1),) * whole.ndim
    assert np.array_equal(gaussian(whole[turned], sigma), gaussian(whole, sigma)[turned])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_a_flat_image_stays_flat_at_the_ends_of_its_type(dtype: str, end: str) -> None:
    flat = np.full((7, 8, 40), getattr(np.iinfo(dtype), end), dtype)
    assert np.array_equal(gaussian(flat, (1.3, 2.0, 0.7)), flat)


def test_a_sigma_of_0_changes_nothing() -> None:
    image = pixels(0, (4, 5, 6), "u2")
    assert np.array_equal(gaussian(image, (0, 0, 0)), image)


def test_an_image_smaller_than_the_reach_is_mirrored_again_and_again() -> None:
    image = pixels(0, (2, 1, 3), "f8")
    assert np.allclose(gaussian(image, (5, 5, 5)), ndimage.gaussian_filter(image, 5))


def test_each_index_of_an_axis_that_is_left_alone_is_done_by_itself() -> None:
    image = pixels(0, (2, 3, 5, 6, 7), "f4")
    found = gaussian(image, (0, 0, 1, 1, 1))
    for t, c in np.ndindex(2, 3):
        assert np.array_equal(found[t, c], gaussian(image[t, c], (1, 1, 1)))


def test_what_is_missing_spreads_as_far_as_it_counts_and_no_further() -> None:
    image = np.zeros((40, 41), np.float32)
    image[20, 20] = np.nan
    found = np.isnan(gaussian(image, (1, 2)))
    expected = np.zeros_like(found)
    expected[16:25, 12:29] = True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("given_", "answered"), [("?", "f4"), ("f2", "f4"), (">u2", "u2"), (">f4", "f4"), ("i8", "i8")]
)
def test_other_types_have_their_answer(given_: str, answered: str) -> None:
    image = (np.arange(60).reshape(6, 10) % 2).astype(given_)
    found = gaussian(image, (1, 1))
    assert found.dtype == np.dtype(answered)
    assert np.allclose(
        found, ndimage.gaussian_filter(image.astype(float), 1), atol=1e-6 if found.dtype == "f4" else 0.5
    )


def test_nothing_smoothed_is_nothing() -> None:
    assert gaussian(np.zeros((0, 4), np.uint8), (1, 1)).shape == (0, 4)


@pytest.mark.parametrize(
    ("image", "sigma", "error"),
    [
        (np.zeros((3, 3), complex), (1, 1), LayerError),
        (np.zeros((3, 3), object), (1, 1), LayerError),
        (np.full((3, 3), 2**60), (1, 1), LayerError),
        (np.zeros((3, 3)), (1,), SettingsError),
        (np.zeros((3, 3)), (1, -1), SettingsError),
        (np.zeros((3, 3)), (1, np.nan), SettingsError),
        (np.zeros((3, 3)), (1, np.inf), SettingsError),
        (np.zeros((2, 2, 2, 2)), (1, 1, 1, 1), SettingsError),
    ],
)
def test_what_cannot_be_smoothed_is_refused(image: Any, sigma: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        gaussian(image, sigma)
