from __future__ import annotations

import base64

import numpy as np
import pytest

from corpuscle.core import Channel, Image, Record, Space
from corpuscle.errors import FormatError
from corpuscle.formats import png
from corpuscle.report.picture import plane, small, stretched, thumbnail, uri


def pixels_of(address: str) -> np.ndarray:
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return png.decode(png.vet(data))


def test_a_picture_comes_back_from_its_address() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert (pixels_of(uri(pixels)) == pixels).all()


def test_the_first_channel_and_the_middle_plane_are_shown() -> None:
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    image = Image(data, Space("czyx"), (Channel("a"), Channel("b")))
    assert (plane(image) == data[0, 1]).all()


def test_stretching_keeps_the_order_of_intensities_and_uses_all_of_them() -> None:
    ramp = np.arange(10_000).reshape(100, 100)
    out = stretched(ramp).ravel().astype(int)
    assert (np.diff(out) >= 0).all()
    assert out[0] == 0
    assert out[-1] == 255


@pytest.mark.parametrize("shape", [(100, 100), (100, 37), (1, 500), (500, 3), (3, 3)])
def test_a_thumbnail_is_small(shape: tuple[int, int]) -> None:
    made = thumbnail(Record("r", {}, {"raw": Image(np.ones(shape, np.uint16), Space("yx"))}), most=48)
    assert made is not None
    assert max(made[1]) <= 48 * 2
    assert pixels_of(made[0]).shape == made[1]


def test_the_coarsest_level_that_will_do_is_read() -> None:
    levels = tuple(Image(np.full((n, n), n), Space("yx")) for n in (64, 32, 16))
    image = Image(np.full((128, 128), 128), Space("yx"), levels=levels)
    assert (small(image, most=32) == 32).all()


def test_a_record_without_a_readable_image_has_no_thumbnail() -> None:
    class Broken:
        shape, dtype = (4, 4), np.dtype(np.uint8)

        def __getitem__(self, key: object) -> object:
            raise FormatError("torn")

    assert thumbnail(Record("r")) is None
    assert thumbnail(Record("r", {}, {"raw": Image(Broken(), Space("yx"))})) is None
