"""A block filter from store to store: ours, dask.array on threads and on a cluster, and the least that it can take.

    python -m benchmarks.engine_filter

A Gaussian of sigma 2 with a halo of 8 over 512^3 voxels of 16 bits, chunks of 64^3 in shards of 256^3, two cores.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import volumes
from benchmarks.bars import JUDGED, draw, verdict
from benchmarks.finding import Cell, Finding, ratio, show
from benchmarks.installed import PEERS, Absent, cache, python_with, version_in
from benchmarks.peers.turn import serve
from benchmarks.turns import Entry, Turns, contest, faster
from corpuscle.formats import zarrays

SIDE, SIGMA, HALO, WORKERS = 512, 2.0, 8, 2
OURS, BARE, THREADS, CLUSTER = "corpuscle", "kernel and TensorStore, bare", "dask, threads", "dask, 2 processes"


def measure() -> list[Finding]:
    """Seconds of all in turn, what came of each compared with ours."""
    path = volumes.em(SIDE)
    source = path / "0"
    voxels = SIDE**3 / 1e6
    here: list[str | Path] = [sys.executable, "-m", "benchmarks.engine_filter", "--serve", path]
    entries = [
        Entry(OURS, tuple(here)),
        Entry("corpuscle, level 0 and no digest", (*here, "bare")),
        Entry(BARE, (sys.executable, PEERS / "filter_bare.py", source)),
    ]
    notes = []
    try:
        dask = python_with("dask-image", beside=("distributed", "zarr>=3.1", "numcodecs>=0.16.1"))
        peer: list[str | Path] = [dask, PEERS / "filter_dask.py", source]
        entries += [
            Entry(THREADS, (*peer, "threads", "256", "scipy")),
            Entry(f"{THREADS}, blocks of 128", (*peer, "threads", "128", "scipy")),
            Entry(CLUSTER, (*peer, "distributed", "256", "scipy")),
        ]
        notes.append(f"dask {version_in(dask, 'dask')}, distributed {version_in(dask, 'distributed')}.")
    except Absent as e:
        notes.append(f"dask was not measured: {e}.")
    with tempfile.TemporaryDirectory(dir=cache()) as held:
        seen = _Compared(Path(held))
        turns, absent = contest(entries, Path(held), rounds=5, warm=[source], after=seen)
    by = {t.name: t for t in turns}
    ours = by.get(OURS)
    rows: list[tuple[Cell, ...]] = []
    for t in turns:
        quick = voxels / t.median
        off = seen.off.get(t.name)
        rows.append((t.name, t.median, t.best, quick, _times(ours, t), t.work, t.peak_mb, off))
    bars = [
        verdict("Times as fast as dask on threads", faster(ours, by.get(THREADS)), least=2.5),
        verdict("As dask on processes", faster(ours, by.get(CLUSTER)), least=4),
        verdict("Time over the bare minimum's", faster(by.get(BARE), ours, least=False), most=1.1),
    ]
    shown = draw("engine_filter", [(t.name, voxels / t.median) for t in turns], unit="Mvoxel/s") if turns else ""
    return [
        Finding(
            "A filter over blocks",
            ("program", "s", "best s", "Mvoxel/s", "times ours", "processor s", "peak MB", "off by"),
            tuple(rows),
            f"A Gaussian of sigma {SIGMA:g} with a halo of {HALO} over {SIDE}^3 voxels of 16 bits, from an OME-Zarr "
            "array to another, chunks of 64^3 in shards of 256^3 (with blocks of 128, shards of 128^3), Blosc with "
            f"zstd 3 and bit shuffling; {WORKERS} processes or threads of one library thread each. Every program is "
            "loaded and does it once before its time is taken; then all take turns, and the median of five counts. The "
            "source is in memory. dask filters with SciPy in 32 bits. Ours also keeps a ledger and makes a pyramid "
            "and a digest.",
            (*([shown] if shown else []), f"{' '.join(bars)} {JUDGED}", *notes, *absent),
        )
    ]


def _times(ours: Turns | None, other: Turns | None) -> float | None:
    return ratio(ours.median, other.median) if ours and other else None


class _Compared:
    """How far each answer is from the first, at most, over all voxels."""

    def __init__(self, folder: Path) -> None:
        self.kept = folder / "first"
        self.off: dict[str, int] = {}

    def __call__(self, name: str, out: Path) -> None:
        found = volumes.finest(out)
        if not self.kept.exists():
            found.rename(self.kept)
            self.off[name] = 0
            return
        a, b = zarrays.open_array(self.kept), zarrays.open_array(found)
        most = 0
        for z in range(0, a.shape[0], 64):
            ours, theirs = (np.asarray(x[z : z + 64], np.int32) for x in (a, b))
            most = max(most, int(np.abs(ours - theirs).max()))
        self.off[name] = most


def ours(path: Path, how: str) -> None:
    """Our part of the comparison, in a program of its own."""
    from corpuscle.blocks.conditions import Conditions
    from corpuscle.blocks.engines.local import Local
    from corpuscle.blocks.run import run
    from corpuscle.blocks.scratch import Scratch
    from corpuscle.blocks.sink import ZarrSink
    from corpuscle.blocks.step import Blockwise
    from corpuscle.core import Record, px
    from corpuscle.formats import omezarr, pyramids
    from corpuscle.ops.smooth import gaussian
    from corpuscle.store.ledger import Ledger

    step = Blockwise(partial(gaussian, sigma=SIGMA, spacing=None), "raw", "smooth", halo=px(HALO))

    def job(out: str) -> dict[str, Any]:
        shelf = Scratch.of(
            Path(out), Record("cube", layers={"raw": omezarr.read_image(path)}), digests={"cube/raw": "em"}
        )
        with Ledger(Path(out, "ledger")) as ledger:
            receipt = run([step], shelf, Conditions(engine, ledger))
        if receipt.failures:
            raise receipt.failures[0]
        return {"blocks": receipt.done}

    with ExitStack() as stack:
        engine = stack.enter_context(Local(WORKERS))
        if how == "bare":  # neither pyramid nor digest, for this measurement only
            stack.enter_context(patch.object(pyramids, "factors", lambda space, shape: ()))
            stack.enter_context(patch.object(ZarrSink, "_share", lambda self, target, box, pixels: None))
            stack.enter_context(patch.object(ZarrSink, "digest", lambda self: "none"))
        serve(job)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        ours(Path(sys.argv[2]), "".join(sys.argv[3:4]))
    else:
        show(measure())
