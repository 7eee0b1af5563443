"""What a run holds: the memory of this process and all that it started, and the room of a folder on the disk."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

FIRST = 0.02
SHARE = 0.02


class Gauge:
    """Looks at the memory of a run from time to time, as a context; `peak` is the most there was, in bytes.

    It is the proportional set size summed over this process and its descendants: a page that n processes share
    counts 1/n in each. Workers on other machines are not seen. Looking takes at most 2 % of one core, so it
    happens every `every` seconds, or less often where there are many processes; at first more often, for short runs.
    """

    def __init__(self, *, every: float = 1.0) -> None:
        self.every = every
        self.peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gauge", daemon=True)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        self.look()

    def look(self) -> int:
        """What the processes hold now; remembered if it is the most so far."""
        held = sum(proportional(p) for p in family())
        self.peak = max(self.peak, held)
        return held

    def _watch(self) -> None:
        pause = FIRST
        while not self._end.wait(pause):
            start = time.thread_time()
            self.look()
            pause = max(min(self.every, 1.5 * pause), (time.thread_time() - start) / SHARE)


def family(pid: int | None = None) -> Iterator[int]:
    """A process, by default this one, and all that it and they have started, as far as they are alive."""
    pid = os.getpid() if pid is None else pid
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as f:
                for child in f.read().split():
                    yield from family(int(child))


def proportional(pid: int) -> int:
    """Bytes that a process holds, what it shares counted in part; 0 where it is gone.

    Where the system does not tell, the most that this process has held stands for it.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as f:
            for line in f:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        if pid == os.getpid():
            return high_water()
    return 0


def high_water() -> int:
    """The most memory that this process has held, in bytes, what it shares counted in full."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def trim() -> None:
    """Give back to the system what this process has freed, where its C library can: what is left is in use."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def used(folder: Path) -> int:
    """Bytes that a folder takes on the disk, by whole blocks; files may come and go meanwhile."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += used(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
