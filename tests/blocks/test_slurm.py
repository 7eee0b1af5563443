"""Behind a queue: jobs that come late, never, twice, or are killed when their time is up change nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.blocks.engines.dask import Dask
from corpuscle.errors import SettingsError, StepError
from tests.blocks import engine_work as work
from tests.blocks import fake_slurm

slurm = pytest.importorskip("corpuscle.blocks.engines.slurm", reason="the extra `cluster` is not installed")
ROOT = Path(__file__).resolve().parents[2]
Queue = Callable[..., str]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue with the accidents given; answers how a cluster behind it is asked for."""

    def with_fates(*fates: str, walltime: str = "00:05:00", margin: int = 2, most: int = 2) -> str:
        tools = fake_slurm.install(tmp_path, *fates)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        return f"slurm:memory=1GB,walltime={walltime},margin={margin},min=1,max={most},interval=0.5"

    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    yield with_fates
    fake_slurm.clear(tmp_path)


def carried(where: str, folder: Path, units: int, seconds: float) -> float:
    """Carry units out, each of which must come out once; the time it took."""
    start = time.monotonic()
    with Dask(where, share=folder) as engine:
        out = [o.value for o in engine.map(partial(work.slowly, seconds=seconds), range(units))]
    assert sorted(out) == list(range(units))
    return time.monotonic() - start


def test_a_job_that_is_lost_is_replaced_and_one_that_is_doubled_does_no_harm(queue: Queue, tmp_path: Path) -> None:
    carried(queue("lost", "twice"), tmp_path, 20, 0.05)
    assert fake_slurm.submitted(tmp_path) >= 2
    assert not fake_slurm.squeue(tmp_path)


def test_a_queue_that_refuses_is_told(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(StepError) as e:
        carried(queue(*["refused"] * 20), tmp_path, 5, 0)
    assert e.value.rule == "no-workers"
    assert "Invalid account" in e.value.message


def test_jobs_that_always_end_without_a_worker_are_told(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(StepError) as e:
        carried(queue(*["lost"] * 20), tmp_path, 5, 0)
    assert e.value.rule == "no-workers"
    assert str(tmp_path / "jobs") in e.value.message


@pytest.mark.slow
@pytest.mark.parametrize(
    "fates",
    [["late:4"], ["requeue:4"], ["twice", "twice"], ["lost", "late:3", "requeue:5", "twice"], []],
    ids=lambda f: "-".join(f) or "fine",
)
def test_accidents_of_the_queue_change_nothing(queue: Queue, tmp_path: Path, fates: list[str]) -> None:
    carried(queue(*fates), tmp_path, 60, 0.3)


@pytest.mark.slow
def test_workers_retire_before_their_time_is_up(queue: Queue, tmp_path: Path) -> None:
    carried(queue(walltime="00:00:12", margin=3), tmp_path, 100, 0.3)
    assert fake_slurm.submitted(tmp_path) > 2


@pytest.mark.slow
def test_jobs_killed_at_their_walltime_are_replaced(queue: Queue, tmp_path: Path) -> None:
    # A margin of next to nothing: the whole process group is killed while units run.
    carried(queue(walltime="00:00:08", margin=0), tmp_path, 100, 0.3)
    assert fake_slurm.submitted(tmp_path) > 2


@pytest.mark.slow
def test_several_workers_to_a_job(queue: Queue, tmp_path: Path) -> None:
    where = queue(walltime="00:00:12", margin=3) + ",cores=2"
    with Dask(where, share=tmp_path) as engine:
        assert engine.workers == 4
        out = [o.value for o in engine.map(partial(work.slowly, seconds=0.2), range(150))]
    assert sorted(out) == list(range(150))


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_time_limits_are_read_in_every_form(d: int, h: int, m: int, s: int) -> None:
    whole = ((d * 24 + h) * 60 + m) * 60 + s
    assert slurm.seconds(f"{d}-{h}:{m:02}:{s:02}") == whole
    assert slurm.seconds(f"{d * 24 + h}:{m:02}:{s:02}") == whole
    assert slurm.seconds(f"{d}-{h}:{m}") == whole - s
    assert slurm.seconds(f"{d}-{h}") == whole - 60 * m - s
    assert slurm.seconds(f"{m}:{s}") == 60 * m + s
    assert slurm.seconds(f"{m}") == 60 * m


@pytest.mark.parametrize(
    "text",
    ["cores=0", "max=0", "min=3,max=2", "walltime=soon", "walltime=", "cores=x", "walltime=00:00:10,margin=9",
     "prologue=/nowhere/at/all", "colour=red", "most=3"],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        slurm.Jobs.of(text)


def test_without_slurm_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="no sbatch"):
        Dask("slurm:max=2").client  # noqa: B018


def test_a_prologue_is_part_of_every_job(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "prologue").write_text("export HERE=yes\n")
    where = queue() + f",prologue={tmp_path / 'prologue'},queue=cpu,account=me,directive=--exclusive"
    with Dask(where, share=tmp_path) as engine:
        assert [o.error for o in engine.map(work.square, range(3))] == [None] * 3
        assert set(engine.client.run(work.environ, "HERE").values()) == {"yes"}
        assert set(engine.client.run(work.environ, "MALLOC_TRIM_THRESHOLD_").values()) == {str(64 << 20)}
    script = (tmp_path / "jobs" / "1.script").read_text()
    for line in ("#SBATCH -p cpu", "#SBATCH -A me", "#SBATCH --exclusive", "#SBATCH -t 00:05:00"):
        assert line in script.splitlines()
