from __future__ import annotations

import json
import pickle
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.corpus.fields import nuclei

from corpuscle.corpus.sketch import SIDE, Fingerprint, fingerprint
from corpuscle.errors import FormatError, LayerError


@given(
    hnp.arrays(
        st.sampled_from(["u1", "u2", ">u2", "i4", "u8", "f2", "f4", "f8", "?"]),
        hnp.array_shapes(min_dims=2, max_side=20),
    )
)
@settings(max_examples=150, deadline=None)
def test_any_numbers_have_a_fingerprint_that_survives_json_and_pickle(pixels: NDArray[Any]) -> None:
    f = fingerprint(pixels)
    assert Fingerprint.from_json(json.loads(json.dumps(f.as_json()))) == f
    assert pickle.loads(pickle.dumps(f)) == f
    assert np.isfinite(f.relief)
    assert f.blank or len(f.sketch) == SIDE * SIDE


@pytest.mark.parametrize("shape", [(256, 256), (301, 97), (64, 500)])
def test_turning_the_image_turns_the_sketch(shape: tuple[int, int]) -> None:
    image = nuclei(3, side=512)[: shape[0], : shape[1]]
    straight = fingerprint(image).tones()
    assert np.abs(fingerprint(np.rot90(image)).tones() - np.rot90(straight)).max() <= 1
    assert np.abs(fingerprint(image[::-1]).tones() - straight[::-1]).max() <= 1
    assert np.abs(fingerprint(image.T).tones() - straight.T).max() <= 1


def test_gain_and_offset_fall_out_of_the_sketch() -> None:
    image = nuclei(1).astype(np.float64)
    assert np.abs(fingerprint(image).tones() - fingerprint(image * 37.5 - 1e4).tones()).max() <= 1


def test_the_digest_is_of_pixels_type_and_shape_and_of_no_byte_order() -> None:
    image = nuclei(1).astype("<u2")
    assert fingerprint(image).digest == fingerprint(image.astype(">u2")).digest
    assert fingerprint(image).digest == fingerprint(np.asfortranarray(image)).digest
    assert fingerprint(image).digest != fingerprint(image.astype(np.uint8)).digest
    assert fingerprint(image).digest != fingerprint(image.reshape(128, 512)).digest


@pytest.mark.parametrize(
    "pixels", [np.zeros((5, 5)), np.full((4, 9, 3), 200, np.uint8), np.full((3, 3), np.nan), np.ones((1, 1), np.bool_)]
)
def test_one_value_throughout_is_blank(pixels: NDArray[Any]) -> None:
    assert fingerprint(pixels).blank


def test_colour_is_averaged_alpha_ignored_a_stack_projected() -> None:
    image = nuclei(1)
    colour = np.stack([image, image, image], axis=-1)
    alpha = np.dstack([colour, np.full(image.shape, 255, np.uint8)])
    stack = np.stack([np.zeros_like(image), image])
    want = fingerprint(image)
    for other in (colour, alpha, stack):
        got = fingerprint(other)
        assert got.shape == want.shape
        assert np.abs(got.tones() - want.tones()).max() <= 1


def test_an_empty_field_has_no_relief() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:400j, -1:1:400j]
    lamp = 200 * (1 - 0.25 * (y**2 + x**2))
    assert fingerprint(rng.normal(lamp, 4)).relief < 1
    assert fingerprint(nuclei(1)).relief > 3


@pytest.mark.parametrize(
    "pixels", [np.zeros(5), np.zeros((0, 5)), np.zeros((2, 2), complex), np.array([["a"]]), np.array([[None]])]
)
def test_what_is_no_image_is_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(LayerError) as e:
        fingerprint(pixels)
    assert e.value.rule == "fingerprint-pixels"


@pytest.mark.parametrize(
    "change",
    [
        {"sketch": "AAAA"},
        {"sketch": "?"},
        {"sketch": None},
        {"shape": [1]},
        {"shape": None},
        {"relief": "x"},
    ],
)
def test_a_spoilt_json_is_refused(change: dict[str, Any]) -> None:
    data = fingerprint(nuclei(1)).as_json()
    with pytest.raises(FormatError):
        Fingerprint.from_json({**data, **change})
    with pytest.raises(FormatError):
        Fingerprint.from_json({})


def test_a_plate_sized_image_takes_milliseconds() -> None:
    image = np.tile(nuclei(1, side=276), (4, 4))
    took = []
    for _ in range(5):
        start = time.perf_counter()
        fingerprint(image)
        took.append(time.perf_counter() - start)
    # 4 ms when alone on the machine; the bound leaves room for neighbours.
    assert min(took) < 0.06
