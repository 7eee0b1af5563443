"""How a kernel is compiled: once per machine, without the interpreter lock, without liberties in arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit, types
from numba.extending import intrinsic

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """The function as machine code, made at its first call with each set of types and kept on disk.

    Sums are carried out in the order in which they are written (no reassociation, no fused multiply-add), so the answer
    is the same on every processor. Where no folder takes the cache, the code is made anew in each process.
    """
    try:
        made: Loop = njit(loop, nogil=True, cache=True)
    except RuntimeError:  # no place for a cache: read-only installation and home
        made = njit(loop, nogil=True)
    return made


def inlined(loop: Loop) -> Loop:
    """A piece of a kernel, compiled into whoever calls it: it is never called from Python."""
    made: Loop = njit(loop, nogil=True, inline="never", forceinline=True)
    return made


def _zeros_below(typing: Any, word: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.int64(word), emit


def _ones(typing: Any, word: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(word), emit


zeros_below: Callable[[Any], Any] = cast("Callable[[Any], Any]", intrinsic(_zeros_below))
"""How many zero bits lie below the lowest one of a 64-bit word that is not 0; within kernels only."""

ones: Callable[[Any], Any] = cast("Callable[[Any], Any]", intrinsic(_ones))
"""How many bits of a 64-bit word are set; within kernels only."""
