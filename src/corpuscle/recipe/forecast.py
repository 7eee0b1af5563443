"""What a build would take, from building a few records of it for real."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpuscle.blocks.extract import extracts
from corpuscle.blocks.forecast import Forecast, refuse
from corpuscle.blocks.progress import Progress, Watch
from corpuscle.blocks.rehearsal import Extent, Made, Try, coordinator, extent, parts, scaled, spread
from corpuscle.blocks.step import Whole
from corpuscle.blocks.trial import Job, Trial, trial
from corpuscle.core import Image, Record
from corpuscle.corpus.shelf import SMALL, DiskShelf
from corpuscle.errors import FormatError
from corpuscle.recipe.build import settle
from corpuscle.recipe.recipe import Found, Recipe


@dataclass(frozen=True, slots=True)
class BuildForecast:
    """What a build would take, and how much raw data there is: records, files, bytes."""

    told: Forecast
    records: int
    files: int
    read: int


@dataclass(frozen=True, slots=True)
class Ingest:
    """Raw files into a corpus, as a job of a trial; those that cannot be read are passed over."""

    raw: Path
    found: tuple[Found, ...]

    def __call__(self, folder: Path, watch: Watch) -> Made:
        """Settle the records."""
        shelf, progress, good = corpus_in(folder), Progress("ingest"), []
        for item in self.found:
            try:
                did = settle(shelf, self.raw, item)
            except FormatError:
                continue
            good.append(item.record)
            progress = progress.tick(done=1, bytes_=did.bytes)
            watch(progress)
        return Made(_over(good))


def corpus_in(folder: Path) -> DiskShelf:
    """Where the corpus of a trial lies."""
    return DiskShelf(folder / "corpus")


def forecast(
    recipe: Recipe, raw: Path, *, workers: int, memory: int | None = None, folder: Path | None = None
) -> BuildForecast:
    """Time, memory and disk of building this raw folder, from up to four records built in a temporary folder.

    The records are spread evenly; of one that is large a few blocks stand for the whole. Files that cannot be read
    are passed over. `folder` is where the corpus would go, by default beside the raw folder.

    Raises PlanError where the whole would need more than `memory` bytes, or more memory or disk than there is.
    """
    found = [f for f in recipe.ingest(raw) if not isinstance(f, FormatError)]
    chosen = [part for f in spread(found) for part in _small(f)]
    files = {p for f in found for p in f.files}
    read = sum(p.stat().st_size for p in files)
    todo, records = parts(recipe.steps), [f.record for f in found]
    names = frozenset(f.record.name for f in chosen)
    jobs: list[Job] = [Ingest(raw, tuple(chosen)), *(Try(part, corpus_in, names, None) for part in todo)]
    ran = trial(jobs, workers=workers) if chosen else Trial((), 0, 0.0)
    ingested = ran.took[0].told.extent.units if chosen else 0
    rows = []
    if ingested:
        # Ingest goes over whole records, as a step of no outputs would.
        ingest, rest = replace(ran, took=ran.took[:1]), replace(ran, took=ran.took[1:])
        (first,) = scaled([(Whole(_nothing, (), ()),)], ingest, records, None)
        rows = [replace(first, step="ingest"), *scaled(todo, rest, records, None)]
    told = Forecast(tuple(rows), workers, coordinator(), ran.idle, ran.start, ingested)
    refuse(told, memory=memory, folder=folder or _beside(raw), where=raw)
    return BuildForecast(told, len(found), len(files), read)


def _small(found: Found) -> list[Found]:
    """The record as it is found, or a few blocks of it where it is too large to try."""
    if all(x.nbytes <= SMALL for x in found.record.layers.values() if isinstance(x, Image)):
        return [found]
    return [replace(found, record=part, late=None, again=None) for part in extracts(found.record, None, "zyx")]


def _over(records: Sequence[Record]) -> Extent:
    return extent((), records, None)


def _nothing() -> None:
    """Stands for what ingest does."""


def _beside(raw: Path) -> Path:
    return raw.resolve().parent if raw.exists() else Path(tempfile.gettempdir())
