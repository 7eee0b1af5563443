from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.errors import SettingsError
from corpuscle.worlds.plate import PARTS, SIZES, plan


@given(st.sampled_from(sorted(SIZES)), st.integers(0, 2**40))
def test_every_plan_is_what_its_size_says(size: str, seed: int) -> None:
    of, sites = SIZES[size], plan(size, seed=seed)
    assert sites == plan(size, seed=seed)
    assert len({s.name for s in sites}) == len(sites) == len({s.key for s in sites})
    assert len({s.plate for s in sites}) == of.plates
    wells = {(s.plate, s.well) for s in sites}
    assert len(wells) == of.wells + of.bare
    parted = [w for w in wells if len({s.part for s in sites if (s.plate, s.well) == w}) > 1]
    assert len(parted) == of.leaks
    assert {s.part for s in sites} == {*PARTS, None}
    # Beyond the leaking wells, each part has a well of its own, or there would be no honest score.
    honest = {s.part for s in sites if (s.plate, s.well) not in parted}
    assert honest == {*PARTS, None}


def test_sizes_are_as_promised() -> None:
    real = [s for s in plan("real") if s.part]
    assert len(real) == 40
    assert {s.side for s in real} == {1104}
    assert len({s.well for s in plan("plate384")}) == 384
    assert any(s.habit.density == 0 for s in plan("small"))
    assert any(s.habit.fibre for s in plan("small"))


def test_seeds_differ() -> None:
    assert [s.name for s in plan("tiny", seed=1)] != [s.name for s in plan("tiny", seed=2)]


@pytest.mark.parametrize(("size", "seed", "rule"), [("huge", 0, "world-size"), ("tiny", -1, "world-seed")])
def test_an_impossible_world_is_refused(size: str, seed: int, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        plan(size, seed=seed)
    assert caught.value.rule == rule
