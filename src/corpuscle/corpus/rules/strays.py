"""What lies in a corpus and belongs to nothing, and links that lead out of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from corpuscle.corpus.layout import CORPUS, INDEX, README, SPLITS, STAGING, Layout
from corpuscle.corpus.rules.place import inside
from corpuscle.corpus.rules.problem import Problem
from corpuscle.formats import preview

TOP = frozenset({CORPUS, INDEX, SPLITS, README, "records", "plates", "runs", "edits"})


def top(layout: Layout) -> Iterator[Problem]:
    """What lies at the root."""
    for path in sorted(layout.root.iterdir()):
        if out := _outside(layout, path):
            yield out
        elif path.name == STAGING:
            if _within(path):
                yield Problem("file-orphan", STAGING, "a killed run left something", "build again: it is swept")
        elif path.name not in TOP:
            yield Problem("file-orphan", path.name, "belongs to no part of a corpus", "remove it, or keep it elsewhere")


def records(layout: Layout, folders: Collection[str]) -> Iterator[Problem]:
    """What lies among the records and is none; `folders` are those of the records."""
    for path in _within(layout.records):
        place = layout.relative(path)
        if out := _outside(layout, path):
            yield out
        elif path.is_dir() and len(path.name) == 2:
            yield from _of(layout, path, folders, "holds no record")
        else:
            yield Problem("file-orphan", place, "holds no record", "remove it")


def plates(layout: Layout, fields: Collection[str], passed: Collection[str]) -> Iterator[Problem]:
    """What lies on the plates and no record has; `fields` are the folders of those, `passed` plates not to look at."""
    kept = {"/".join(f.split("/")[:i]) for f in fields for i in range(2, 6)}
    waiting = [p for p in _within(layout.plates) if layout.relative(p) not in passed]
    while waiting:
        path = waiting.pop(0)
        place = layout.relative(path)
        if out := _outside(layout, path):
            yield out
        elif place in fields or (path.name in ("zarr.json", preview.NAME) and place.rpartition("/")[0] in kept):
            continue
        elif place in kept and path.is_dir():
            waiting += _within(path)
        else:
            yield Problem("file-orphan", place, "belongs to no record", "remove it, or build again")


def _of(layout: Layout, folder: Path, kept: Collection[str], message: str) -> Iterator[Problem]:
    for path in _within(folder):
        place = layout.relative(path)
        if out := _outside(layout, path):
            yield out
        elif place not in kept:
            yield Problem("file-orphan", place, message, "remove it")


def _within(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _outside(layout: Layout, path: Path) -> Problem | None:
    if path.is_symlink() and inside(layout, layout.relative(path)) is None:
        place = layout.relative(path)
        return Problem("path-outside", place, "a link leads out of the corpus", "keep all of it in its own folder")
    return None
