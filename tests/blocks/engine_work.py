"""Work for engines to carry out in the tests: some of it kills its worker."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.errors import FormatError


def square(n: int) -> int:
    return n * n


def pid(n: int) -> int:
    del n
    return os.getpid()


def dies_on_three(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def aborts(n: int) -> int:
    if n == 3:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
    return n


def starves(n: int) -> int:
    if n == 3:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
        try:
            np.zeros(256 << 20, np.uint8)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return n


def asks_too_much(n: int) -> int:
    if n == 3:
        np.empty(1 << 60, np.uint8)
    return n


def swells(n: int) -> int:
    """Takes more and more memory, slowly enough to be seen at it."""
    held = []
    for _ in range(100 if n == 3 else 0):
        held.append(np.ones(10 << 20, np.uint8))
        time.sleep(0.03)
    return n


def grumbles(n: int) -> int:
    if n == 3:
        raise FormatError("too bright")
    return n


def breaks(n: int) -> int:
    if n == 3:
        raise ZeroDivisionError("by nothing")
    return n


def answers_with_a_lock(n: int) -> Any:
    import threading

    return threading.Lock() if n == 3 else n


def slowly(n: int, *, seconds: float, log: Path | None = None) -> int:
    if log is not None:
        with log.open("a") as f:
            f.write(f"{n}\n")
    time.sleep(seconds)
    return n


def slowly_or_dead(n: int, *, seconds: float, log: Path) -> int:
    slowly(n, seconds=0 if n == 3 else seconds, log=log)
    return dies_on_three(n)


def environ(name: str) -> str | None:
    return os.environ.get(name)
