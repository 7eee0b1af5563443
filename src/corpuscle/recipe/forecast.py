"""What a build would take, from building a few records of it for real."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from corpuscle.blocks.step import Whole
from corpuscle.blocks.whole import Chain, run_chain
from corpuscle.core import Image
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.errors import FormatError, PlanError
from corpuscle.recipe.build import settle
from corpuscle.recipe.recipe import Found, Recipe

SAMPLE = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a build: how many units, how long with all workers, how much it writes."""

    stage: str
    units: int
    seconds: float
    disk: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a build would take: bytes and seconds, scaled up from `sampled` records that were built."""

    rows: tuple[Stage, ...]
    records: int
    files: int
    read: int
    peak: int
    sampled: int

    @property
    def disk(self) -> int:
        """Bytes on disk in all."""
        return sum(r.disk for r in self.rows)

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return sum(r.seconds for r in self.rows)


def forecast(recipe: Recipe, raw: Path, *, workers: int, memory: int | None = None) -> Forecast:
    """Time, disk and memory of building this raw folder, from up to four records built in a temporary folder.

    The records are spread evenly; those that cannot be read are passed over. Raises PlanError where
    the whole would need more than `memory` bytes, or more memory or disk than there is.
    """
    found = [f for f in recipe.ingest(raw) if not isinstance(f, FormatError)]
    files = {p for f in found for p in f.files}
    chosen = _spread(found)
    with tempfile.TemporaryDirectory(prefix="corpuscle-plan-") as folder:
        shelf = DiskShelf(Path(folder))
        times, sizes, built = [0.0, 0.0], [0, 0], 0
        chain = Chain.of([s for s in recipe.steps if isinstance(s, Whole)])
        for item in chosen:
            start = time.perf_counter()
            try:
                settle(shelf, raw, item)
            except FormatError:
                continue
            between, size = time.perf_counter(), _used(Path(folder))
            run_chain(chain, shelf, item.record.name)
            times[0] += between - start
            times[1] += time.perf_counter() - between
            sizes[0] += size
            sizes[1] += _used(Path(folder)) - size
            built += 1
            shutil.rmtree(folder)
            Path(folder).mkdir()
    scale = len(found) / built if built else 0.0
    rows = tuple(
        Stage(name, len(found), t * scale / workers, int(s * scale))
        for name, t, s in zip(("ingest", "steps"), times, sizes, strict=True)
    )
    largest = max((x.nbytes for f in found for x in f.record.layers.values() if isinstance(x, Image)), default=0)
    # What this process holds after building the sample is what each worker will hold, and the coordinator too.
    peak = (workers + 1) * _resident() if workers > 1 else _resident()
    told = Forecast(rows, len(found), len(files), sum(p.stat().st_size for p in files), peak, built)
    _refuse(told, raw, memory, largest)
    return told


def _spread(found: list[Found]) -> list[Found]:
    """Up to four, evenly through the list, the first and the last among them."""
    if len(found) <= SAMPLE:
        return found
    return [found[round(i * (len(found) - 1) / (SAMPLE - 1))] for i in range(SAMPLE)]


def _refuse(told: Forecast, raw: Path, memory: int | None, largest: int) -> None:
    free_disk = shutil.disk_usage(tempfile.gettempdir() if not raw.exists() else raw.resolve().parent).free
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    limit = min(have, memory) if memory is not None else have
    if told.peak > limit:
        raise PlanError(
            f"it needs about {told.peak / 1e6:.0f} MB of memory and may have {limit / 1e6:.0f}; "
            f"the largest image alone is {largest / 1e6:.0f} MB",
            where=raw,
            fix="use fewer workers, or a larger machine",
            rule="plan-memory",
        )
    if told.disk > free_disk:
        raise PlanError(
            f"it would write about {told.disk / 1e6:.0f} MB and {free_disk / 1e6:.0f} are free",
            where=raw,
            fix="make room",
            rule="plan-disk",
        )


def _used(folder: Path) -> int:
    """Bytes that a folder takes on the disk, by whole blocks."""
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file())


def _resident() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
