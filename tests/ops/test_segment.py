"""The segmenters: laws first, then known objects, then what cannot be segmented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from tests.ops.scenes import TURNS, discs, field, overlap

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops.clean import normalise
from corpuscle.ops.segment import gauss_otsu, local_watershed, otsu_components, otsu_watershed, renumbered

METHODS = (otsu_components, gauss_otsu, otsu_watershed, local_watershed)
each = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
Segmenter = Callable[[NDArray[Any]], NDArray[np.int32]]


@each
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flips_and_turns_find_the_same_objects(method: Segmenter, seed: int) -> None:
    img = field(seed)
    found = method(img)
    assert found.max() > 3
    for _, turn in TURNS:
        again = method(np.ascontiguousarray(turn(img)))
        assert again.max() == found.max()
        assert overlap(np.ascontiguousarray(turn(found)), again).min() > 0.97


@each
def test_linear_changes_of_intensity_find_the_same_objects(method: Segmenter) -> None:
    img = field(4)
    found = method(img)
    for changed in (img.astype(np.float64) * 1e-3 - 7, img * 4.0 + 12):
        again = method(changed)
        assert again.max() == found.max()
        # Integers are split at one of their values, floats at one of 256 bins.
        assert overlap(found, again).min() > 0.9


def test_raw_and_normalised_images_give_about_the_same() -> None:
    img = field(6)
    raw, eight = local_watershed(img), local_watershed(normalise(img))
    assert abs(int(raw.max()) - int(eight.max())) <= 1
    assert np.median(overlap(raw, eight)) > 0.9


@each
def test_labels_are_int32_numbered_as_they_are_read(method: Segmenter) -> None:
    found = method(field(7))
    assert found.dtype == np.int32
    present, first = np.unique(found[found > 0], return_index=True)
    assert present.tolist() == list(range(1, int(found.max()) + 1))
    assert (np.diff(first) > 0).all()


@each
@pytest.mark.parametrize(
    "img",
    [
        np.zeros((32, 32), np.uint16),
        np.full((32, 32), 700, np.uint16),
        np.full((3, 3), 0.25),
        np.zeros((0, 0), np.uint8),
        np.zeros((0, 5)),
        np.ones((1, 1), bool),
        np.full((1, 9), 3),
    ],
)
def test_without_contrast_there_is_nothing(method: Segmenter, img: NDArray[Any]) -> None:
    found = method(img)
    assert found.shape == img.shape
    assert found.dtype == np.int32
    assert not found.any()


@each
@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 2), (3, 7), (1, 40), (9, 9)])
def test_tiny_images_raise_nothing(method: Segmenter, shape: tuple[int, int]) -> None:
    img = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    assert method(img).shape == shape


@each
@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3, 4)), np.zeros(5), np.array([[np.nan, 1.0]]), np.array([["a"]]), np.eye(3) * 1e40]
)
def test_what_is_not_a_plane_of_numbers_is_refused(method: Segmenter, bad: NDArray[Any]) -> None:
    with pytest.raises(LayerError):
        method(bad)


@pytest.mark.parametrize("name", ["diameter", "outline", "contrast", "edge", "neck", "gap", "reach", "least"])
def test_settings_that_cannot_be_meant_are_refused(name: str) -> None:
    for value in (-1.0, float("nan"), float("inf")):
        settings: dict[str, Any] = {name: value}
        with pytest.raises(SettingsError):
            local_watershed(field(0, shape=(32, 32)), **settings)


@pytest.mark.parametrize("name", ["diameter", "outline", "contrast", "edge", "neck", "gap", "reach", "least"])
@pytest.mark.parametrize("value", [1e-300, 1e12])
def test_absurd_settings_end_in_time(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    assert local_watershed(field(0, shape=(48, 48)), **settings).shape == (48, 48)
    assert otsu_watershed(field(0, shape=(48, 48)), sigma=value, apart=value).shape == (48, 48)


@each
@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e25])
def test_extreme_intensities_raise_nothing(method: Segmenter, scale: float) -> None:
    assert method(field(0, shape=(48, 48)) * scale).shape == (48, 48)


@each
def test_dust_ends_in_time(method: Segmenter) -> None:
    dust = (np.random.default_rng(0).random((256, 256)) < 0.02).astype(np.uint16) * 60000
    assert method(dust).shape == dust.shape


def test_the_baselines_are_the_textbook_ones() -> None:
    img = field(8)
    bright = img > threshold_otsu(img)  # type: ignore[no-untyped-call]
    assert np.array_equal(otsu_components(img), label(bright, connectivity=2))  # type: ignore[no-untyped-call]
    smooth = gaussian(img.astype(np.float32), 1, preserve_range=True, mode="reflect")  # type: ignore[no-untyped-call]
    want = smooth > threshold_otsu(smooth)  # type: ignore[no-untyped-call]
    assert np.mean((gauss_otsu(img) > 0) != want) < 1e-3


def test_two_discs_that_touch_are_two_and_two_apart_are_two() -> None:
    img, truth = discs((64, 96), [(32, 24, 11, 900), (32, 45, 11, 900), (32, 76, 11, 900)], noise=5)
    for method in (otsu_watershed, local_watershed):
        assert overlap(truth, method(img)).min() > 0.85


def test_a_bean_is_one() -> None:
    img, _ = discs((64, 64), [(26, 32, 11, 900), (34, 35, 11, 900), (38, 30, 9, 900)], noise=5)
    assert local_watershed(img).max() == 1


def test_a_faint_object_beside_a_bright_one_is_found() -> None:
    img, truth = discs((96, 96), [(40, 28, 12, 2400), (40, 62, 12, 900), (76, 60, 12, 2000)], noise=5)
    assert overlap(truth, local_watershed(img)).min() > 0.85


def test_small_objects_stay() -> None:
    img, truth = discs((96, 96), [(30, 30, 14, 1500), (64, 64, 14, 1500), (20, 70, 3.5, 1500)], noise=5)
    assert overlap(truth, local_watershed(img)).min() > 0.7


def test_haze_does_not_widen_what_lies_in_it() -> None:
    img, truth = discs((96, 96), [(48, 48, 12, 1500)], noise=5)
    y, x = np.mgrid[:96, :96]
    haze = (450 * np.exp(-(np.hypot(y - 48, x - 48) ** 2) / (2 * 25.0**2))).astype(np.uint16)
    assert overlap(truth, local_watershed(img + haze)).min() > 0.85


def test_holes_are_filled() -> None:
    y, x = np.mgrid[:64, :64]
    ring = np.hypot(y - 32, x - 32)
    img = np.where((ring < 14) & (ring > 3), 1000, 100).astype(np.uint16)
    assert local_watershed(img)[32, 32] == 1


def test_noise_alone_is_no_object() -> None:
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(1000, 30, (128, 128))
        assert not local_watershed(noise).any()


def test_a_set_diameter_is_used() -> None:
    img, _ = discs((64, 64), [(32, 32, 12, 900), (10, 10, 2.2, 900)])
    assert local_watershed(img, diameter=24, least=0.4).max() == 1
    assert local_watershed(img, diameter=24, least=0.05).max() == 2


def test_renumbering_keeps_the_objects() -> None:
    lab = np.array([[0, 9, 9], [4, 0, 2], [4, 9, 2]])
    assert renumbered(lab).tolist() == [[0, 1, 1], [2, 0, 3], [2, 1, 3]]
    assert renumbered(np.zeros((0, 2), int)).shape == (0, 2)
