"""A few jobs done for real in fresh processes, as many at once as a run would have, and what each of them took."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from corpuscle.blocks.engines.heaps import few_heaps
from corpuscle.blocks.gauge import high_water, proportional, trim, used
from corpuscle.blocks.progress import Stage, Watch
from corpuscle.blocks.receipts import Journal
from corpuscle.errors import CorpuscleError, PlanError, StepError

Job = Callable[[Path, Watch], Any]
"""One thing to do in a folder, that a process can be sent; later jobs find there what earlier ones left."""

QUICK = 60.0
GLANCE = 0.02


@dataclass(frozen=True, slots=True)
class Took:
    """What one job took: seconds, the most memory its process held, bytes on disk that stay, the most there were.

    Memory is in bytes, shared libraries counted in part. `told` is what the job answered.
    """

    seconds: float
    passes: tuple[Stage, ...]
    memory: int
    stays: int
    most: int
    told: Any = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What all jobs took, one after the other, in a process beside as many others.

    `idle` is what one process holds when it has nothing to do, its libraries loaded; `start` the seconds that the
    first time took longer than the second, 0 where there was no second.
    """

    took: tuple[Took, ...]
    idle: int
    start: float


def as_workers(found: Trial, threads: int) -> Trial:
    """What one process found with so many threads at work, told as what each of them took."""

    def each(took: Took) -> Took:
        passes = tuple(p if p.alone else replace(p, seconds=threads * p.seconds) for p in took.passes)
        more = sum(p.seconds for p in passes) - sum(p.seconds for p in took.passes)
        memory = found.idle + (took.memory - found.idle) // threads
        return replace(took, passes=passes, seconds=took.seconds + more, memory=memory)

    return replace(found, took=tuple(each(t) for t in found.took))


def trial(jobs: Sequence[Job], *, workers: int, folder: Path | None = None) -> Trial:
    """Do the jobs in `workers` processes at once, no more than there are cores, each in a folder that is removed.

    All do the same, so that each has the neighbours at work that it would have in a run, in memory and on the disk.
    Where they take less than a minute they are done twice, and the second time counts: in the first, libraries are
    loaded and kernels compiled. Of seconds the mean counts, of memory and disk the most.

    Raises PlanError where a process dies, and what a job raises on purpose.
    """
    count = max(1, min(workers, len(os.sched_getaffinity(0))))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy", "corpuscle.core"])
    with tempfile.TemporaryDirectory(prefix="corpuscle-plan-", dir=folder) as place:
        pipes: list[Connection] = []
        processes = []
        for i in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(theirs, list(jobs), Path(place) / str(i)), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        try:
            found = [_heard(p) for p in _as_they_end(pipes)]
        finally:
            for process in processes:
                process.terminate()
                process.join()
                process.close()
    took = tuple(_merged([f.took[k] for f in found]) for k in range(len(jobs)))
    return Trial(took, max(f.idle for f in found), max(f.start for f in found))


def _as_they_end(pipes: list[Connection]) -> Iterator[Connection]:
    left = list(pipes)
    while left:
        for pipe in wait(left):
            assert isinstance(pipe, Connection), "nothing but these pipes is waited for"
            left.remove(pipe)
            yield pipe


def _heard(pipe: Connection) -> Trial:
    try:
        told = pipe.recv()
    except EOFError:
        raise PlanError(
            "the process that tried a few blocks died",
            fix="they may need more memory than there is: try smaller blocks or fewer workers",
            rule="plan-died",
        ) from None
    finally:
        pipe.close()
    if isinstance(told, CorpuscleError):
        raise told
    assert isinstance(told, Trial), "a child tells of a trial or an error"
    return told


def _merged(took: Sequence[Took]) -> Took:
    return Took(
        sum(t.seconds for t in took) / len(took),
        tuple(_pass(same) for same in zip(*(t.passes for t in took), strict=True)),
        max(t.memory for t in took),
        max(t.stays for t in took),
        max(t.most for t in took),
        took[0].told,
    )


def _pass(same: Sequence[Stage]) -> Stage:
    """One pass as all processes went through it; the coordinator's alone as it would be with no other beside it."""
    seconds = [p.seconds for p in same]
    return replace(same[0], seconds=min(seconds) if same[0].alone else sum(seconds) / len(seconds))


def _child(pipe: Connection, jobs: list[Job], folder: Path) -> None:
    """Do the jobs, twice if they are quick, and tell the parent of it."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    few_heaps()
    told: Trial | CorpuscleError
    try:
        took = _all(jobs, folder / "first")
        first, start = sum(t.seconds for t in took), 0.0
        if first < QUICK:
            took = _all(jobs, folder / "second")
            start = max(0.0, first - sum(t.seconds for t in took))
        trim()
        idle = proportional(os.getpid())
        shared = max(0, _status("VmRSS") - idle)
        told = Trial(tuple(replace(t, memory=max(idle, t.memory - shared)) for t in took), idle, start)
    except CorpuscleError as e:
        told = e
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError, ArithmeticError, LookupError) as e:
        told = StepError(f"{type(e).__name__}: {e}", fix="see the op and its input", rule="plan-failed")
    with contextlib.suppress(BrokenPipeError):
        pipe.send(told)
    pipe.close()


def _all(jobs: list[Job], folder: Path) -> list[Took]:
    folder.mkdir(parents=True)
    return [_one(job, folder) for job in jobs]


def _one(job: Job, folder: Path) -> Took:
    journal = Journal()
    forgotten = _forget_high_water()
    before = used(folder)
    with _Disk(folder) as disk:
        start = time.perf_counter()
        told = job(folder, journal)
        seconds = time.perf_counter() - start
    after = used(folder)
    top = (_status("VmHWM") if forgotten else 0) or high_water()
    return Took(seconds, journal.passes, top, max(0, after - before), max(disk.most, after) - before, told)


class _Disk:
    """Looks how full a folder is while a job is at work there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.most = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Disk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = GLANCE
        while not self._end.wait(pause):
            start = time.thread_time()
            self.most = max(self.most, used(self.folder))
            pause = max(GLANCE, 20 * (time.thread_time() - start))


def _forget_high_water() -> bool:
    """Whether the system lets the most that was held be counted anew from here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as f:
        for line in f:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
