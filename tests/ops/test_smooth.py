"""Smoothing as a step uses it: in micrometres or voxels, the same in blocks with a halo of its reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from corpuscle.core import Space, px, um
from corpuscle.errors import LayerError, SettingsError
from corpuscle.kernels.gaussian import radius
from corpuscle.ops.smooth import gaussian, reach


@given(st.floats(0, 30), st.floats(0.05, 9), st.floats(0, 6))
def test_a_halo_of_its_reach_holds_all_that_counts(sigma: float, size: float, truncate: float) -> None:
    space = Space("yx", scale=(size, 1.0))
    far = reach(sigma, truncate)
    assert space.voxels(um(far))[0] >= radius(sigma / size, truncate)
    assert space.voxels(px(far))[0] >= radius(sigma, truncate)


def test_sigma_is_in_the_unit_of_the_spacing() -> None:
    image = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    assert np.allclose(
        gaussian(image, sigma=1.0, spacing=(2.0, 0.5)), ndimage.gaussian_filter(image, (0.5, 2)), atol=1e-6
    )
    assert np.allclose(gaussian(image, sigma=1.5), ndimage.gaussian_filter(image, 1.5), atol=1e-6)
    assert np.array_equal(gaussian(image, sigma=1.5, spacing=(None, 2.0)), gaussian(image, sigma=1.5))


@pytest.mark.parametrize(("given_", "answered"), [("u1", "u1"), ("u2", "u2"), ("f4", "f4"), ("f8", "f8"), ("?", "f4")])
def test_the_type_stays(given_: str, answered: str) -> None:
    found = gaussian(np.eye(9).astype(given_), sigma=1)
    assert found.dtype == np.dtype(answered)


def test_it_says_that_it_lets_the_interpreter_go() -> None:
    assert getattr(gaussian, "frees_lock", False)


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (np.full((3, 3), np.nan), {"sigma": 1}, LayerError),
        (np.zeros((2, 2, 2, 2)), {"sigma": 1}, LayerError),
        (np.zeros((3, 3)), {"sigma": -1}, SettingsError),
        (np.zeros((3, 3)), {"sigma": 1, "spacing": (1.0,)}, SettingsError),
        (np.zeros((3, 3)), {"sigma": 1, "spacing": (0.0, 1.0)}, SettingsError),
    ],
)
def test_what_cannot_be_smoothed_is_refused(image: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        gaussian(image, **options)


@pytest.mark.parametrize("sigma", [-1.0, np.nan, np.inf])
def test_a_reach_is_finite(sigma: float) -> None:
    with pytest.raises(SettingsError):
        reach(sigma)
