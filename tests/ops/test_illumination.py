"""Backgrounds and flat fields: what was put on comes off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.ops.scenes import TURNS, discs, field

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.illumination import background, correct, flat_field


def test_a_tilted_background_is_seen_through_objects() -> None:
    tilt = np.linspace(100, 300, 128)[None, :].repeat(96, axis=0)
    _, truth = discs((96, 128), [(40, 40, 9, 1000), (60, 90, 9, 1000)])
    found = background(tilt + 1000 * (truth > 0), truth > 0, reach=8)
    assert np.abs(found - tilt)[12:-12, 12:-12].max() < 25


def test_where_all_is_object_the_least_pixel_is_the_background() -> None:
    img = np.array([[5.0, 9.0], [7.0, 6.0]])
    assert (background(img, np.ones((2, 2), bool), reach=3) == 5).all()


def test_backgrounds_turn_with_the_image() -> None:
    img = field(5)
    found = background(img, img > 300, reach=6)
    for _, turn in TURNS:
        assert np.allclose(background(turn(img), turn(img > 300), reach=6), turn(found), rtol=1e-4)


def test_the_light_of_a_plate_is_found_and_taken_away() -> None:
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    light = 1.2 - 0.4 * (x**2 + y**2)
    fields = [field(seed, shape=(128, 128)) * light for seed in range(24)]
    profile = flat_field(fields)
    assert profile.mean() == pytest.approx(1, abs=1e-5)
    assert np.abs(profile / (light / light.mean()) - 1).mean() < 0.05
    flat = correct(light * 1000, profile)
    assert flat.std() / flat.mean() < 0.4 * light.std() / light.mean()


def test_the_order_of_fields_does_not_matter() -> None:
    fields = [field(seed, shape=(40, 30)) for seed in range(5)]
    assert np.array_equal(flat_field(fields), flat_field(fields[::-1]))


def test_correct_keeps_type_and_range() -> None:
    profile = np.array([[0.5, 2.0]])
    assert correct(np.array([[200, 100]], np.uint8), profile).tolist() == [[255, 50]]
    assert correct(np.array([[1, 1]], np.float32), profile).dtype == np.float32
    assert correct(np.array([[110, 120]]), profile, offset=100).tolist() == [[120, 110]]
    assert correct(np.ones((3, 1, 2)), profile).shape == (3, 1, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: flat_field([]),
        lambda: flat_field([np.zeros((4, 4))]),
        lambda: flat_field([np.ones((4, 4)), np.ones((4, 5))]),
        lambda: flat_field([np.ones((2, 4, 4))]),
        lambda: correct(np.ones((4, 4)), np.zeros((4, 4))),
        lambda: correct(np.ones((4, 4)), np.ones((5, 4))),
        lambda: background(np.ones((4, 4)), np.zeros((4, 5), bool), reach=2),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(LayerError):
        call()


def test_a_length_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError):
        background(np.ones((4, 4)), np.zeros((4, 4), bool), reach=0)
    with pytest.raises(SettingsError):
        flat_field([np.ones((4, 4))], smooth=-1)
    assert np.allclose(background(np.ones((4, 4)), np.zeros((4, 4), bool), reach=1e12), 1)
