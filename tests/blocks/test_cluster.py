"""Many machines: arithmetic that can be done by hand."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from corpuscle.blocks.cluster import Nodes, spread
from corpuscle.blocks.forecast import Forecast, Row, refuse, times
from corpuscle.errors import PlanError, SettingsError

GB = 10**9
ROW = Row(
    step="smooth",
    units=1000,
    seconds=2000.0,
    alone=1.0,
    longest=2.0,
    memory=GB,
    stays=10 * GB,
    most=12 * GB,
    bytes=100 * GB,
)
TOLD = Forecast((ROW,), workers=4, coordinator=GB // 10, idle=GB // 5, start=0.0, sampled=2)


def nodes(**given: float) -> Nodes:
    told = {"count": 10, "memory": 64 * GB, "cores": 16} | given
    return Nodes(**told)  # type: ignore[arg-type]


@given(more=st.integers(1, 50), cores=st.integers(1, 64), units=st.integers(1, 10_000))
def test_more_nodes_never_take_longer(more: int, cores: int, units: int) -> None:
    told = replace(TOLD, rows=(replace(ROW, units=units),))
    few, many = spread(told, nodes(cores=cores)), spread(told, nodes(cores=cores, count=10 + more))
    assert many.seconds <= few.seconds
    assert many.shares[0].workers >= few.shares[0].workers


@given(count=st.integers(1, 300))
def test_so_many_volumes_take_so_many_times_as_long_at_most(count: int) -> None:
    one, all_ = spread(TOLD, nodes()), spread(times(TOLD, count), nodes())
    assert all_.seconds <= count * one.seconds * (1 + 1e-9)
    assert times(TOLD, count).disk == count * TOLD.disk


def test_by_hand() -> None:
    found = spread(TOLD, nodes(price=0.5))
    # 160 workers, 7 rounds of two seconds, one second alone.
    assert (found.shares[0].workers, found.shares[0].limit, found.seconds) == (160, "cores", 15.0)
    assert found.cost == pytest.approx(0.5 * 10 * 15 / 3600)
    assert spread(TOLD, nodes()).cost is None


@pytest.mark.parametrize(
    ("given", "limit", "workers"),
    [
        ({"memory": 5 * GB}, "memory", 40),
        ({"bandwidth": GB}, "storage", 160),
        ({"count": 100}, "units", 1000),
    ],
)
def test_what_holds_it_up_is_named(given: dict[str, float], limit: str, workers: int) -> None:
    share = spread(TOLD, nodes(**given)).shares[0]
    assert (share.limit, share.workers) == (limit, workers)


def test_the_coordinator_can_hold_it_up_too() -> None:
    assert spread(replace(TOLD, rows=(replace(ROW, alone=100.0),)), nodes()).shares[0].limit == "coordinator"


def test_a_node_that_is_too_small_for_one_worker_is_refused() -> None:
    with pytest.raises(PlanError, match=r"one worker needs .* for smooth") as told:
        spread(TOLD, nodes(memory=GB))
    assert told.value.rule == "plan-memory"


@pytest.mark.parametrize("wrong", [{"count": 0}, {"cores": 0}, {"memory": -1}, {"price": -1.0}, {"bandwidth": 0.0}])
def test_nodes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        nodes(**wrong)


def test_memory_of_processes_and_of_threads() -> None:
    assert TOLD.peak == GB // 10 + 4 * GB + 400 * 1000
    threads = replace(TOLD, rows=(replace(ROW, threads=True),))
    assert threads.peak == GB // 5 + 4 * (GB - GB // 5) + 400 * 1000
    assert replace(TOLD, workers=1).peak == GB + 400 * 1000


def test_disk_on_the_way_counts_what_earlier_steps_left() -> None:
    two = replace(TOLD, rows=(ROW, replace(ROW, stays=GB, most=5 * GB)))
    assert (two.disk, two.most) == (11 * GB, 15 * GB)


def test_a_run_of_few_blocks_takes_as_long_as_one_of_them() -> None:
    few = replace(TOLD, rows=(replace(ROW, units=2, seconds=20.0, longest=12.0),), workers=64)
    assert few.seconds == 13.0


@pytest.mark.parametrize(
    ("limit", "fix"),
    [
        (35 * GB // 10, "3 workers would fit"),
        (15 * GB // 10, "1 worker would fit"),
        (8 * GB // 10, "one worker would fit with blocks of 90 % of the side"),
        (GB // 10, "it takes 1000 MB with one worker: use a larger machine"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would(limit: int, fix: str) -> None:
    with pytest.raises(PlanError, match="smooth needs about 4100 MB of memory with 4 workers") as told:
        refuse(TOLD, memory=limit)
    assert (told.value.fix, told.value.rule) == (fix, "plan-memory")
    assert isinstance(told.value, MemoryError)


def test_what_fits_is_not_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    small = replace(TOLD, rows=(replace(ROW, memory=10**7, stays=0, most=0),), idle=10**6)
    refuse(small, memory=GB, folder=tmp_path_factory.mktemp("here") / "not" / "yet")


def test_a_disk_that_is_too_small_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    huge = replace(TOLD, rows=(replace(ROW, memory=10**7, most=10**18),), idle=10**6)
    with pytest.raises(PlanError, match="on the disk") as told:
        refuse(huge, memory=GB, folder=tmp_path_factory.mktemp("here"))
    assert told.value.rule == "plan-disk"
