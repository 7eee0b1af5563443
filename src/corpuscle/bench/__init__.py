"""Questions with known answers, the scores of those who tried, and how sure we are of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corpuscle.bench.board import Row, environment, flags, rank
    from corpuscle.bench.bootstrap import Score, scores
    from corpuscle.bench.task import Task, describe, score_record

__all__ = ["Row", "Score", "Task", "describe", "environment", "flags", "rank", "score_record", "scores"]


def __getattr__(name: str) -> object:
    # Numpy alone takes most of the time in which the command line must answer.
    for part, names in (
        ("task", ("Task", "describe", "score_record")),
        ("bootstrap", ("Score", "scores")),
        ("board", ("Row", "environment", "flags", "rank")),
    ):
        if name in names:
            return getattr(import_module(f"corpuscle.bench.{part}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
