from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from benchmarks.engine_components import _same
from benchmarks.formula import BRIGHT, GROUND, LEVEL, NOISE, Formula
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import volumes
from corpuscle.core import Image, Space
from corpuscle.formats import omezarr
from corpuscle.ops.components import components
from corpuscle.ops.smooth import gaussian

WHOLE = Formula((70, 53, 61))[:]


@settings(max_examples=60)
@given(st.tuples(*[st.tuples(st.integers(0, n), st.integers(0, n)) for n in WHOLE.shape]))
def test_any_part_of_the_formula_is_the_part_of_the_whole(spans: tuple[tuple[int, int], ...]) -> None:
    part = tuple(slice(min(s), max(s)) for s in spans)
    assert np.array_equal(pickle.loads(pickle.dumps(Formula((70, 53, 61))))[part], WHOLE[part])


def test_the_formula_has_nine_bits_of_noise_and_enough_objects() -> None:
    pixels = Formula((128, 128, 128))[:]
    assert int(pixels.min()) == GROUND
    assert int(pixels.max()) == GROUND + NOISE - 1 + BRIGHT
    share = np.bincount(pixels.ravel()) / pixels.size
    share = share[share > 0]
    assert -(share * np.log2(share)).sum() > 9
    found = components(gaussian(pixels, sigma=2.0, spacing=None) > LEVEL)
    assert found.max() * 16**3 > 1.1e6  # in 2048^3


def test_noise_neither_repeats_from_row_to_row_nor_follows_its_neighbours() -> None:
    ground = np.where(WHOLE < BRIGHT, WHOLE, WHOLE - BRIGHT).astype(float)
    for axis in range(3):
        for step in (1, 2, 16):
            a = np.take(ground, range(ground.shape[axis] - step), axis).ravel()
            b = np.take(ground, range(step, ground.shape[axis]), axis).ravel()
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_a_tenth_of_the_mask_is_blobs_however_thick_its_slabs() -> None:
    thick, thin = (np.concatenate(list(volumes._blobs(96, slab=n))) for n in (96, 17))
    assert np.array_equal(thick, thin)
    assert 0.07 < thick.mean() < 0.13


def test_microscopy_packs_like_microscopy() -> None:
    pixels = volumes._em(64)
    assert pixels.dtype == np.uint16
    assert 0 < pixels.mean() < 4095
    assert pixels.std() > 100


def test_the_finest_array_is_found_in_an_image_and_by_itself(tmp_path: Path) -> None:
    omezarr.write(Image(np.zeros((40, 300, 300), np.uint8), Space("zyx")), tmp_path / "a.zarr")
    assert volumes.finest(tmp_path) == tmp_path / "a.zarr" / "0"
    assert volumes.finest(tmp_path / "a.zarr" / "0") == tmp_path / "a.zarr" / "0"


A = np.array([[[1, 1, 0], [0, 2, 2], [3, 0, 0]]] * 70)


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        (np.array([0, 7, 9, 8])[A], True),
        (np.array([0, 7, 7, 8])[A], False),
        (np.array([0, 7, 0, 8])[A], False),
        (np.where(A == 0, 5, A), False),
        (np.where(np.arange(70)[:, None, None] > 65, A * 10, A), False),
    ],
)
def test_objects_are_the_same_under_other_numbers_and_nothing_else_is(theirs: np.ndarray, same: bool) -> None:
    assert _same(A, theirs)[1] is same
    assert _same(theirs, A)[1] is same
    assert _same(A, A) == (3, True)
