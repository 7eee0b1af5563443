from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.worlds.optics import Camera, enlarge, grain, shade, veil


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0, 0.2), st.floats(0, 0.2))
def test_scattered_light_is_neither_made_nor_moved_far(y: int, x: int, near: float, far: float) -> None:
    light = np.zeros((y, x), np.float32)
    light[y // 2, x // 2] = 1000
    seen = veil(light, near=near, far=far)
    assert seen.shape == light.shape
    assert seen.min() >= -1e-3
    assert seen.max() == seen[y // 2, x // 2]
    flat = veil(np.full((y, x), 5, np.float32), near=near, far=far)
    assert flat == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize("electrons", [0.0, 60.0, 900.0])
def test_variance_of_an_exposure_is_shot_and_read_noise(electrons: float) -> None:
    camera = Camera(gain=1.2)
    counts = camera.expose(np.full((300, 300), electrons, np.float32), np.random.default_rng(1)).astype(float)
    assert counts.mean() == pytest.approx(camera.offset + camera.gain * electrons, rel=0.01)
    # 1/12 is the rounding to whole counts.
    assert counts.var() == pytest.approx(camera.gain**2 * (electrons + camera.read**2) + 1 / 12, rel=0.03)


def test_a_camera_never_counts_beyond_twelve_bits() -> None:
    counts = Camera().expose(np.full((8, 8), 1e6, np.float32), np.random.default_rng(0))
    assert (counts == 4095).all()


@pytest.mark.parametrize("sigma", [2.0, 3.0, 6.0, 12.0])
def test_grain_has_unit_deviation(sigma: float) -> None:
    out = grain((400, 500), sigma, np.random.default_rng(0))
    assert out.shape == (400, 500)
    assert out.std() == pytest.approx(1, abs=0.2)


def test_illumination_is_brightest_at_its_centre() -> None:
    lamp = shade((40, 60), centre=(0.25, 0.75), fall=0.2)
    row, column = divmod(int(lamp.argmax()), 60)
    assert row in (9, 10)
    assert column in (44, 45)
    assert lamp.min() > 0.5


def test_enlarged_images_keep_their_mean() -> None:
    image = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    assert enlarge(image, 4).mean() == pytest.approx(image.mean(), rel=0.02)
