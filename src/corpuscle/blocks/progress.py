"""How far a run is, counted in units that are safely on disk, and what it has done in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from corpuscle.errors import CorpuscleError

MARKS = 32
FEW = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """How much was done at one moment."""

    now: float
    done: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a run: what stage, how much of it is persisted, how fast, and what failed.

    `total` is None until it is known. `bytes` counts uncompressed pixels read. `step` is what the stage is
    part of, where one step has many: one for each record, or one for each pass. `alone` says that it is work of
    the coordinator, for which workers wait. `peak` is the most memory that all processes held so far, in bytes;
    0 where nobody looks.
    """

    stage: str
    done: int = 0
    total: int | None = None
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    now: float = 0.0
    step: str = ""
    alone: bool = False
    peak: int = 0
    marks: tuple[Mark, ...] = ()

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return max(1e-9, self.now - self.started)

    @property
    def rate(self) -> float | None:
        """Units a second over the last two thirds of the stage; None before the first.

        The first unit waits for processes to start and libraries to load, so it is left out as soon as four more
        are done and as much time has gone by again. Units that an earlier run has done are not counted.
        """
        first = self._since()
        if first is not None:
            return (self.done - first.done) / (self.now - first.now)
        return self.done / self.seconds if self.done else None

    @property
    def bandwidth(self) -> float:
        """Bytes a second, over the same time."""
        first = self._since()
        if first is not None:
            return (self.bytes - first.bytes) / (self.now - first.now)
        return self.bytes / self.seconds

    @property
    def left(self) -> int | None:
        """Units to go; None until the total is known."""
        if self.total is None:
            return None
        return max(0, self.total - self.done - self.skipped - self.failed)

    @property
    def eta(self) -> float | None:
        """Seconds to go, from persisted units alone; None before the first, and while the total is unknown."""
        left, rate = self.left, self.rate
        return None if left is None or rate is None else left / rate

    def tick(self, *, done: int = 0, failed: int = 0, skipped: int = 0, bytes_: int = 0) -> Progress:
        """A later moment."""
        later = replace(
            self,
            done=self.done + done,
            failed=self.failed + failed,
            skipped=self.skipped + skipped,
            bytes=self.bytes + bytes_,
            now=time.monotonic(),
        )
        # Marks lie a 32nd of the time so far apart, so the oldest of 32 is always about a third of the way.
        if done and (not self.marks or later.now - self.marks[-1].now >= later.seconds / MARKS):
            mark = Mark(later.now, later.done, later.bytes)
            later = replace(later, marks=(*self.marks[1 - MARKS :], mark))
        return later

    def _since(self) -> Mark | None:
        """The oldest mark, where enough has happened since to tell a rate by."""
        if not self.marks:
            return None
        first = self.marks[0]
        long = self.now - first.now >= max(1e-9, first.now - self.started)
        return first if long and self.done - first.done >= FEW else None


Watch = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody looks."""
    del progress


@dataclass(frozen=True, slots=True)
class Stage:
    """What became of one step of a run, or one pass of it: its units, the bytes it read, the seconds it took."""

    step: str
    done: int
    skipped: int
    failed: int
    bytes: int
    seconds: float
    alone: bool = False

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run did: units done, skipped because they were done before, failed with their causes.

    `stages` tells it step by step, `peak` the most memory that all its processes held at a time, in bytes.
    """

    done: int = 0
    skipped: int = 0
    failures: tuple[CorpuscleError, ...] = ()
    notes: tuple[CorpuscleError, ...] = ()
    seconds: float = 0.0
    stages: tuple[Stage, ...] = ()
    peak: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.done + other.done,
            self.skipped + other.skipped,
            self.failures + other.failures,
            self.notes + other.notes,
            self.seconds + other.seconds,
            self.stages + other.stages,
            max(self.peak, other.peak),
        )

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures
