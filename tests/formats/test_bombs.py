from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle import formats
from corpuscle.errors import FormatError
from corpuscle.formats import bombs, c01, png

MIB = 1 << 20


@given(st.integers(0, 1 << 34), st.integers(1, 1 << 30), st.booleans())
def test_what_is_small_or_packs_as_pictures_do_is_taken(unpacked: int, packed: int, labels: bool) -> None:
    harmless = unpacked <= bombs.PICTURE or unpacked <= 20 * packed or (labels and unpacked <= bombs.LABELS)
    if harmless:
        bombs.defuse(unpacked, packed, where="a", rule="x-bomb", labels=labels)
    elif unpacked > bombs.RATIO * packed and unpacked > bombs.LABELS:
        with pytest.raises(FormatError, match="x-bomb") as e:
            bombs.defuse(unpacked, packed, where="a", rule="x-bomb", labels=labels)
        assert e.value.fix


def test_a_png_of_zeros_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    # 20000 x 20000 zeros in a few hundred KB took 10 seconds and 4 GB; these are 9000 x 8000.
    (tmp_path / "a.png").write_bytes(png.encode(np.zeros((9000, 8000), np.uint8), level=9))
    for ask in (formats.scenes, formats.read):
        with pytest.raises(FormatError, match="png-bomb"):
            ask(tmp_path / "a.png")


def test_a_c01_of_zeros_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    # 16000 x 16000 zeros took 11 seconds and 3 GB.
    (tmp_path / "a.C01").write_bytes(c01.encode(np.zeros((6000, 6000), np.uint16)))
    for ask in (formats.scenes, formats.read, lambda p: c01.decode(p.read_bytes())):
        with pytest.raises(FormatError, match="c01-bomb"):
            ask(tmp_path / "a.C01")


def test_a_large_object_image_is_no_bomb(tmp_path: Path) -> None:
    colours = np.zeros((5000, 5000, 3), np.uint8)
    colours[100:200, 100:200] = (128, 0, 0)
    (tmp_path / "a_objects.png").write_bytes(png.encode(colours, level=1))
    assert colours.nbytes > bombs.PICTURE
    assert formats.read(tmp_path / "a_objects.png").facts["objects"].value == 1


def test_the_largest_camera_there_is_makes_no_bombs(tmp_path: Path) -> None:
    # An empty well, at the faintest noise a camera has: 65 MiB, one count up or down.
    rng = np.random.default_rng(0)
    pixels = (100 + rng.integers(0, 2, (6000, 5700), np.uint8)).astype(np.uint16)
    (tmp_path / "a.C01").write_bytes(c01.encode(pixels))
    assert pixels.nbytes > bombs.PICTURE
    np.testing.assert_array_equal(np.squeeze(formats.read(tmp_path / "a.C01").image("raw").read()), pixels)
