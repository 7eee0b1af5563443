"""Kept runs: a run's name is the digest of what is in it, so any change shows."""

from __future__ import annotations

from collections.abc import Iterator

from corpuscle.corpus.layout import Layout
from corpuscle.corpus.rules.problem import Problem
from corpuscle.errors import CorpuscleError
from corpuscle.store.atomic import read_json
from corpuscle.store.digest import of_json

_AGAIN = "remove it, and run the bench again"


def check(layout: Layout) -> Iterator[Problem]:
    """Every kept run that is torn, or is not what it was when it was kept."""
    for path in sorted(layout.runs.glob("*-*.json")) if layout.runs.is_dir() else ():
        place = layout.relative(path)
        try:
            same = path.stem.endswith(f"-{of_json(read_json(path))[:16]}")
        except (CorpuscleError, ValueError, TypeError) as e:
            yield Problem("run-torn", place, getattr(e, "message", str(e))[:200], _AGAIN)
            continue
        if not same:
            yield Problem("run-changed", place, "is not what it was when it was kept", _AGAIN)
