from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from corpuscle.core import Image, Space
from corpuscle.corpus.rules.pieces import cut


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.integers(0, 3)),
    st.integers(1, 5),
)
def test_pieces_are_the_same_however_the_image_is_cut(pixels: np.ndarray[Any, Any], tile: int) -> None:
    image = Image(pixels, Space("zyx"[-pixels.ndim :]), labels_of="raw")
    full = np.ones((3,) * pixels.ndim)
    wanted = [v for v in np.unique(pixels) if v and ndimage.label(pixels == v, full)[1] > 1]
    assert cut(image, tile=tile) == wanted == cut(image)


@pytest.mark.parametrize("tile", [2, 3, 100])
def test_a_ring_closes_around_a_corner_of_tiles(tile: int) -> None:
    ring = np.ones((7, 7), np.int32)
    ring[1:-1, 1:-1] = 0
    assert cut(Image(ring, Space("yx"), labels_of="raw"), tile=tile) == []
    ring[3, ::6] = 0
    assert cut(Image(ring, Space("yx"), labels_of="raw"), tile=tile) == [1]


def test_each_time_is_by_itself() -> None:
    there = np.zeros((2, 3, 3), np.uint64)
    there[0, 0, 0] = there[1, 2, 2] = 2**63 + 1
    assert cut(Image(there, Space("tyx"), labels_of="raw")) == []
    there[1, 0, 0] = 2**63 + 1
    assert cut(Image(there, Space("tyx"), labels_of="raw")) == [2**63 + 1]


def test_an_empty_image_has_no_pieces() -> None:
    assert cut(Image(np.zeros((0, 5), np.int32), Space("yx"), labels_of="raw")) == []
