"""Why a worker died, or a unit found no memory, in words that say what to do."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

from corpuscle.errors import StepError

ROOM = "use fewer workers or smaller blocks, or a machine with more memory: see `corpuscle plan`"


def out_of_memory(error: Exception, unit: object) -> StepError:
    """The error of a unit that asked for memory and got none: what it asked for, and what there was."""
    said = f": {error}" if str(error) else ""
    return StepError(
        f"no memory was left for this unit{said}; there was {memory()}", where=str(unit), fix=ROOM, rule="out-of-memory"
    )


def memory() -> str:
    """How much memory there is, and what limits it: for messages."""
    facts = []
    free, total = _meminfo("MemAvailable"), _meminfo("MemTotal")
    if free is not None and total is not None:
        facts.append(f"{_gb(free)} free of {_gb(total)}")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int(Path("/sys/fs/cgroup", name).read_text())
            if total is None or limit < total:
                facts.append(f"a limit of {_gb(limit)} on the group of processes")
    if (space := address_space()) is not None:
        facts.append(f"a limit of {_gb(space)} on the addresses of each process (ulimit -v)")
    return ", ".join(facts) or "an amount that this system does not tell"


def address_space() -> int | None:
    """The limit on the addresses of this process, in bytes; None where there is none."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def kills() -> int:
    """How many processes this system has killed for memory so far; 0 where it does not tell."""
    most = 0
    for name in ("/proc/vmstat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with suppress(OSError, ValueError, UnicodeDecodeError):
            for line in Path(name).read_text().splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill":
                    most = max(most, int(count))
    return most


def cause(code: int | None, *, for_memory: bool) -> str:
    """What an exit code says: a signal by its name, and whether it was sent for want of memory.

    >>> cause(-9, for_memory=False), cause(-9, for_memory=True)[:17], cause(3, for_memory=False)
    ('killed by SIGKILL', 'killed for memory', 'ended with exit code 3')
    """
    if code is None or code == 255:
        return "ended in a way that was not seen"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if code == -signal.SIGKILL and for_memory:
        return f"killed for memory (the system counts one more such kill); there is {memory()}"
    if -code in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
        limit = address_space()
        wall = f", perhaps at its limit of {_gb(limit)} of addresses" if limit is not None else ""
        return f"crashed with {name}{wall}"
    return f"killed by {name}"


def _meminfo(word: str) -> int | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{word}:"):
                return int(line.split()[1]) * 1024
    return None


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
