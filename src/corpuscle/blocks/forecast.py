"""What a run would take in time, memory and disk, and whether that fits."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from corpuscle.errors import PlanError

NOTED = 400
"""Bytes of the coordinator's memory per block that is done: see the ledger's own test."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one step would take.

    Parameters
    ----------
    step
        The layers it writes.
    units
        Blocks, records or groups.
    seconds
        Of all workers together.
    alone
        Seconds of the coordinator, while workers wait.
    longest
        Seconds of one whole block, which is the least that the step takes.
    memory
        Bytes that one worker holds at most.
    stays, most
        Bytes on disk of what is made, and the most there are while it is made.
    bytes
        Read and written.
    threads
        Whether workers are threads of one process.
    """

    step: str
    units: int
    seconds: float
    alone: float
    longest: float
    memory: int
    stays: int
    most: int
    bytes: int
    threads: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would take with so many `workers`, scaled up from `sampled` blocks or records that were done.

    `coordinator` and `idle` are bytes that the coordinator, and a worker with nothing to do, hold; `start` is how
    many seconds go by before the first block.
    """

    rows: tuple[Row, ...]
    workers: int
    coordinator: int
    idle: int
    start: float
    sampled: int

    def seconds_of(self, row: Row) -> float:
        """How long a step takes."""
        return max(row.seconds / max(1, min(self.workers, row.units)), row.longest) + row.alone

    def peak_of(self, row: Row, workers: int | None = None) -> int:
        """Bytes that all processes hold at most during a step, by default with all workers."""
        count = max(1, min(self.workers if workers is None else workers, row.units))
        notes = NOTED * row.units
        if count == 1 or row.threads:  # all in one process, the coordinator's own
            return max(self.coordinator, self.idle) + count * (row.memory - self.idle) + notes
        return self.coordinator + count * row.memory + notes

    @property
    def seconds(self) -> float:
        """How long it all takes."""
        return self.start + sum(self.seconds_of(r) for r in self.rows)

    @property
    def peak(self) -> int:
        """The most memory, in bytes."""
        return max((self.peak_of(r) for r in self.rows), default=self.coordinator)

    @property
    def disk(self) -> int:
        """Bytes on disk in the end."""
        return sum(r.stays for r in self.rows)

    @property
    def most(self) -> int:
        """The most bytes on disk at a time: what earlier steps made, and what the one at work needs."""
        before, most = 0, 0
        for row in self.rows:
            most = max(most, before + row.most)
            before += row.stays
        return max(most, before)


def times(told: Forecast, count: float) -> Forecast:
    """The same for so many volumes, whose blocks stand in one line, or for one that is so much larger."""
    rows = tuple(
        replace(
            r,
            units=max(1, round(count * r.units)),
            seconds=count * r.seconds,
            alone=count * r.alone,
            stays=int(count * r.stays),
            most=int(count * r.most),
            bytes=int(count * r.bytes),
        )
        for r in told.rows
    )
    return replace(told, rows=rows)


def refuse(told: Forecast, *, memory: int | None = None, folder: Path | None = None, where: str | Path = "") -> None:
    """PlanError where the run needs more than `memory` bytes, or more memory or disk than there is.

    It names the step, what it needs and what it may have, and what would fit: fewer workers, or smaller blocks.
    """
    limit = available() if memory is None else min(available(), memory)
    for row in told.rows:
        if (need := told.peak_of(row)) > limit:
            raise PlanError(
                f"{row.step} needs about {need / 1e6:.0f} MB of memory with {told.workers} workers "
                f"and may have {limit / 1e6:.0f}",
                where=where,
                fix=_fits(told, row, limit),
                rule="plan-memory",
            )
    if folder is not None:
        free = shutil.disk_usage(next(p for p in (folder, *folder.resolve().parents) if p.exists())).free
        if told.most > free:
            raise PlanError(
                f"it needs up to {told.most / 1e6:.0f} MB on the disk and {free / 1e6:.0f} are free",
                where=folder,
                fix=f"make room for {(told.most - free) / 1e6:.0f} MB more",
                rule="plan-disk",
            )


def _fits(told: Forecast, row: Row, limit: int) -> str:
    """What would fit."""
    for workers in range(min(told.workers, row.units) - 1, 0, -1):
        if told.peak_of(row, workers) <= limit:
            return f"{workers} worker{'s' if workers > 1 else ''} would fit"
    room = (limit - told.idle) / max(1, row.memory - told.idle)
    if room >= 0.01:
        return f"one worker would fit with blocks of {int(100 * room ** (1 / 3))} % of the side"
    return f"it takes {told.peak_of(row, 1) / 1e6:.0f} MB with one worker: use a larger machine"


def available() -> int:
    """Bytes of memory that may still be had: what the system has free or could free, within the group's limit."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    try:
        with open("/proc/meminfo") as f:
            have = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable:"))
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text().strip()
        if most != "max":
            have = min(have, int(most) - int((group / "memory.current").read_text()))
    except (OSError, StopIteration, ValueError):
        return have
    return max(0, have)
