"""Connected components from store to store: ours, cc3d in memory, and dask-image; all must find the same objects.

    python -m benchmarks.engine_components          512^3 voxels; SIZE=full: 1024^3

Blobs that fill a tenth of the volume, joined over faces, edges and corners.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import volumes
from benchmarks.bars import JUDGED, draw, verdict
from benchmarks.finding import Cell, Finding, full, ratio, show
from benchmarks.installed import PEERS, Absent, cache, python_with, version_in
from benchmarks.peers.turn import serve
from benchmarks.turns import Entry, contest, faster
from corpuscle.core.image import ArrayLike
from corpuscle.formats import zarrays

WORKERS = 2
OURS, CC3D, DASK = "corpuscle", "cc3d, in memory", "dask-image"


def measure() -> list[Finding]:
    """Seconds of all in turn, and whether the objects are the same."""
    side = 1024 if full() else 512
    path = volumes.blobs(side)
    voxels = side**3 / 1e6
    entries = [Entry(OURS, (sys.executable, "-m", "benchmarks.engine_components", "--serve", path))]
    notes = []
    with tempfile.TemporaryDirectory(dir=cache()) as held:
        folder = Path(held)
        try:
            python = python_with("connected-components-3d")
            mask, answer = folder / "mask.npy", folder / "cc3d.npy"
            np.save(mask, zarrays.open_array(path / "0")[...])
            entries.append(Entry(CC3D, (python, PEERS / "components_cc3d.py", mask, answer)))
            notes.append(f"cc3d {version_in(python, 'connected-components-3d')}.")
        except Absent as e:
            notes.append(f"cc3d was not measured: {e}.")
        try:
            python = python_with("dask-image", beside=("distributed", "zarr>=3.1", "numcodecs>=0.16.1"))
            entries.append(Entry(DASK, (python, PEERS / "components_dask_image.py", path / "0"), turns=1))
            notes.append(f"dask-image {version_in(python, 'dask-image')}.")
        except Absent as e:
            notes.append(f"dask-image was not measured: {e}.")
        kept = _Kept(folder)
        turns, absent = contest(entries, folder, rounds=7, warm=[path / "0"], after=kept)
        found = dict(kept.answers)
        if CC3D in {t.name for t in turns}:
            found[CC3D] = np.load(folder / "cc3d.npy", mmap_mode="r")
        same = {n: _same(found[OURS], x) for n, x in found.items() if OURS in found}
    by = {t.name: t for t in turns}
    rows: list[tuple[Cell, ...]] = []
    for t in turns:
        times = ratio(by[OURS].median, t.median) if OURS in by else None
        count = same[t.name][0] if t.name in same else None
        agree = "-" if t.name == OURS else "yes" if t.name in same and same[t.name][1] else "NO"
        rows.append((t.name, t.median, t.best, voxels / t.median, times, t.work, t.peak_mb, count, agree))
    of = {n: voxels / t.median for n, t in by.items()}
    bars = [
        verdict("Speed over cc3d's", faster(by.get(OURS), by.get(CC3D)), least=0.5),
        verdict("Over dask-image's", faster(by.get(OURS), by.get(DASK)), least=5),
    ]
    shown = draw("engine_components", list(of.items()), unit="Mvoxel/s") if of else ""
    return [
        Finding(
            "Connected components over blocks",
            ("program", "s", "best s", "Mvoxel/s", "times ours", "processor s", "peak MB", "objects", "same objects"),
            tuple(rows),
            f"{side}^3 voxels, blobs that fill a tenth, 26 neighbours. Ours and dask-image go from an OME-Zarr array "
            f"of 8 bits to one of labels, shards of 256^3, with {WORKERS} processes or threads; ours makes a pyramid "
            "and a digest as well. cc3d goes from an array in memory to another, on one thread, as it does. Every "
            "program is loaded and does it once before its time is taken; then all take turns, and the median of seven "
            "counts; dask-image, which labels each block some thirty times over, comes last, and once.",
            (*([shown] if shown else []), f"{' '.join(bars)} {JUDGED}", *notes, *absent),
        )
    ]


class _Kept:
    """The labels of the first round, moved to where they stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, ArrayLike] = {}

    def __call__(self, name: str, out: Path) -> None:
        if out.exists():
            place = self.folder / f"kept-{len(self.answers)}"
            volumes.finest(out).rename(place)
            self.answers[name] = zarrays.open_array(place)


def _same(ours: ArrayLike, theirs: ArrayLike) -> tuple[int, bool]:
    """How many objects they have, and whether each is one of ours and the other way round."""
    there, back = _Renamed(), _Renamed()
    for z in range(0, ours.shape[0], 64):
        a, b = (np.asarray(x[z : z + 64]).ravel() for x in (ours, theirs))
        there.see(a, b)
        back.see(b, a)
    return back.count, there.one and back.one and there.count == back.count


class _Renamed:
    """Whether each number always stands against the same other one, over all that is seen."""

    def __init__(self) -> None:
        self.name = np.full(1, -1, np.int64)
        self.one = True

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.name[1:] >= 0))

    def see(self, a: NDArray[Any], b: NDArray[Any]) -> None:
        most = int(a.max(initial=0))
        if most >= len(self.name):
            self.name = np.concatenate([self.name, np.full(most + 1 - len(self.name), -1, np.int64)])
        was = self.name[a]
        self.one &= bool(np.all((was < 0) | (was == b)))
        self.name[a] = b
        self.one &= bool(np.all(self.name[a] == b)) and bool(self.name[0] <= 0)


def ours(path: Path) -> None:
    """Our part of the comparison, in a program of its own."""
    from corpuscle.blocks.conditions import Conditions
    from corpuscle.blocks.engines.local import Local
    from corpuscle.blocks.merge import Stitch
    from corpuscle.blocks.run import run
    from corpuscle.blocks.scratch import Scratch
    from corpuscle.blocks.step import Blockwise
    from corpuscle.core import Record, px
    from corpuscle.formats import omezarr
    from corpuscle.ops.components import components
    from corpuscle.store.ledger import Ledger

    op = partial(components, connectivity=26)
    step = Blockwise(op, "mask", "blobs", halo=px(1), merge=Stitch(), labels_of="mask")

    def job(out: str) -> dict[str, Any]:
        image = omezarr.read_image(path)
        shelf = Scratch.of(Path(out), Record("cube", layers={"mask": image}), digests={"cube/mask": "blobs"})
        with Ledger(Path(out, "ledger")) as ledger:
            receipt = run([step], shelf, Conditions(engine, ledger))
        if receipt.failures:
            raise receipt.failures[0]
        return {"blocks": receipt.done}

    with Local(WORKERS) as engine:
        serve(job)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        ours(Path(sys.argv[2]))
    else:
        show(measure())
