"""How fast, how long still: told from what is persisted, in whatever rhythm it comes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from corpuscle.blocks import progress as module
from corpuscle.blocks.gauge import Gauge, family, proportional, used
from corpuscle.blocks.progress import MARKS, Progress, Receipt, Stage
from corpuscle.blocks.receipts import Journal, document
from corpuscle.errors import StepError


class Clock:
    """Time that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@given(
    seconds=st.lists(st.floats(0, 50), min_size=1, max_size=200),
    skipped=st.integers(0, 50),
    left=st.integers(0, 100),
)
def test_the_time_to_go_is_never_negative_and_ends_at_nothing(seconds: list[float], skipped: int, left: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        p = Progress("s", total=len(seconds) + skipped + left, skipped=skipped, started=0.0)
        assert p.eta is None
        for s in seconds:
            clock.now += s
            p = p.tick(done=1, bytes_=10)
            assert p.eta is not None
            assert p.eta >= 0
            assert len(p.marks) <= MARKS
    assert p.left == left
    if left == 0:
        assert p.eta == 0


@given(each=st.floats(0.001, 100), warm=st.floats(0, 300), n=st.integers(40, 400), skipped=st.integers(0, 1000))
def test_a_steady_run_is_told_exactly_whatever_it_took_to_warm_up(
    each: float, warm: float, n: int, skipped: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        clock.now = warm
        p = Progress("s", total=2 * n + skipped, skipped=skipped, started=0.0)
        for _ in range(n):
            clock.now += each
            p = p.tick(done=1, bytes_=100)
        assert p.eta is not None
        if n * each > 2 * (warm + each):
            assert p.eta == pytest.approx(n * each, rel=1e-6)
            assert p.bandwidth == pytest.approx(100 / each, rel=1e-6)


def test_workers_that_end_together_do_not_make_it_look_fast(clock: Clock) -> None:
    p = Progress("s", total=640, started=0.0)
    for _ in range(64):  # the first units of 64 workers, after ten seconds
        clock.now = 10.0 + p.done * 1e-4
        p = p.tick(done=1)
    assert p.eta == pytest.approx(576 / 6.4, rel=0.01)


def test_a_run_that_slows_down_is_believed(clock: Clock) -> None:
    p = Progress("s", total=1200, started=0.0)
    for i in range(1100):
        clock.now += 1 if i < 500 else 3
        p = p.tick(done=1)
    assert p.eta is not None
    assert 290 <= p.eta <= 310


def test_nothing_is_told_of_the_end_before_the_total_is_known(clock: Clock) -> None:
    p = Progress("s", started=0.0)
    clock.now = 4.0
    p = p.tick(done=2)
    assert (p.left, p.eta, p.rate) == (None, None, 0.5)
    assert replace(p, total=4).eta == 4.0


def test_failed_and_skipped_units_are_not_waited_for(clock: Clock) -> None:
    p = Progress("s", total=10, skipped=5, started=0.0)
    clock.now = 2.0
    p = p.tick(done=2).tick(failed=2)
    assert (p.left, p.eta) == (1, 1.0)


def test_a_journal_adds_up_the_passes_of_a_step_over_all_records(clock: Clock) -> None:
    heard: list[str] = []
    journal = Journal(lambda p: heard.append(p.stage))
    for record in ("a", "b"):
        p = Progress(f"smooth of {record}", total=1, step="smooth", started=clock.now)
        clock.now += 2
        journal(p.tick(done=1, bytes_=8))
        p = Progress(f"smooth of {record}: tier 1", total=1, step="smooth", started=clock.now)
        clock.now += 1
        journal(p.tick(done=1))
    journal(Progress("ingest", done=3, started=clock.now))
    assert journal.passes == (
        Stage("smooth", 2, 0, 0, 16, 4.0),
        Stage("smooth: tier 1", 2, 0, 0, 0, 2.0),
        Stage("ingest", 3, 0, 0, 0, 0.0),
    )
    assert journal.steps == (Stage("smooth", 4, 0, 0, 16, 6.0), Stage("ingest", 3, 0, 0, 0, 0.0))
    assert heard == ["smooth of a", "smooth of a: tier 1", "smooth of b", "smooth of b: tier 1", "ingest"]


def test_receipts_add_up() -> None:
    a = Receipt(1, 2, (StepError("x"),), (), 3.0, (Stage("s", 1, 0, 0, 8, 2.0),), 10)
    b = Receipt(4, 5, (), (), 6.0, (Stage("t", 1, 0, 0, 0, 0.0),), 7)
    whole = a + b
    assert (whole.done, whole.skipped, whole.seconds, whole.peak, whole.ok) == (5, 7, 9.0, 10, False)
    told = document("build", whole, disk=12_000_000, recipe="nuclei")
    assert [s["mb_per_s"] for s in told["steps"]] == [0.0, 0.0]
    assert (told["kind"], told["recipe"], told["failed"], told["disk_mb"]) == ("build", "nuclei", 1, 12.0)
    assert told["failures"][0]["reason"] == "x"
    assert {"cores", "memory_gb"} <= set(told["host"])


def test_a_gauge_sees_what_is_held_while_it_looks() -> None:
    with Gauge(every=0.01) as gauge:
        before = gauge.look()
        block = bytearray(b"x" * 60_000_000)
        assert gauge.look() - before > 50_000_000
        del block
    assert gauge.peak - before > 50_000_000


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert proportional(2**22 + 1) == 0
    assert list(family(2**22 + 1)) == [2**22 + 1]


def test_what_a_folder_takes_is_told_by_whole_blocks(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("used")
    (folder / "a").mkdir()
    (folder / "a" / "b").write_bytes(b"x" * 5000)
    assert used(folder) >= 5000
    assert used(folder / "absent") == 0
