"""Which ops let the interpreter go: they may run in threads of one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

Op = TypeVar("Op", bound=Callable[..., Any])

MARK: Final = "frees_lock"
"""The attribute of a function that says so."""


def free(op: Op) -> Op:
    """Mark an op that spends its time without the interpreter lock, in compiled loops or in NumPy.

    >>> @free
    ... def flat(pixels: int) -> int:
    ...     return 0
    >>> flat.frees_lock
    True
    """
    setattr(op, MARK, True)
    return op
