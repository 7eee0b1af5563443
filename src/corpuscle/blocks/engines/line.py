"""Units waiting their turn, and those that come again because a worker died on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from corpuscle.blocks.engines.blame import ROOM
from corpuscle.blocks.engines.outcome import Outcome
from corpuscle.errors import StepError

U = TypeVar("U")
RETRIES = 3
_END = object()


@dataclass(slots=True)
class Ticket(Generic[U]):
    """A unit in line, and how many workers have died on it."""

    unit: U
    deaths: int = 0
    strikes: int = 0


class Line(Generic[U]):
    """Draws units as they are asked for.

    A unit whose worker died comes again at once; if another dies, or the first died for want of
    memory, it waits for all others to be done and is then alone on all workers, twice if it must.
    So a unit that cannot be carried out harms no other, and one that stood beside it is not blamed.
    """

    def __init__(self, feed: Iterator[U]) -> None:
        self._feed = feed
        self._again: deque[Ticket[U]] = deque()
        self._last: deque[Ticket[U]] = deque()
        self._alone = False

    def draw(self, flying: int) -> Ticket[U] | None:
        """The next unit, where one may start beside the `flying` ones; None where none may."""
        if self._alone and flying:
            return None
        self._alone = False
        if self._again:
            return self._again.popleft()
        unit = next(self._feed, _END)
        if unit is not _END:
            return Ticket(unit)  # type: ignore[arg-type]
        if self._last and not flying:
            self._alone = True
            return self._last.popleft()
        return None

    def back(self, ticket: Ticket[U]) -> None:
        """A unit whose worker died before it began: nobody is to blame, and it is next."""
        (self._last if self._alone else self._again).appendleft(ticket)

    def struck(self, ticket: Ticket[U], cause: str, *, for_memory: bool = False, deaths: int = 1) -> Outcome[U] | None:
        """A worker died on a unit: it comes again, or is given up, with an outcome that says so.

        `deaths` counts more than one where a cluster has tried it again by itself already.
        """
        ticket.deaths += deaths
        ticket.strikes += 1 if deaths == 1 else RETRIES
        if ticket.strikes <= RETRIES:
            (self._last if for_memory or ticket.strikes > 1 else self._again).append(ticket)
            return None
        error = StepError(
            f"{ticket.deaths} workers died on this unit, the last was {cause}",
            where=str(ticket.unit),
            fix=ROOM if for_memory else f"see what its op does with this input; where it needs memory, {ROOM}",
            rule="out-of-memory" if for_memory else "worker-died",
        )
        return Outcome(ticket.unit, None, error, 0.0)
