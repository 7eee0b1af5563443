"""Workers as jobs of SLURM, through dask-jobqueue: submitted as there is need, ended before their time is up."""

from __future__ import annotations

import asyncio
import getpass
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dask_jobqueue import SLURMCluster
from dask_jobqueue.slurm import SLURMJob
from distributed import Adaptive
from distributed.core import Status

from corpuscle.errors import SettingsError

ATTEMPTS = 3
"""So many refusals of sbatch in a row, or jobs that ended without a worker, and the queue is given up."""
KEYS = {"min": "least", "max": "most"}
_DURATION = re.compile(
    r"(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?|(?P<a>\d+)(?::(?P<b>\d+)(?::(?P<c>\d+))?)?"
)


@dataclass(frozen=True, slots=True)
class Jobs:
    """What each job asks for, and how many there may be.

    Parameters
    ----------
    queue, account
        As for ``sbatch -p`` and ``-A``; None leaves them to the site, or to the user's jobqueue.yaml.
    cores, memory
        Of one job; it holds as many workers as cores, each with its share of the memory.
    walltime
        As SLURM writes it. Workers retire `margin` before, by a tenth of it where None, and not all at once.
    least, most
        Jobs to keep, and jobs to have at once (``min=``, ``max=``).
    prologue
        A file of shell lines to run before the workers: modules to load, an environment to enter.
    directory, logs
        Where workers may put scratch files, on their own disk; where jobs leave what they print.
    interface
        The network that nodes reach this machine by, such as ``ib0``.
    directive
        One more option of sbatch.
    wait
        Seconds that a worker waits for the scheduler before it gives up.
    interval
        Seconds between two looks at the queue.
    """

    queue: str | None = None
    account: str | None = None
    cores: int = 1
    memory: str = "4GB"
    walltime: str = "01:00:00"
    margin: float | None = None
    least: int = 1
    most: int = 10
    prologue: Path | None = None
    python: str | None = None
    directory: str = "${TMPDIR:-/tmp}"
    logs: Path | None = None
    interface: str | None = None
    directive: str | None = None
    wait: float = 120.0
    interval: float = 10.0

    @classmethod
    def of(cls, text: str) -> Jobs:
        """``queue=cpu,memory=16GB,max=40`` as jobs; a SettingsError names what cannot be meant.

        >>> Jobs.of("queue=cpu,max=40").most
        40
        """
        kinds = {f.name: str(f.type) for f in fields(cls)}
        given: dict[str, Any] = {}
        for part in filter(None, text.split(",")):
            word, equals, value = part.partition("=")
            name = KEYS.get(word.strip(), word.strip())
            if not equals or not value or name not in kinds or word in KEYS.values():
                known = sorted({*kinds, *KEYS} - {*KEYS.values()})
                raise _unfit(text, f"{part!r} is no option of jobs", f"use {', '.join(known)}")
            kind = kinds[name]
            try:
                given[name] = (
                    int(value) if kind == "int" else float(value) if "float" in kind
                    else Path(value) if "Path" in kind else value
                )  # fmt: skip
            except ValueError as e:
                raise _unfit(text, f"{part!r} is no number", "write a number") from e
        made = cls(**given)
        if not made.cores >= 1 or not 0 <= made.least <= made.most or made.most < 1:
            raise _unfit(text, "so few cores or jobs do nothing", "ask for at least one, and for no fewer than min=")
        if made.lifetime[0] <= 0:
            raise _unfit(text, f"of {made.walltime} nothing is left before workers retire", "ask for a longer walltime")
        if made.prologue is not None and not made.prologue.is_file():
            raise _unfit(text, f"there is no file {made.prologue}", "name a file of shell lines")
        return made

    @property
    def lifetime(self) -> tuple[float, float]:
        """Seconds after which workers retire, and by how much more or less each one does."""
        whole = seconds(self.walltime)
        margin = min(300.0, whole / 10) if self.margin is None else self.margin
        return whole - 1.5 * margin, margin / 2

    def start(self, *, environ: Mapping[str, object], share: Path | None = None) -> tuple[Any, Callable[[], str]]:
        """A cluster that submits such jobs, and a function that says why none come, where none can."""
        for tool in ("sbatch", "squeue", "scancel"):
            if shutil.which(tool) is None:
                raise _unfit("", f"there is no {tool} here", "run this where jobs are submitted from", "slurm-missing")
        logs = self.logs or (share or Path.cwd()) / "jobs"
        life, stagger = self.lifetime
        shell = [f"export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON='{json.dumps(dict(environ))}'"]
        if self.prologue is not None:
            shell += self.prologue.read_text(encoding="utf-8").splitlines()
        cluster = _Cluster(
            queue=self.queue,
            account=self.account,
            cores=self.cores,
            processes=self.cores,
            memory=self.memory,
            walltime=self.walltime,
            python=self.python,
            interface=self.interface,
            local_directory=self.directory,
            log_directory=str(logs),
            death_timeout=round(self.wait),
            job_script_prologue=shell,
            job_extra_directives=[self.directive] if self.directive else [],
            worker_extra_args=["--lifetime", f"{life:.0f}s", "--lifetime-stagger", f"{stagger:.0f}s", "--no-dashboard"],
            scheduler_options={"dashboard": False, "dashboard_address": ":0", "allowed_failures": 0},
            silence_logs=False,
            name="corpuscle",
        )
        # Idle workers go after a minute: coming back through the queue may take hours.
        scaling = cluster.adapt(
            Adaptive=_Refill,
            minimum_jobs=self.least,
            maximum_jobs=self.most,
            interval=f"{self.interval}s",
            wait_count=max(3, round(60 / self.interval)),
        )
        scaling.logs = str(logs)
        return cluster, scaling.trouble


