from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.worlds.cells import ANGLES, Outline, Patch, dented, dome, oval, spindle


@given(st.floats(4, 6000), st.floats(1, 3), st.floats(0, 0.2), st.integers(0, 2**32))
def test_dents_keep_the_area(area: float, aspect: float, dents: float, seed: int) -> None:
    radii = dented(oval(area, aspect), np.random.default_rng(seed), dents=dents)
    assert (radii > 0).all()
    assert Outline((0, 0), radii).area == pytest.approx(area, rel=0.06)


@given(st.floats(20, 3000), st.floats(-3, 3), st.floats(-3, 3), st.floats(0.5, 4))
def test_a_cover_holds_its_area_wherever_it_lies(area: float, y: float, x: float, sigma: float) -> None:
    _, cover = dome(Outline((y, x), oval(area, 1.3)), sigma=sigma, flat=0.3)
    assert cover.values.sum() == pytest.approx(area, rel=0.06)
    rows, columns = np.indices(cover.values.shape)
    weight = cover.values / cover.values.sum()
    assert (rows * weight).sum() + cover.corner[0] == pytest.approx(y, abs=0.15)
    assert (columns * weight).sum() + cover.corner[1] == pytest.approx(x, abs=0.15)


@given(st.integers(0, 10_000))
def test_a_body_holds_its_nucleus(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nucleus = Outline((0, 0), dented(oval(1500, 1.8), rng, dents=0.1), rng.uniform(0, 6))
    flesh = spindle(nucleus, rng, times=6, aspect=1.5)
    for angle in np.linspace(0, 2 * np.pi, 40):
        assert flesh.towards(angle) > nucleus.towards(angle)


def test_patches_meet_an_image_only_where_they_lie_on_it() -> None:
    patch = Patch((-2, 3), np.zeros((4, 4), np.float32))
    assert patch.meet((10, 5)) == ((slice(0, 2), slice(3, 5)), (slice(2, 4), slice(0, 2)))
    assert patch.meet((10, 3)) is None


def test_radii_run_from_the_turn() -> None:
    radii = np.ones(ANGLES, np.float32)
    radii[0] = 5
    assert Outline((0, 0), radii, turn=np.pi / 2).towards(np.pi / 2) == 5
