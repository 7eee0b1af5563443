"""A program run apart: how long it took, and how much memory it held at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# A child begins with the memory of whoever starts it, and that counts as its peak; so a small one starts it.
_LAUNCH = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
with open(sys.argv[1], "w") as f:
    json.dump([time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss], f)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program went: wall seconds, processor seconds, and the peak of its own resident memory in MB."""

    code: int
    seconds: float
    cpu: float
    peak_mb: float
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects that it printed, one a line; anything else is passed over."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that a program and all its children held at one moment, in MB, as often as one could look.

    `rss` counts pages that several share once for each, `pss` once in all; `own` is the program itself, `child` the
    largest of its children.
    """

    rss: float
    pss: float
    own: float
    child: float
    processes: int


def run(command: Sequence[str | Path], *, timeout: float = 600, env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end, one thread to each library unless `env` says otherwise.

    Raises TimeoutError, with the program gone, where it takes longer.
    """
    with tempfile.NamedTemporaryFile("r") as told:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, told.name]
        child = start([*launcher, *map(str, command)], env=env)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(child)
            raise TimeoutError(f"{Path(str(command[0])).name} took more than {timeout:.0f} s") from None
        seconds, cpu, peak = json.loads(told.read() or "[0, 0, 0]")
    return Ran(child.returncode, seconds, cpu, peak * 1024 / 1e6, out, err)


def start(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a program in a group of its own, its output kept."""
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_THREAD | dict(env or {}),
        start_new_session=True,
    )


def kill(child: subprocess.Popen[str]) -> None:
    """End a program and all its children at once, as a power cut would."""
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def peak_of(child: subprocess.Popen[str], *, every: float = 0.2, timeout: float = 3600) -> tuple[Peak, str, str]:
    """Watch a started program and its children until it ends: the peak, and what it said."""
    rss = pss = own = largest = 0.0
    count = 0
    ended = threading.Event()
    said: list[str] = []

    def listen() -> None:
        said.extend(child.communicate())
        ended.set()

    thread = threading.Thread(target=listen)
    thread.start()
    waited = 0.0
    while not ended.wait(every):
        sizes = {pid: s for pid in family(child.pid) if (s := _size(pid))}
        rss, pss = max(rss, sum(r for r, _ in sizes.values())), max(pss, sum(p for _, p in sizes.values()))
        own = max(own, sizes.pop(child.pid, (0.0, 0.0))[0])
        largest, count = max([largest, *(r for r, _ in sizes.values())]), max(count, 1 + len(sizes))
        waited += every
        if waited > timeout:
            os.killpg(child.pid, signal.SIGKILL)
    thread.join()
    return Peak(rss, pss, own, largest, count), said[0], said[1]


def family(pid: int) -> list[int]:
    """A process and all that it and they have started."""
    try:
        return [pid, *(c.pid for c in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def held(pid: int) -> float:
    """What a process and all its children hold now, in MB, pages that they share counted once."""
    return sum(s[1] for p in family(pid) if (s := _size(p)))


def _size(pid: int) -> tuple[float, float] | None:
    """Resident and proportional size in MB; None for a process that has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        try:
            alone: float = psutil.Process(pid).memory_info().rss / 1e6
        except psutil.Error:
            return None
        return alone, alone
    kb = {k: float(v.split()[0]) for k, _, v in (line.partition(":") for line in text.splitlines()[1:])}
    return kb.get("Rss", 0.0) * 1024 / 1e6, kb.get("Pss", 0.0) * 1024 / 1e6