class _Job(SLURMJob):  # type: ignore[misc]
    """One job; where it is refused it says so, instead of failing the whole cluster."""

    refusal = ""

    async def start(self) -> None:
        """Submit it."""
        try:
            await super().start()
        except (RuntimeError, OSError, ValueError) as e:
            self.refusal = " ".join(str(e).split())[-300:]
            self.status = Status.running


class _Cluster(SLURMCluster):  # type: ignore[misc]
    """Every job has a name that none had before: the worker of one given up may turn up yet."""

    job_cls = _Job

    def __init__(self, **options: Any) -> None:
        self._numbers = itertools.count()
        super().__init__(**options)

    def _new_worker_name(self, worker_number: int) -> str:
        del worker_number
        return f"{self._name}-{next(self._numbers)}"

    def names(self, job: str) -> set[str]:
        """The names of a job's workers."""
        suffixes = self.worker_spec.get(job, {}).get("group", [""])
        return {f"{job}{s}" for s in suffixes}


class _Refill(Adaptive):  # type: ignore[misc]
    """Scaling that looks at the queue: a job that is gone without a word is replaced by another."""

    logs = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._missing: set[str] = set()
        self._refused = 0
        self._barren = 0
        self._why = ""
        super().__init__(*args, **options)

    def trouble(self) -> str:
        """Why no workers come; empty while they may."""
        if self._refused >= ATTEMPTS:
            return f"SLURM refuses: {self._why}"
        if self._barren >= ATTEMPTS:
            return f"{self._barren} jobs in a row ended before a worker came up; see what they say in {self.logs}"
        return ""

    async def adapt(self) -> None:
        """Drop what is lost, then scale as usual; refusals are counted."""
        if self.trouble():
            return
        try:
            await self._drop_lost()
        except (RuntimeError, OSError, TimeoutError) as e:
            self._refused += 1
            self._why = " ".join(str(e).split())[-300:]
        else:
            await super().adapt()

    async def _drop_lost(self) -> None:
        """Jobs without a worker that the queue does not know, at two looks in a row, make room for others."""
        cluster = self.cluster
        observed = set(cluster.observed)
        if observed:
            self._barren = 0
        if any(job.job_id for job in cluster.workers.values()):
            self._refused = 0
        silent = {job for job in cluster.workers if not cluster.names(job) & observed}
        queued = await _queued() if silent else set()
        unknown = {job for job in silent if str(cluster.workers[job].job_id) not in queued}
        for job in unknown & self._missing:
            lost = cluster.workers.pop(job)
            cluster.worker_spec.pop(job, None)
            if lost.job_id is None:
                self._refused += 1
                self._why = lost.refusal
            elif not observed:
                self._barren += 1
            await lost.close()
        self._missing = unknown - self._missing


async def _queued() -> set[str]:
    """The ids of this user's jobs that wait or run."""
    process = await asyncio.create_subprocess_exec(
        *("squeue", "-h", "-u", os.environ.get("USER") or getpass.getuser(), "-o", "%i"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"squeue: {wrong.decode(errors='replace')}")
    return set(said.decode().split())


def seconds(walltime: str) -> int:
    """A time limit as SLURM writes it, in seconds.

    >>> seconds("90"), seconds("1:30"), seconds("01:00:00"), seconds("1-12"), seconds("2-0:30:5")
    (5400, 90, 3600, 129600, 174605)
    """
    found = _DURATION.fullmatch(walltime.strip())
    if found is None:
        raise _unfit(walltime, "that is no time limit", "write HH:MM:SS or DAYS-HH:MM:SS")
    part = {name: int(value) for name, value in found.groupdict(default="0").items()}
    if found["d"] is not None:
        return ((part["d"] * 24 + part["dh"]) * 60 + part["dm"]) * 60 + part["ds"]
    if found["c"] is not None:
        return (part["a"] * 60 + part["b"]) * 60 + part["c"]
    return part["a"] * 60 + part["b"]


def _unfit(where: str, what: str, fix: str, rule: str = "slurm-option") -> SettingsError:
    return SettingsError(what, where=f"slurm:{where}", fix=fix, rule=rule)
