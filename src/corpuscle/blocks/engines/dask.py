"""Any Dask cluster: at an address, on this machine, or behind SLURM; the coordinator stays here."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from corpuscle.blocks.engines.line import Line, Ticket
from corpuscle.blocks.engines.outcome import Outcome
from corpuscle.blocks.engines.parcel import carry, opened, wrap
from corpuscle.errors import SettingsError, StepError, extra_missing

if TYPE_CHECKING:
    from corpuscle.blocks.engines.join import Joined

U = TypeVar("U")
TICK = 1.0
LOOK = 5.0
"""Seconds between two looks at the scheduler while nothing comes back."""
PATIENCE = 45.0
"""Seconds without a worker after which a cluster that starts none by itself is given up."""
QUICK = 0.1
MANY = 8
"""So many units per worker are under way where one takes less than QUICK seconds, and its errand as long again."""
SMALL = 32_768
"""Bytes of work that go with every unit; larger work is kept by the workers."""


class Dask:
    """Units as tasks of a Dask cluster, `window` per worker at a time, never one large graph.

    `where` is a scheduler's address (``tcp://host:8786``), the path of a scheduler file,
    ``local:4`` (so many processes of this machine), ``slurm:queue=cpu,memory=16GB,max=40``
    (jobs that are submitted as there is need: see `engines.slurm`), or a client or cluster of
    one's own. `share` is a folder that every worker must see.

    A unit on which a worker dies comes again, as with the local engine; what was not done when
    the scheduler is lost is told by a StepError within a minute, and done by the next run.
    """

    def __init__(self, where: Any, *, window: int = 2, share: Path | None = None) -> None:
        if window < 1:
            raise SettingsError(f"a window of {window} units lets none in", fix="ask for at least one")
        try:
            import distributed  # noqa: F401
        except ImportError as e:
            raise extra_missing("cluster", "a Dask cluster") from e
        self._where = where
        self._window = window
        self._share = share
        self._joined: Joined | None = None
        self._threads = 0
        self._seen = 0.0
        self._manned = 0.0

    def __enter__(self) -> Dask:
        self._join()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._joined is not None:
            self._joined.close()
            self._joined = None

    @property
    def workers(self) -> int:
        """Threads of all workers, or of as many as the cluster may grow to."""
        joined = self._join()
        if time.monotonic() - self._seen > LOOK:
            self._look(joined)
        return max(1, self._threads, joined.most)

    @property
    def client(self) -> Any:
        """The Dask client, connected."""
        return self._join().client

    def map(self, work: Callable[[U], Any], units: Iterable[U], *, threads: bool = False) -> Iterator[Outcome[U]]:
        """One outcome per unit, as they finish. Workers have one thread each, so `threads` changes nothing."""
        del threads
        joined = self._join()
        parcel = wrap(work, dumps=joined.dumps)
        line = Line(iter(units))
        number, name = itertools.count(), f"corpuscle-{uuid.uuid4().hex}"
        done: SimpleQueue[Any] = SimpleQueue()
        flying: dict[str, tuple[Ticket[U], Any]] = {}
        self._manned = time.monotonic()
        kept = joined.keep(parcel) if len(parcel) > SMALL else parcel
        mean = 1.0
        while True:
            room = self.workers * (self._window if mean > QUICK else max(self._window, MANY))
            while len(flying) < room and (ticket := line.draw(len(flying))) is not None:
                try:
                    unit = wrap(ticket.unit, dumps=joined.dumps)
                except StepError as e:
                    yield Outcome(ticket.unit, None, e, 0.0)
                    continue
                future = joined.client.submit(carry, kept, unit, key=f"{name}-{next(number)}", pure=False)
                flying[future.key] = ticket, future
                future.add_done_callback(done.put)
            if not flying:
                return
            for future, answer in joined.results(self._landed(joined, done)):
                if answer is None:
                    future.add_done_callback(done.put)
                    continue
                ticket, _ = flying.pop(future.key)
                if isinstance(answer, bytes):
                    outcome = opened(ticket.unit, answer)
                    mean += (outcome.seconds - mean) / 4
                    yield outcome
                elif isinstance(answer, StepError):
                    answer.where = str(ticket.unit)
                    yield Outcome(ticket.unit, None, answer, 0.0)
                elif answer.task != future.key:  # a worker died as it took the work in, before a unit began
                    kept = joined.keep(parcel)
                    line.back(ticket)
                elif given_up := line.struck(ticket, answer.cause, for_memory=answer.for_memory, deaths=answer.deaths):
                    yield given_up

    def rest(self) -> None:
        """Give back a cluster of this machine, which the next need starts again; any other minds itself."""
        if self._joined is not None and self._joined.restarts:
            self._joined.close()
            self._joined = None

    def _join(self) -> Joined:
        if self._joined is None:
            from corpuscle.blocks.engines.join import join

            self._joined = join(self._where, share=self._share, patience=PATIENCE)
            self._manned = time.monotonic()
            self._look(self._joined)
        return self._joined

    def _landed(self, joined: Joined, done: SimpleQueue[Any]) -> list[Any]:
        """What has come back, once anything has; a StepError as soon as nothing can come back any more."""
        while True:
            try:
                landed = [done.get(timeout=TICK)]
            except Empty:
                if time.monotonic() - self._seen > LOOK or not joined.alive:
                    self._look(joined)
                continue
            while not done.empty():
                landed.append(done.get())
            return landed

    def _look(self, joined: Joined) -> None:
        """How many threads there are; a StepError where the scheduler, or the last worker, is gone for good."""
        self._threads = joined.threads()
        self._seen = time.monotonic()
        if self._threads:
            self._manned = self._seen
        elif not joined.grows and self._seen - self._manned > PATIENCE:
            raise joined.deserted(PATIENCE)
