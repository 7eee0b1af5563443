"""Coarse grids: constants stay, flips and turns commute."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.scenes import TURNS

from corpuscle.ops.coarse import fine, grid, mean, most

QUICK = settings(deadline=None, max_examples=40)


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.5, 20))
def test_flips_and_turns_commute(rows: int, columns: int, cell: float) -> None:
    plane = np.random.default_rng(rows * 41 + columns).random((rows, columns)).astype(np.float32)
    cells = grid(plane.shape, cell)
    for name, turn in TURNS:
        there = turn(plane)
        back = cells if there.shape == plane.shape and name not in ("quarter", "transposed") else cells[::-1]
        assert np.allclose(turn(mean(plane, cells)), mean(there, back), atol=1e-6)
        assert np.array_equal(turn(most(plane, cells)), most(there, back))
        assert np.allclose(turn(fine(mean(plane, cells), plane.shape)), fine(mean(there, back), there.shape), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 16)])
def test_a_constant_stays(shape: tuple[int, int]) -> None:
    plane = np.full(shape, 7, np.uint16)
    cells = grid(shape, 4)
    assert (most(plane, cells) == 7).all()
    assert np.allclose(fine(mean(plane, cells), shape), 7)


def test_a_ramp_stays_a_ramp_between_the_outermost_middles() -> None:
    ramp = np.arange(64, dtype=np.float32)[None, :].repeat(8, axis=0)
    back = fine(mean(ramp, (2, 16)), ramp.shape)
    assert np.allclose(back[:, 2:-2], ramp[:, 2:-2])
