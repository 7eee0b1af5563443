"""How far a run is, counted in units that are safely on disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from corpuscle.errors import CorpuscleError


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a run: what stage, how much of it is persisted, how fast, and what failed.

    `total` is None until it is known. `bytes` counts uncompressed pixels read.
    """

    stage: str
    done: int = 0
    total: int | None = None
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    now: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return max(1e-9, self.now - self.started)

    @property
    def eta(self) -> float | None:
        """Seconds to go, from persisted units alone; None before the first."""
        if self.total is None or not self.done:
            return None
        return (self.total - self.done - self.skipped - self.failed) * self.seconds / self.done

    def tick(self, *, done: int = 0, failed: int = 0, skipped: int = 0, bytes_: int = 0) -> Progress:
        """A later moment."""
        return replace(
            self,
            done=self.done + done,
            failed=self.failed + failed,
            skipped=self.skipped + skipped,
            bytes=self.bytes + bytes_,
            now=time.monotonic(),
        )


Watch = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody looks."""
    del progress


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run did: units done, skipped because they were done before, failed with their causes."""

    done: int = 0
    skipped: int = 0
    failures: tuple[CorpuscleError, ...] = ()
    notes: tuple[CorpuscleError, ...] = ()
    seconds: float = 0.0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.done + other.done,
            self.skipped + other.skipped,
            self.failures + other.failures,
            self.notes + other.notes,
            self.seconds + other.seconds,
        )

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures
