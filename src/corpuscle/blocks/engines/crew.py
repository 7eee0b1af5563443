"""Worker processes of this machine, each with a pipe of its own, so that a death is one worker's affair."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from corpuscle.blocks.engines.blame import kills, memory
from corpuscle.blocks.engines.heaps import few_heaps
from corpuscle.blocks.engines.parcel import carry
from corpuscle.errors import StepError

PATIENCE = 60.0
"""Seconds in which a process must have come up."""
STARTS = 3
QUIET = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_READY, _WORK, _UNIT, _END = b"r", b"w", b"u", b"e"


class Worker:
    """One process, and what it was sent and has not answered yet, the one it is at first."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["numpy", "corpuscle.core", "corpuscle.blocks.engines.parcel"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), name="corpuscle-worker")
        try:
            with _one_thread_each():
                self.process.start()
        finally:
            theirs.close()
        self.hand: deque[Any] = deque()
        self.ready = False
        self.born = time.monotonic()
        self._work: int | None = None

    def send(self, ticket: Any, unit: bytes, work: bytes, number: int) -> None:
        """One more unit; the work goes before the first of each numbered kind. A dead worker is told of by `hear`."""
        self.hand.append(ticket)
        with suppress(OSError):
            if self._work != number:
                self.pipe.send_bytes(_WORK + work)
                self._work = number
            self.pipe.send_bytes(_UNIT + unit)

    def hear(self) -> Iterator[bytes]:
        """What it has answered by now; an EOFError after the last answer of one that is dead."""
        dead = self.process.exitcode is not None
        if dead:
            self._kill_orphan()
        try:
            # The last words of a dead one are in the pipe still, and then its end.
            while self.pipe.poll(5 if dead else 0):
                message = self.pipe.recv_bytes()
                if message == _READY and not self.ready:
                    self.ready = True
                else:
                    yield message
        except OSError as e:
            raise EOFError from e

    def bury(self) -> int | None:
        """Make sure that it is dead; its exit code."""
        self.process.join(5)
        self._kill_orphan()
        self.pipe.close()
        return self.process.exitcode

    def _kill_orphan(self) -> None:
        """Where the server that forked it is gone, it may live on, and nobody would tell of its death later."""
        if self.process.exitcode in (None, 255) and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let an idle one go home, and kill a busy one: what it was writing is old or new on disk."""
        if self.hand or not self.ready:
            self.process.kill()
        else:
            with suppress(OSError):
                self.pipe.send_bytes(_END)


class Crew:
    """Up to `size` workers, started as they are needed, replaced as they die."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: list[Worker] = []
        self._failed = 0
        self._kills = kills()
        self._ended = weakref.finalize(self, _end, self.workers)

    @property
    def flying(self) -> int:
        """How many units are in the hands of workers."""
        return sum(len(w.hand) for w in self.workers)

    def room(self, depth: int) -> bool:
        """Whether one more unit may go to a worker, where each may hold `depth`."""
        return len(self.workers) < self.size or any(len(w.hand) < depth for w in self.workers)

    def next(self) -> Worker:
        """Who should have the next unit: an idle worker, a new one, or the one with the fewest."""
        least = min(self.workers, key=lambda w: len(w.hand), default=None)
        if least is not None and (not least.hand or len(self.workers) == self.size):
            return least
        try:
            self.workers.append(Worker())
        except (OSError, EOFError) as e:
            if least is None:
                raise self._none(f"{type(e).__name__}: {e}") from e
            return least
        return self.workers[-1]

    def listen(self) -> list[Worker]:
        """Wait for answers or deaths: the workers that have something to tell."""
        due = [w.born + PATIENCE for w in self.workers if not w.ready]
        limit = max(0.0, min(due) - time.monotonic()) if due else None
        ears: dict[Any, Worker] = {x: w for w in self.workers for x in (w.pipe, w.process.sentinel)}
        heard = wait(list(ears), limit)
        for worker in self.workers if not heard else ():
            if not worker.ready and time.monotonic() >= worker.born + PATIENCE:
                worker.process.kill()
        return list({id(ears[x]): ears[x] for x in heard}.values())

    def lose(self, worker: Worker) -> tuple[int | None, bool]:
        """A dead worker leaves: its exit code, and whether it was killed for memory, as far as the system tells."""
        self.workers.remove(worker)
        code = worker.bury()
        before, self._kills = self._kills, kills()
        if worker.ready:
            self._failed = 0
        else:
            self._failed += 1
            if self._failed >= STARTS:
                raise self._none(f"the last of {STARTS} ended with exit code {code} before it was ready")
        return code, code == -signal.SIGKILL and self._kills > before

    def end(self) -> None:
        """End all processes; busy ones are killed."""
        self._ended()

    def _none(self, why: str) -> StepError:
        return StepError(
            f"no worker process can be started: {why}; there is {memory()}",
            where="workers",
            fix="a script must start its run under `if __name__ == '__main__':`; "
            "else look at the limits on processes and memory, or use one worker",
            rule="no-workers",
        )


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.process.join(2)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(5)
        worker.pipe.close()
    workers.clear()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """While the first worker starts: libraries read this as they load, and the workers are the parallelism."""
    added = [name for name in QUIET if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _serve(pipe: Connection) -> None:
    """A worker's life: one unit after another, until the coordinator says so or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's
    few_heaps()
    os.environ.update({name: os.environ.get(name, "1") for name in QUIET})
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    pipe.send_bytes(_READY)
    work = b""
    while (message := inbox.get())[:1] != _END:
        if message[:1] == _WORK:
            work = message[1:]
        else:
            answer = carry(work, message[1:])
            try:
                pipe.send_bytes(answer)
            except OSError:  # the coordinator is gone; nobody is left to be told
                return


def _receive(pipe: Connection, inbox: SimpleQueue[bytes]) -> None:
    """Take in what is sent, always, so that no side ever waits for the other to read.

    With the coordinator gone, however it went, nobody is left to take an answer.
    """
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)
