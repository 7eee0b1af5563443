"""The way into a Dask cluster: found or started, looked over, told of its losses, left in good order."""

from __future__ import annotations

import logging
import os
import re
import time
from asyncio import CancelledError, run_coroutine_threadsafe
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError as Cancelled
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import dask
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm import CommClosedError

from corpuscle.blocks.engines.blame import cause
from corpuscle.blocks.engines.hello import same_everywhere
from corpuscle.errors import SettingsError, StepError

ANSWER = 20.0
"""Seconds within which a scheduler that is alive answers."""
AGAIN = "repeat the command, which goes on from what is done"
# As glibc would have it after a while by itself. Dask's own 64 KiB gives memory back after every
# block and takes it again before the next, page by page, at half the speed.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 64 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
ENVIRON = {**MALLOC, "OMP_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}
CONFIG = {
    "distributed.nanny.pre-spawn-environ": ENVIRON,
    # A worker that holds the interpreter lock through a long unit is not dead.
    "distributed.scheduler.worker-ttl": "30 minutes",
}


@dataclass(frozen=True, slots=True)
class Death:
    """That a worker died on a task: which task, of what, and how many died on it in a row."""

    task: str
    cause: str
    for_memory: bool
    deaths: int


@dataclass(slots=True)
class Joined:
    """A client that is connected, and what is to be done with it and with a cluster that is ours."""

    client: Any
    owned: list[Any]
    """What is to be closed, in this order."""
    log: Log
    most: int = 0
    """Threads that the cluster may grow to by itself; 0 where it does not grow."""
    restarts: bool = False
    trouble: Callable[[], str] = str
    repair: Callable[[], object] | None = None
    """Starts workers that the cluster has given up."""
    dumps: Callable[[object], bytes] = cloudpickle.dumps
    _left: list[Callable[[], object]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the client thinks so."""
        return bool(self.client.status == "running")

    @property
    def grows(self) -> bool:
        """Whether workers may come by themselves, if late."""
        return self.most > 0

    def keep(self, parcel: bytes) -> Any:
        """Work that is large, as a task of its own: a worker takes it in once, and a lost one is made again."""
        return self.client.submit(bytes, parcel, pure=False)

    def threads(self) -> int:
        """Threads of all workers there are; a StepError where the scheduler does not answer."""
        if self.repair is not None:
            self.repair()
        if why := self.trouble():
            raise StepError(why, where=self._place, fix=f"mend that, and {AGAIN}", rule="no-workers")
        if not self.alive:
            raise self.lost()
        try:
            found = self.client.sync(self.client.scheduler.ncores, callback_timeout=ANSWER)
        except (OSError, TimeoutError, CommClosedError) as e:
            raise self.lost() from e
        return sum(found.values())

    def results(self, landed: list[Any]) -> list[tuple[Any, Any]]:
        """Tasks that are done, each with the bytes of its answer, a `Death`, or an error from before the unit began.

        None stands for an answer that was lost with its worker, and is being made again.
        """
        whole = [f for f in landed if f.status == "finished"]
        try:
            answers = self._gathered(whole) if whole else []
        except (KilledWorker, Cancelled, CancelledError):
            if not self.alive:
                raise self.lost() from None
            answers = [None] * len(whole)
        except (OSError, CommClosedError) as e:
            raise self.lost() from e
        return list(zip(whole, answers, strict=True)) + [(f, self._error(f)) for f in landed if f not in whole]

    def _gathered(self, whole: list[Any]) -> list[Any]:
        """Their answers, however long they travel, as long as there is a scheduler that answers."""
        coming = run_coroutine_threadsafe(self.client.gather(whole, asynchronous=True), self.client.loop.asyncio_loop)
        waited = 0
        while not wait([coming], timeout=1).done:
            waited += 1
            if not self.alive or waited % ANSWER == 0:
                try:
                    self.threads()
                except StepError:
                    coming.cancel()
                    raise
        got: list[Any] = coming.result()
        return got

    def _error(self, future: Any) -> Death | StepError | None:
        if future.status == "pending":
            return None
        if future.status != "error":
            self.threads()  # with the scheduler lost, everything is called off
            return Death(future.key, "lost with its answer", False, 1)
        error = future.exception(timeout=ANSWER)
        if isinstance(error, KilledWorker):
            return self._death(error)
        what = f"a worker cannot carry out its task: {type(error).__name__}: {error}"
        return StepError(what, fix="the workers need the same software as the coordinator", rule="not-openable")

    def lost(self) -> StepError:
        """The scheduler is gone."""
        return StepError(
            "the scheduler is lost: it answers no more",
            where=self._place,
            fix=f"start it again and {AGAIN}",
            rule="scheduler-lost",
        )

    def deserted(self, patience: float) -> StepError:
        """There are no workers, and none come."""
        return StepError(
            f"the cluster has had no worker for {patience:.0f} s",
            where=self._place,
            fix=f"start workers and {AGAIN}",
            rule="no-workers",
        )

    def close(self) -> None:
        """Leave the cluster; end it where it was started here."""
        with suppress(OSError, TimeoutError, CommClosedError):
            for thing in self.owned:
                thing.close(timeout=5)
        self.owned.clear()
        while self._left:
            self._left.pop()()

    @property
    def _place(self) -> str:
        return str(getattr(self.client.scheduler, "address", "") or "the scheduler")

    def _death(self, error: Any) -> Death:
        worker, times = error.last_worker, error.allowed_failures + 1
        with suppress(OSError, TimeoutError, CommClosedError):
            told = self.client.sync(self.client.scheduler.events, topic="worker-restart-memory", callback_timeout=5)
            for _, event in told:
                if event["worker"] == worker.address:
                    size = f"at {event['rss'] / 1e9:.2f} GB of the {worker.memory_limit / 1e9:.2f} GB that it may have"
                    return Death(error.task, f"ended for memory {size} ({worker.address})", True, times)
        how = self.log.end_of(worker.pid)
        return Death(error.task, f"{how} ({worker.address})", False, times)


class Log(logging.Handler):
    """What Dask says in this process, kept and not shown; its last words name the signals that workers died of."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._said: deque[str] = deque(maxlen=2000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self._said.append(record.getMessage())

    def end_of(self, pid: int) -> str:
        """What is known of the end of a process."""
        until = time.monotonic() + 0.5  # it is told of a little after the loss
        while self._said and time.monotonic() < until:
            for line in list(self._said):
                if found := re.match(rf"Worker process {pid} (was killed by signal|exited with status) (\d+)", line):
                    code = int(found[2])
                    return cause(-code if "signal" in found[1] else code, for_memory=False)
            time.sleep(0.05)
        return "lost"


@contextmanager
def _hushed(log: Log) -> Iterator[None]:
    """Dask's loggers speak to `log` alone."""
    names = [n for n in logging.root.manager.loggerDict if n.partition(".")[0] in ("distributed", "tornado")]
    before = []
    for name in {"distributed", "distributed.nanny", "dask_jobqueue", *names}:
        logger = logging.getLogger(name)
        if logger.handlers or name in ("distributed", "distributed.nanny", "dask_jobqueue"):
            before.append((logger, logger.handlers, logger.propagate, logger.level))
            logger.handlers, logger.propagate = [log], False
            if name == "distributed.nanny":
                logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def join(where: Any, *, share: Path | None = None, patience: float) -> Joined:
    """Connect to a cluster, or start one, and look its workers over; a typed error where that cannot be done."""
    log = Log()
    hush = _hushed(log)
    hush.__enter__()
    joined: Joined | None = None
    try:
        joined = _joined(where, log, share)
        joined._left.append(lambda: hush.__exit__(None, None, None))
        same_everywhere(joined, share=share, patience=patience)
    except BaseException:
        if joined is None:
            hush.__exit__(None, None, None)
        else:
            joined.close()
        raise
    return joined


def _joined(where: Any, log: Log, share: Path | None) -> Joined:
    if isinstance(where, Client):
        return Joined(where, [], log)
    if not isinstance(where, str | Path):
        return Joined(client := _client(where), [client], log)
    kind, colon, rest = str(where).partition(":")
    if kind == "local" and colon:
        before = {name: os.environ.get(name) for name in (*ENVIRON, "PYTHONHASHSEED")}
        cluster = _local(rest)
        client = _client(cluster)
        # Dask closes for good a worker that it finds restarting 15 s after an earlier death.
        repair = partial(cluster.scale, len(cluster.worker_spec))
        left: list[Callable[[], object]] = [partial(_reset, before)]
        return Joined(client, [client, cluster], log, restarts=True, repair=repair, _left=left)
    if kind == "slurm" and colon:
        from corpuscle.blocks.engines.slurm import Jobs

        jobs = Jobs.of(rest)
        with dask.config.set(CONFIG):
            cluster, trouble = jobs.start(environ=ENVIRON, share=share)
        client = _client(cluster)
        return Joined(client, [client, cluster], log, most=jobs.most * jobs.cores, trouble=trouble)
    if Path(where).is_file():
        client = _client(None, scheduler_file=str(where))
        return Joined(client, [client], log)
    if kind in ("tcp", "tls", "ucx", "ws", "wss"):
        client = _client(str(where))
        return Joined(client, [client], log)
    raise SettingsError(
        "that is no cluster",
        where=str(where),
        fix="give tcp://HOST:PORT, a scheduler file, local:N or slurm:key=value,...",
        rule="cluster-address",
    )


def _reset(environ: dict[str, str | None]) -> None:
    """Dask sets what its workers shall find in this process's environment, and leaves it there."""
    for name, value in environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _client(cluster: Any, **more: Any) -> Any:
    try:
        return Client(cluster, timeout=ANSWER, set_as_default=False, **more)
    except (OSError, TimeoutError, ValueError) as e:
        raise StepError(
            f"no scheduler answers: {e}",
            where=str(more.get("scheduler_file", cluster)),
            fix="look whether it runs, and whether this machine reaches it",
            rule="scheduler-unreachable",
        ) from e


def _local(text: str) -> Any:
    """``4`` or ``4,memory=2GB`` as a cluster of this machine."""
    count, _, rest = text.partition(",")
    name, _, size = rest.partition("=")
    if not count.isdecimal() or int(count) < 1 or (rest and (name != "memory" or not size)):
        raise SettingsError(
            "that is no local cluster", where=f"local:{text}", fix="write local:4 or local:4,memory=2GB"
        )
    limits = {"memory_limit": size} if size else {}
    with dask.config.set(CONFIG):
        return LocalCluster(
            n_workers=int(count),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            scheduler_kwargs={"allowed_failures": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
            **limits,
        )
