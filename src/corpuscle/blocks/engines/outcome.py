"""What became of one unit of work, and what an engine is."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from corpuscle.blocks.engines.blame import out_of_memory
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
    """Carries units out, in any order, and tells of each once, as it ends."""

    @property
    def workers(self) -> int:
        """How many units may be under way at once."""
        ...

    def map(self, work: Callable[[U], Any], units: Iterable[U], *, threads: bool = False) -> Iterator[Outcome[U]]:
        """One outcome per unit, as they finish; units are drawn only as there is room for them.

        `threads` says that the work frees the interpreter lock and minds no neighbour in its
        process: the engine may then use threads of one process.
        """
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
        except MemoryError as e:
            last = out_of_memory(e, unit)
        except Exception as e:
            if isinstance(e, OSError) and e.errno == errno.ENOMEM:
                last = out_of_memory(e, unit)
            else:
                what = f"{type(e).__name__}: {e}"
                last = StepError(what, where=str(unit), fix="see the op and its input", rule="op-failed")
    return Outcome(unit, None, last, time.perf_counter() - start)
