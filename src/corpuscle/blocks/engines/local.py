"""This machine: a pool of processes, any of which may die without taking the run along."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.errors import SettingsError, StepError

U = TypeVar("U")
STRIKES = 2
FEW = 3


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


class Local:
    """A pool of `workers` processes, started at the first need; one worker means this very process.

    A worker that dies (killed, out of memory, a crash in a library) costs the units in flight a
    strike. They are tried again one at a time, so that a second death names its unit, which is
    then listed as failed; the run goes on.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = cores() if workers is None else workers
        if self.workers < 1:
            raise SettingsError(f"{workers} workers can do nothing", fix="ask for at least one")
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Local:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._drop()

    def map(self, work: Callable[[U], Any], units: Iterable[U]) -> Iterator[Outcome[U]]:
        """One outcome per unit, as they finish; at most two units per worker wait in line."""
        if self.workers == 1:
            for unit in units:
                yield attempt(work, unit)
            return
        feed = iter(units)
        # Starting processes takes longer than a handful of units.
        head = list(islice(feed, FEW + 1)) if self._pool is None else []
        if self._pool is None and len(head) <= FEW:
            for unit in head:
                yield attempt(work, unit)
            return
        yield from self._pooled(work, _chain(head, feed))

    def rest(self) -> None:
        """End the processes, which hold memory while they wait; the next need starts new ones."""
        self._drop()

    def _pooled(self, work: Callable[[U], Any], feed: Iterator[U]) -> Iterator[Outcome[U]]:
        flying: dict[Future[Outcome[U]], U] = {}
        suspects: list[U] = []
        while True:
            while len(flying) < 2 * self.workers and (unit := next(feed, None)) is not None:
                flying[self._start().submit(attempt, work, unit)] = unit
            if not flying:
                break
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                unit = flying.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    suspects.append(unit)
                    broken = True
            if broken:
                suspects += flying.values()
                flying.clear()
                self._drop()
                for unit in suspects:
                    yield self._alone(work, unit)
                suspects.clear()

    def _alone(self, work: Callable[[U], Any], unit: U) -> Outcome[U]:
        for _ in range(STRIKES):
            try:
                return self._start().submit(attempt, work, unit).result()
            except BrokenProcessPool:
                self._drop()
        cause = StepError(
            f"the worker died {STRIKES + 1} times on this unit",
            where=str(unit),
            fix="it may need more memory than there is: see `corpuscle plan`, or use fewer workers",
            rule="worker-died",
        )
        return Outcome(unit, None, cause, 0.0)

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["numpy", "corpuscle.core"])
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_quiet)
        return self._pool

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _quiet() -> None:
    """Leave Ctrl-C to the coordinator, and one thread to each library: the pool is the parallelism."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _end_with_parent() -> None:
    """Wait for the coordinator to die, however it does, and die too: nobody is left to take an answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chain(head: list[U], rest: Iterator[U]) -> Iterator[U]:
    yield from head
    yield from rest
