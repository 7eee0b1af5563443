"""Noise from the finest detail: known amounts, and structure that must not count."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.scenes import TURNS, discs

from corpuscle.errors import LayerError
from corpuscle.ops.noise import grain


@pytest.mark.parametrize("amount", [3, 12, 40])
def test_it_is_what_was_added(amount: float) -> None:
    img, _ = discs((160, 160), [(40, 40, 12, 2000), (100, 90, 15, 900)], noise=amount, pedestal=500)
    assert grain(img) == pytest.approx(amount, rel=0.1)


def test_ramps_and_turns_do_not_count() -> None:
    y, x = np.mgrid[:40, :60]
    assert grain(3.0 * x + 5.0 * y) < 1e-3
    img = np.random.default_rng(0).normal(0, 5, (40, 60))
    for _, turn in TURNS:
        assert grain(turn(img)) == pytest.approx(grain(img), rel=1e-3)


def test_too_small_to_tell() -> None:
    assert grain(np.ones((2, 9))) == 0
    with pytest.raises(LayerError):
        grain(np.ones((3, 3, 3)))
