"""A TIFF stack to OME-Zarr: ours, ngff-zarr, zarr-python by hand, and TensorStore writing level 0 alone from memory.

    python -m benchmarks.engine_convert          512 MiB; SIZE=full: 4 GiB

Sharded, with a pyramid; 16 bits, chunks of 64^3 in shards of 256^3, Blosc with zstd 3 and bit shuffling, two cores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks import volumes
from benchmarks.bars import JUDGED, draw, verdict
from benchmarks.finding import Cell, Finding, full, ratio, show
from benchmarks.installed import PEERS, Absent, cache, python_with, version_in
from benchmarks.peers.turn import serve
from benchmarks.turns import Entry, Turns, contest, faster
from corpuscle.core import Space
from corpuscle.core.pyramid import factors
from corpuscle.formats import zarrays

CLI = Path(sys.executable).with_name("corpuscle")
WORKERS = 2
OURS, WHOLE, FLOOR, LOOP, NGFF = (
    "corpuscle",
    "corpuscle, from the command line",
    "TensorStore, level 0 from memory",
    "zarr-python, a loop",
    "ngff-zarr",
)


def measure() -> list[Finding]:
    """Seconds of all in turn, whether level 0 is the source, and ours on two sizes."""
    mib = 4096 if full() else 512
    small = 1024 if full() else 256
    slow = ", and ngff-zarr and the loop come last, and once" if full() else ""
    turns, right, notes = _timed(mib)
    by = {t.name: t for t in turns}
    size = mib * 2**20 / 1e6
    speed = {t.name: size / t.median for t in turns}
    rows: list[tuple[Cell, ...]] = []
    for t in turns:
        same = "-" if t.name == WHOLE else "yes" if right.get(t.name) else "NO"
        rows.append(
            (t.name, t.median, t.best, speed[t.name], _times(by, t), t.work, t.peak_mb, t.peak_mb - t.idle_mb, same)
        )
    met = [
        verdict("Speed over TensorStore's", faster(by.get(OURS), by.get(FLOOR)), least=0.6),
        verdict("Over ngff-zarr's", faster(by.get(OURS), by.get(NGFF)), least=5),
        verdict("Over the loop's", faster(by.get(OURS), by.get(LOOP)), least=3),
    ]
    shown = draw("engine_convert", list(speed.items()), unit="MB/s") if speed else ""
    less = _alone(small)
    buffers: list[tuple[Cell, ...]] = [
        (f"{n} MiB", t.idle_mb, t.peak_mb, t.peak_mb - t.idle_mb)
        for n, t in ((small, less), (mib, by.get(OURS)))
        if t is not None
    ]
    worst = max((float(row[3]) for row in buffers if isinstance(row[3], float)), default=None)
    return [
        Finding(
            "A TIFF stack to OME-Zarr",
            ("program", "s", "best s", "MB/s", "times ours", "processor s", "peak MB", "above idle", "level 0 equal"),
            tuple(rows),
            f"{mib} MiB of 16 bits, uncompressed, pages of 1024 x 1024, to sharded OME-Zarr with a pyramid: chunks of "
            "64^3 in shards of 256^3, Blosc with zstd 3 and bit shuffling; ngff-zarr packs as it does by itself, and "
            f"TensorStore writes level 0 alone, from memory. {WORKERS} threads or workers. Every program is loaded and "
            f"does it once before its time is taken; then all take turns, and the median of five counts{slow}. The "
            "source is in memory. Ours also takes a digest and keeps a ledger. Memory counts shared pages once; idle "
            "is what the loaded program held before it began.",
            (*([shown] if shown else []), f"{' '.join(met)} {JUDGED}", *notes),
        ),
        Finding(
            "Memory of a conversion",
            ("source", "idle MB", "peak MB", "above idle"),
            tuple(buffers),
            f"`corpuscle convert` with {WORKERS} workers.",
            (verdict("The most above idle, MB", worst, most=384),),
        ),
    ]


def _timed(mib: int) -> tuple[list[Turns], dict[str, bool], list[str]]:
    source = volumes.stack(mib)
    shape = (mib // 2, 1024, 1024)
    few = 1 if full() else None
    levels = str(1 + len(factors(Space("zyx"), shape)))
    here = (sys.executable, "-m", "benchmarks.engine_convert")
    entries = [
        Entry(OURS, (*here, "--serve", source)),
        Entry(WHOLE, (*here, "--program", source)),
        Entry(FLOOR, (sys.executable, PEERS / "convert_tensorstore.py", source)),
        Entry(LOOP, (sys.executable, PEERS / "convert_zarr_python.py", source, levels), turns=few),
    ]
    notes = []
    try:
        python = python_with("ngff-zarr", extra="dask-image")
        entries.append(Entry(NGFF, (python, PEERS / "convert_ngff_zarr.py", source, levels), turns=few))
        notes.append(f"ngff-zarr {version_in(python, 'ngff-zarr')}.")
    except Absent as e:
        notes.append(f"ngff-zarr was not measured: {e}.")
    right: dict[str, bool] = {}

    def compare(name: str, out: Path) -> None:
        if name != WHOLE:
            right[name] = _equal(source, out)

    with tempfile.TemporaryDirectory(dir=cache()) as held:
        turns, absent = contest(entries, Path(held), rounds=5, warm=[source], after=compare)
    return turns, right, [*notes, *absent]


def _alone(mib: int) -> Turns | None:
    """Ours by itself, once, for its memory."""
    source = volumes.stack(mib)
    entry = Entry(OURS, (sys.executable, "-m", "benchmarks.engine_convert", "--serve", source))
    with tempfile.TemporaryDirectory(dir=cache()) as held:
        turns, _ = contest([entry], Path(held), rounds=1, warm=[source])
    return turns[0] if turns else None


def _equal(source: Path, out: Path) -> bool:
    """Whether level 0 of what was written holds the pixels of the source."""
    pages = tifffile.memmap(source, mode="r")
    array = zarrays.open_array(volumes.finest(out))
    if array.shape != pages.shape:
        return False
    return all(np.array_equal(array[z : z + 64], pages[z : z + 64]) for z in range(0, len(pages), 64))


def _times(by: dict[str, Turns], other: Turns) -> float | None:
    return ratio(by[OURS].median, other.median) if OURS in by else None


def ours(source: Path) -> None:
    """Our part of the comparison, in a program of its own."""
    from corpuscle.blocks.engines.local import Local
    from corpuscle.cli.convert import Means, convert

    def job(out: str) -> dict[str, Any]:
        Path(out).mkdir()
        done = convert(source, Path(out) / "converted.zarr", means=Means(lambda: Local(WORKERS), asked=True))
        if done.receipt is None or done.receipt.failures:
            raise RuntimeError(str(done.receipt))
        return {"blocks": done.receipt.done}

    serve(job)


def program(source: Path) -> None:
    """The whole program, its start included."""

    def job(out: str) -> None:
        Path(out).mkdir()
        command: list[str | Path] = [CLI, "convert", source, Path(out) / "converted.zarr", "--workers", str(WORKERS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    serve(job)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", path]:
            ours(Path(path))
        case ["--program", path]:
            program(Path(path))
        case _:
            show(measure())
