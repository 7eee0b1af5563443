"""This machine's engine: every unit once, deaths with their causes, and nothing left running."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.errors import FormatError, SettingsError, StepError
from tests.blocks import engine_work as work

ROOT = Path(__file__).resolve().parents[2]


def values(outcomes: list[Outcome[int]]) -> list[Any]:
    return sorted(o.value for o in outcomes if o.error is None)


def error(outcomes: list[Outcome[int]]) -> StepError:
    (bad,) = [o for o in outcomes if o.error is not None]
    assert bad.unit == 3
    assert bad.error is not None
    assert bad.error.where == "3"
    return bad.error  # type: ignore[return-value]


@pytest.fixture(scope="module")
def engine() -> Iterator[Local]:
    with Local(2) as engine:
        yield engine


@contextmanager
def killer(victims: Callable[[], list[psutil.Process]], every: float) -> Iterator[list[int]]:
    """Kills one of the victims, by SIGKILL, time after time."""
    killed: list[int] = []
    stop = threading.Event()
    rng = random.Random(3)

    def kill() -> None:
        while not stop.wait(every):
            with suppress(psutil.Error, IndexError):
                victim = rng.choice(victims())
                victim.kill()
                killed.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("units", [0, 1, 3, 4, 30])
def test_every_unit_comes_out_once(units: int, workers: int, threads: bool) -> None:
    with Local(workers) as engine:
        assert engine.workers == workers
        assert values(list(engine.map(work.square, range(units), threads=threads))) == [n * n for n in range(units)]


@pytest.mark.parametrize("threads", [False, True])
def test_units_are_drawn_only_as_there_is_room(engine: Local, threads: bool) -> None:
    drawn = 0

    def feed() -> Iterator[int]:
        nonlocal drawn
        for n in range(40):
            drawn += 1
            yield n

    out = 0
    for _ in engine.map(partial(work.slowly, seconds=0.002), feed(), threads=threads):
        out += 1
        assert drawn - out <= 2 * engine.workers
    assert out == 40


def test_threads_are_of_this_process_and_processes_are_not(engine: Local) -> None:
    assert {o.value for o in engine.map(work.pid, range(8), threads=True)} == {os.getpid()}
    assert os.getpid() not in {o.value for o in engine.map(work.pid, range(8))}


def test_a_death_names_its_unit_and_cause_and_costs_no_other(engine: Local, tmp_path: Path) -> None:
    # With one pool for all workers, a death took the neighbours along, and they were tried again too.
    log = tmp_path / "log"
    outcomes = list(engine.map(partial(work.slowly_or_dead, seconds=0.03, log=log), range(12)))
    assert values(outcomes) == [n for n in range(12) if n != 3]
    assert error(outcomes).rule == "worker-died"
    assert "SIGKILL" in str(error(outcomes))
    begun = Counter(log.read_text().split())
    assert begun.pop("3") == 4
    assert set(begun.values()) == {1}


def test_a_crash_is_told_by_its_signal(engine: Local) -> None:
    assert "SIGABRT" in str(error(list(engine.map(work.aborts, range(8)))))


@pytest.mark.parametrize("threads", [False, True])
def test_no_memory_names_the_unit_and_what_there_was(engine: Local, threads: bool) -> None:
    # Under a limit on addresses; threads would share it.
    outcomes = list(engine.map(work.asks_too_much if threads else work.starves, range(8), threads=threads))
    assert values(outcomes) == [0, 1, 2, 4, 5, 6, 7]
    told = error(outcomes)
    assert told.rule == "out-of-memory"
    assert "GB free of" in told.message
    assert "corpuscle plan" in told.fix


def test_errors_on_purpose_are_kept_and_others_are_told(engine: Local) -> None:
    assert isinstance(error(list(engine.map(work.grumbles, range(8)))), FormatError)
    told = error(list(engine.map(work.breaks, range(8))))
    assert (told.rule, told.message) == ("op-failed", "ZeroDivisionError: by nothing")


def forked_by_server(engine: Local) -> Callable[[], list[psutil.Process]]:
    """The living workers, asked of the process that forks them."""
    (one, *_) = {o.value for o in engine.map(work.pid, range(20))}
    server = psutil.Process(one).parent()
    assert server is not None
    return partial(server.children)


def test_the_death_of_workers_never_loses_a_unit() -> None:
    with Local(2) as engine, killer(forked_by_server(engine), 0.25) as killed:
        outcomes = list(engine.map(partial(work.slowly, seconds=0.03), range(60)))
    assert killed
    assert values(outcomes) == list(range(60))


def test_the_server_that_forks_workers_may_die() -> None:
    with Local(2) as engine:
        (one, *_) = {o.value for o in engine.map(work.pid, range(20))}
        server = psutil.Process(one).parent()
        assert server is not None
        outcomes = []
        for outcome in engine.map(partial(work.slowly, seconds=0.02), range(30)):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                server.kill()
        assert values(outcomes) == list(range(30))
        assert not psutil.pid_exists(one) or psutil.Process(one).status() == psutil.STATUS_ZOMBIE


def test_a_map_that_is_left_early_leaves_nothing_behind(engine: Local) -> None:
    for outcome in engine.map(partial(work.slowly, seconds=0.05), range(100, 120)):
        assert outcome.unit >= 100
        break
    assert values(list(engine.map(work.square, range(10)))) == [n * n for n in range(10)]


def test_maps_may_run_beside_each_other(engine: Local) -> None:
    a, b = engine.map(work.square, range(10)), engine.map(partial(work.slowly, seconds=0), range(10))
    both = list(zip(a, b, strict=True))
    assert values([x for x, _ in both]) == [n * n for n in range(10)]
    assert values([y for _, y in both]) == list(range(10))


def test_what_cannot_travel_is_told(engine: Local) -> None:
    list(engine.map(work.square, range(9)))  # from here on there are processes
    with pytest.raises(StepError, match="cannot be sent"):
        list(engine.map(lambda n: n, range(9)))
    locks = [threading.Lock(), *range(8)]
    told = [o.error for o in engine.map(work.square, locks) if o.error is not None]
    assert [e.rule for e in told] == ["not-sendable"]
    assert error(list(engine.map(work.answers_with_a_lock, range(9)))).rule == "not-sendable"


def test_no_workers_are_refused() -> None:
    with pytest.raises(SettingsError):
        Local(0)


def test_an_attempt_that_finds_no_memory_is_made_again() -> None:
    tries = []

    def work_(n: int) -> int:
        tries.append(n)
        if len(tries) == 1:
            raise MemoryError
        return n

    assert attempt(work_, 7).value == 7


def script(tmp_path: Path, text: str) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(text)
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.Popen(
        [sys.executable, str(path)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


RUN = """
import sys
from functools import partial
from corpuscle.blocks.engines.local import Local
from tests.blocks import engine_work as work
{guard}
    with Local(2) as engine:
        pids = {{o.value for o in engine.map(work.pid, range(20))}}
        print(*pids, flush=True)
        for outcome in engine.map(partial(work.slowly, seconds=1), range(100)):
            pass
"""


def test_a_script_without_a_main_guard_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    start = time.monotonic()
    said = script(tmp_path, RUN.format(guard="if True:")).communicate(timeout=60)[1]
    assert "no-workers" in said
    assert "__main__" in said
    assert time.monotonic() - start < 60


def test_workers_end_with_a_coordinator_that_is_killed(tmp_path: Path) -> None:
    with script(tmp_path, RUN.format(guard="if __name__ == '__main__':")) as run:
        assert run.stdout is not None
        pids = [int(p) for p in run.stdout.readline().split()]
        assert pids
        run.kill()
        run.communicate()
    until = time.monotonic() + 5
    while time.monotonic() < until and any(_lives(p) for p in pids):
        time.sleep(0.05)
    assert not any(_lives(p) for p in pids)


def _lives(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.mark.slow
def test_workers_killed_for_a_minute_lose_nothing() -> None:
    with Local(3) as engine, killer(forked_by_server(engine), 0.4) as killed:
        outcomes = list(engine.map(partial(work.slowly, seconds=0.05), range(1500)))
    assert len(killed) > 20
    assert values(outcomes) == list(range(1500))
