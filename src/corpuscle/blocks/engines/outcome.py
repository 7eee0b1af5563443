"""What became of one unit of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from corpuscle.errors import CorpuscleError, StepError

U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[U]):
    """A unit with its answer, or with the error that it ended in; and how long it took."""

    unit: U
    value: Any
    error: CorpuscleError | None
    seconds: float


class Engine(Protocol):
    """Carries units out, in any order, and tells of each as it ends."""

    def map(self, work: Callable[[U], Any], units: Iterable[U]) -> Iterator[Outcome[U]]:
        """One outcome per unit, as they finish; units are drawn only as there is room for them."""
        ...

    def rest(self) -> None:
        """Give back what an idle engine holds; it works again when it is asked to."""
        ...


def attempt(work: Callable[[U], Any], unit: U, *, tries: int = 2) -> Outcome[U]:
    """Carry one unit out; an error becomes part of the outcome.

    An error that corpuscle raises on purpose would come again, so only others are tried again.
    """
    start = time.perf_counter()
    last: CorpuscleError | None = None
    for _ in range(tries):
        try:
            return Outcome(unit, work(unit), None, time.perf_counter() - start)
        except CorpuscleError as e:
            if not e.where:
                e.where = str(unit)
            return Outcome(unit, None, e, time.perf_counter() - start)
        except Exception as e:
            last = StepError(
                f"{type(e).__name__}: {e}", where=str(unit), fix="see the op and its input", rule="op-failed"
            )
    return Outcome(unit, None, last, time.perf_counter() - start)
