"""This machine: processes, any of which may die without taking the run along, or threads of this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from types import TracebackType
from typing import Any, TypeVar

from corpuscle.blocks.engines.blame import cause
from corpuscle.blocks.engines.crew import Crew, Worker
from corpuscle.blocks.engines.heaps import few_heaps
from corpuscle.blocks.engines.line import Line
from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.blocks.engines.parcel import opened, wrap
from corpuscle.errors import SettingsError, StepError

U = TypeVar("U")
FEW = 3
QUICK = 0.25
"""Seconds: a worker has its next unit at hand already where units take less; a longer one is free for any worker."""


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Local:
    """`workers` processes, started at the first need; one worker means this very process.

    A worker that dies (killed, out of memory, a crash in a library) takes no other along, and the
    unit it was at comes again; one that kills its workers time after time is listed as failed
    with what they died of, and the run goes on. Work that frees the interpreter lock is carried
    out by as many threads of this process instead.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = cores() if workers is None else workers
        if self.workers < 1:
            raise SettingsError(f"{workers} workers can do nothing", fix="ask for at least one")
        self._idle: Crew | None = None
        self._busy: list[Crew] = []
        self._maps = 0

    def __enter__(self) -> Local:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.rest()
        while self._busy:
            self._busy.pop().end()

    def map(self, work: Callable[[U], Any], units: Iterable[U], *, threads: bool = False) -> Iterator[Outcome[U]]:
        """One outcome per unit, as they finish; at most two units per worker wait in line."""
        if self.workers == 1:
            for unit in units:
                yield attempt(work, unit)
            return
        feed = iter(units)
        if threads:
            yield from self._threaded(work, feed)
            return
        # Starting processes takes longer than a handful of units.
        head = list(islice(feed, FEW + 1)) if self._idle is None else []
        if self._idle is None and len(head) <= FEW:
            for unit in head:
                yield attempt(work, unit)
            return
        yield from self._manned(work, chain(head, feed))

    def rest(self) -> None:
        """End the idle processes, which hold memory while they wait; the next need starts new ones."""
        if self._idle is not None:
            self._idle.end()
            self._idle = None

    def _threaded(self, work: Callable[[U], Any], feed: Iterator[U]) -> Iterator[Outcome[U]]:
        few_heaps(self.workers + 1)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="corpuscle")
        flying: set[Future[Outcome[U]]] = set()
        try:
            while True:
                flying |= {pool.submit(attempt, work, unit) for unit in islice(feed, 2 * self.workers - len(flying))}
                if not flying:
                    break
                done, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _manned(self, work: Callable[[U], Any], feed: Iterator[U]) -> Iterator[Outcome[U]]:
        parcel = wrap(work)
        self._maps += 1
        number = self._maps
        crew, self._idle = self._idle or Crew(self.workers), None
        self._busy.append(crew)
        line = Line(feed)
        mean = 0.0
        try:
            while True:
                while crew.room(2 if mean < QUICK else 1) and (ticket := line.draw(crew.flying)) is not None:
                    try:
                        unit = wrap(ticket.unit)
                    except StepError as e:
                        yield Outcome(ticket.unit, None, e, 0.0)
                    else:
                        crew.next().send(ticket, unit, parcel, number)
                if not crew.flying:
                    break
                for worker in crew.listen():
                    for outcome in _told(worker, crew, line):
                        mean += (outcome.seconds - mean) / 4
                        yield outcome
        finally:
            if crew in self._busy:  # else the engine was left meanwhile, and ended it
                self._busy.remove(crew)
                if crew.flying or self._idle is not None:
                    crew.end()
                else:
                    self._idle = crew


def _told(worker: Worker, crew: Crew, line: Line[U]) -> Iterator[Outcome[U]]:
    """What a worker has to tell: answers, and then perhaps its own death."""
    try:
        for answer in worker.hear():
            yield opened(worker.hand.popleft().unit, answer)
    except EOFError:
        code, for_memory = crew.lose(worker)
        given_up = None
        if worker.ready and worker.hand:
            dead = worker.hand.popleft()
            given_up = line.struck(dead, cause(code, for_memory=for_memory), for_memory=for_memory)
        while worker.hand:
            line.back(worker.hand.pop())
        if given_up is not None:
            yield given_up
