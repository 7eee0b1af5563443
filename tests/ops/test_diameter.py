"""The typical diameter: known discs, clumps, laws, and nothing to see."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.scenes import TURNS, discs, field

from corpuscle.errors import LayerError
from corpuscle.ops.diameter import diameter


@pytest.mark.parametrize("radius", [4, 8, 20])
def test_discs_have_their_own_diameter(radius: int) -> None:
    step = 4 * radius
    spots = [(step * i, step * j, radius, 1000.0) for i in (1, 2, 3) for j in (1, 2, 3)]
    img, _ = discs((step * 4, step * 4), spots, noise=10)
    assert diameter(img) == pytest.approx(2 * radius, rel=0.15)


def test_a_clump_counts_as_its_discs_and_specks_for_nothing() -> None:
    clump = [(60.0, 40.0 + 18 * i, 10.0, 1000.0) for i in range(4)]
    specks = [(110.0, 10.0 + 12 * i, 1.5, 1000.0) for i in range(9)]
    img, _ = discs((128, 128), clump + specks)
    assert diameter(img) == pytest.approx(20, rel=0.2)


def test_neither_turns_nor_linear_changes_move_it() -> None:
    img = field(3)
    size = diameter(img)
    for _, turn in TURNS:
        assert diameter(turn(img)) == pytest.approx(size, rel=1e-6)
    assert diameter(img.astype(np.float64) * 3 + 50) == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("img", [np.zeros((9, 9)), np.full((1, 1), 5), np.zeros((0, 0)), np.ones((4, 4), bool)])
def test_where_nothing_is_there_is_no_diameter(img: np.ndarray) -> None:
    assert np.isnan(diameter(img))


def test_what_is_not_a_plane_is_refused() -> None:
    with pytest.raises(LayerError):
        diameter(np.zeros((3, 4, 5)))
    with pytest.raises(LayerError):
        diameter(np.array([[np.nan, 1]]))
