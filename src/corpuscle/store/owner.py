"""Who is at work: the process that holds a lock, in words for people and in facts that tell whether it still lives."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """One process, named so that no other is taken for it.

    A process id alone comes again: `start` (clock ticks from boot to the start of the process) tells
    the second holder of an id from the first, and `machine` (the boot and the space of process ids)
    tells this machine from one of the same name, from itself before a restart, and from a container.
    """

    pid: int
    host: str
    machine: str = ""
    start: str = ""
    since: str = ""
    command: str = ""

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        command = f" ({self.command})" if self.command else ""
        return f"process {self.pid} on {self.host}{since}{command}"

    def alive(self) -> bool | None:
        """Whether this process still runs; None where that cannot be known from here."""
        if not self.machine or self.machine != machine() or not self.start:
            return None
        return started(self.pid) == self.start

    def line(self) -> bytes:
        """The owner as one line of JSON."""
        return (json.dumps(asdict(self)) + "\n").encode()


def myself() -> Owner:
    """The process that asks, from now on."""
    program, *words = sys.argv or [""]
    command = " ".join([os.path.basename(program), *words]).strip()
    shown = "".join(c if c.isprintable() else "?" for c in command)
    pid = os.getpid()
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    return Owner(pid, socket.gethostname(), machine(), started(pid), since, shown[:160])


def owner_of(line: bytes) -> Owner | None:
    """The owner that wrote this line; None where it is torn, or is none."""
    try:
        found = json.loads(line)
        known = {f.name: found[f.name] for f in fields(Owner) if f.name in found}
        owner = Owner(**known)
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = all(isinstance(v, str) for k, v in known.items() if k != "pid")
    return owner if kinds and isinstance(owner.pid, int) else None


def machine() -> str:
    """What tells this machine, since its last start, from all others; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """When this process began, in clock ticks since boot (proc(5), field 22 of `stat`); empty if it runs no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The name of the program, in brackets, may itself hold brackets and blanks.
    state, *rest = stat.rpartition(b")")[2].split()
    return "" if state in (b"Z", b"X", b"x") else rest[18].decode()
