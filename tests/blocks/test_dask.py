"""A Dask cluster carries units out as this machine does, and its losses are survived or told at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from corpuscle.blocks.engines import dask as module
from corpuscle.blocks.engines.dask import Dask
from corpuscle.blocks.engines.outcome import Outcome
from corpuscle.errors import CorpuscleError, FormatError, SettingsError, StepError
from tests.blocks import engine_work as work

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    with Dask("local:2", share=tmp_path_factory.mktemp("share")) as engine:
        yield engine


def values(outcomes: list[Outcome[int]]) -> list[Any]:
    return sorted(o.value for o in outcomes if o.error is None)


def error(outcomes: list[Outcome[int]]) -> CorpuscleError:
    (bad,) = [o for o in outcomes if o.error is not None]
    assert bad.unit == 3
    assert bad.error is not None
    return bad.error


def pids(engine: Dask) -> list[int]:
    return [int(info["pid"]) for info in engine.client.run(_facts).values()]


def _facts() -> dict[str, int]:
    return {"pid": os.getpid()}


@pytest.mark.parametrize("units", [0, 1, 5, 60])
def test_every_unit_comes_out_once(engine: Dask, units: int) -> None:
    assert engine.workers == 2
    assert values(list(engine.map(work.square, range(units)))) == [n * n for n in range(units)]


def test_what_was_done_before_is_done_again_when_it_is_asked_for(engine: Dask, tmp_path: Path) -> None:
    # A cluster answers from its memory where it believes that a task is the same.
    job = partial(work.slowly, seconds=0, log=tmp_path / "log")
    for _ in range(2):
        assert values(list(engine.map(job, range(5)))) == list(range(5))
    assert len((tmp_path / "log").read_text().split()) == 10


def test_units_are_drawn_only_as_there_is_room(engine: Dask) -> None:
    drawn = 0

    def feed() -> Iterator[int]:
        nonlocal drawn
        for n in range(16):
            drawn += 1
            yield n

    out = 0
    for _ in engine.map(partial(work.slowly, seconds=0.12), feed()):
        out += 1
        assert drawn - out <= 2 * engine.workers
    assert out == 16


def weigh(n: int, *, ballast: Any) -> int:
    return n + int(ballast.size)


def test_large_work_reaches_the_workers(engine: Dask) -> None:
    job = partial(weigh, ballast=np.zeros(1 << 20, np.uint8))
    assert values(list(engine.map(job, range(9)))) == [n + (1 << 20) for n in range(9)]


def test_errors_come_back_as_from_this_machine(engine: Dask) -> None:
    assert isinstance(error(list(engine.map(work.grumbles, range(5)))), FormatError)
    assert error(list(engine.map(work.breaks, range(5)))).rule == "op-failed"
    assert error(list(engine.map(work.starves, range(5)))).rule == "out-of-memory"
    assert error(list(engine.map(work.answers_with_a_lock, range(5)))).rule == "not-sendable"


def test_work_that_cannot_travel_is_told(engine: Dask) -> None:
    lock = threading.Lock()
    with pytest.raises(StepError, match="cannot be sent"):
        list(engine.map(lambda n: (n, lock), range(3)))


def test_workers_have_the_allocator_that_blocks_want(engine: Dask) -> None:
    told = engine.client.run(work.environ, "MALLOC_TRIM_THRESHOLD_")
    assert set(told.values()) == {str(64 << 20)}


@pytest.mark.slow
def test_leaving_a_cluster_leaves_the_environment_as_it_was() -> None:
    def ours() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("__DASK")}

    before = ours()
    with Dask("local:1") as engine:
        assert values(list(engine.map(work.square, range(3)))) == [0, 1, 4]
    assert ours() == before


def test_killed_workers_cost_no_unit_and_a_unit_that_kills_is_named(engine: Dask) -> None:
    out = []
    for outcome in engine.map(partial(work.slowly, seconds=0.05), range(60)):
        out.append(outcome)
        if len(out) in (5, 35):
            os.kill(pids(engine)[0], signal.SIGKILL)
    assert values(out) == list(range(60))
    told = error(list(engine.map(work.dies_on_three, range(6))))
    assert told.rule == "worker-died"
    assert told.where == "3"
    assert "SIGKILL" in told.message


@contextmanager
def cluster(folder: Path, workers: int = 1) -> Iterator[tuple[Path, psutil.Process]]:
    """A scheduler and workers that are processes of their own, as an address finds them."""
    file = folder / "scheduler.json"
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    run = [sys.executable, "-m"]
    with ExitStack() as stack, (folder / "log").open("wb") as log:

        def start(*args: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([*run, *args], env=env, stdout=log, stderr=log, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        options = ["--scheduler-file", str(file), "--no-dashboard"]
        scheduler = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *options)
        for _ in range(workers):
            start("distributed.cli.dask_worker", *options, "--nthreads", "1", "--no-nanny",
                  "--local-directory", str(folder))  # fmt: skip
        until = time.monotonic() + 30
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.05)
        yield file, psutil.Process(scheduler.pid)


def test_a_lost_scheduler_is_told_at_once(tmp_path: Path) -> None:
    with cluster(tmp_path) as (file, scheduler), Dask(str(file)) as engine:
        outcomes = engine.map(partial(work.slowly, seconds=0.05), range(500))
        out = [next(outcomes) for _ in range(3)]
        scheduler.kill()
        killed = time.monotonic()
        with pytest.raises(StepError) as e:
            out.extend(outcomes)
        assert e.value.rule == "scheduler-lost"
        assert time.monotonic() - killed < 60
        assert "tcp://127.0.0.1" in str(e.value)
        assert len({o.unit for o in out}) == len(out)


@pytest.mark.slow
def test_a_scheduler_that_hangs_is_told_within_a_minute(tmp_path: Path) -> None:
    with cluster(tmp_path) as (file, scheduler), Dask(str(file)) as engine:
        outcomes = engine.map(partial(work.slowly, seconds=0.05), range(500))
        next(outcomes)
        scheduler.suspend()
        start = time.monotonic()
        with pytest.raises(StepError) as e:
            list(outcomes)
        assert e.value.rule == "scheduler-lost"
        assert time.monotonic() - start < 60
        scheduler.kill()


def test_a_cluster_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    with cluster(tmp_path, workers=0) as (file, _), pytest.raises(StepError) as e, Dask(file):
        pass
    assert e.value.rule == "no-workers"


def test_an_address_where_nobody_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from corpuscle.blocks.engines import join

    monkeypatch.setattr(join, "ANSWER", 1.0)
    with pytest.raises(StepError) as e:
        Dask("tcp://127.0.0.1:9").client  # noqa: B018
    assert e.value.rule == "scheduler-unreachable"


@pytest.mark.parametrize(
    "where", ["", "nowhere", "local:", "local:0", "local:x", "local:2,x=3", "slurm:x=1", "slurm:max"]
)
def test_what_is_no_cluster_is_refused(where: str) -> None:
    with pytest.raises(SettingsError):
        Dask(where).client  # noqa: B018


def test_a_window_lets_something_in() -> None:
    with pytest.raises(SettingsError):
        Dask("local:2", window=0)


@pytest.mark.slow
def test_a_unit_that_outgrows_its_worker_is_named() -> None:
    with Dask("local:2,memory=400MB") as engine:
        told = error(list(engine.map(work.swells, range(6))))
    assert told.rule == "out-of-memory"
    assert told.where == "3"
    assert "of the 0.40 GB" in told.message


@pytest.mark.slow
def test_a_worker_killed_every_few_seconds_for_a_minute() -> None:
    with Dask("local:2") as engine:
        stop = threading.Event()
        killed: list[list[int]] = []

        def kill() -> None:
            while not stop.wait(3):
                found = pids(engine)
                if found:
                    os.kill(found[len(killed) % len(found)], signal.SIGKILL)
                    killed.append(found)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            out = list(engine.map(partial(work.slowly, seconds=0.3), range(200)))
        finally:
            stop.set()
            thread.join()
    assert len(killed) >= 8
    assert values(out) == list(range(200))
