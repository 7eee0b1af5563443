"""Work, units and answers as bytes: what crosses from the coordinator to a worker, and back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from corpuscle.blocks.engines.blame import out_of_memory
from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.errors import CorpuscleError, StepError

U = TypeVar("U")


def wrap(what: object, *, dumps: Callable[[object], bytes] = pickle.dumps) -> bytes:
    """Work or a unit as bytes; a StepError where it cannot travel."""
    try:
        return dumps(what)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as e:
        raise StepError(
            f"this cannot be sent to a worker: {e}",
            where=repr(what)[:200],
            fix="bind parameters with functools.partial to a function of a module",
            rule="not-sendable",
        ) from e


def carry(work: bytes, unit: bytes) -> bytes:
    """What a worker does: open the work and the unit, carry it out, and wrap what came of it.

    Nothing but the death of the process keeps an answer from coming back.
    """
    try:
        job, mine = _opened(work), pickle.loads(unit)
    except Exception as e:
        what = f"a worker cannot open its work: {type(e).__name__}: {e}"
        fix = "the workers need the same software and modules as the coordinator"
        return pickle.dumps((None, StepError(what, fix=fix, rule="not-openable"), 0.0))
    did = attempt(job, mine)
    error: CorpuscleError
    try:
        return pickle.dumps((did.value, did.error, did.seconds), protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError as e:
        error = out_of_memory(e, mine)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as e:
        what = f"the answer, a {type(did.value).__name__}, cannot be sent back: {e}"
        error = StepError(what, where=str(mine), fix="answer with arrays, tables or plain values", rule="not-sendable")
    return pickle.dumps((None, error, did.seconds))


def opened(unit: U, answer: bytes) -> Outcome[U]:
    """The outcome that a worker wrapped for a unit."""
    try:
        value, error, seconds = pickle.loads(answer)
    except Exception as e:
        what = f"what came back from a worker cannot be opened: {type(e).__name__}: {e}"
        return Outcome(unit, None, StepError(what, where=str(unit), rule="not-openable"), 0.0)
    if error is not None and not error.where:
        error.where = str(unit)
    return Outcome(unit, value, error, seconds)


@lru_cache(maxsize=4)
def _opened(work: bytes) -> Callable[[Any], Any]:
    """The same work comes with many units."""
    job: Callable[[Any], Any] = pickle.loads(work)
    return job
