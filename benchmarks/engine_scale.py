"""A volume larger than memory through five steps: does memory stay, does the disk, and does time grow as the voxels.

    python -m benchmarks.engine_scale               512^3 and 1024^3; SIZE=full: 1024^3 and 2048^3 (2 and 16 GiB)
    python -m benchmarks.engine_scale SIDE          one alone

A run that was stopped goes on where it was; what it took so far is kept beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import verdict
from benchmarks.finding import Cell, Finding, full, show
from benchmarks.formula import LEVEL, Formula, above
from benchmarks.installed import cache
from benchmarks.process import held, kill, run, start
from benchmarks.turns import out_of_memory

WORKERS, LEAST, EVERY, SLOW = 2, 200, 1.0, 10
GIB = 2**30
PATIENCE = 6 * 3600.0


@dataclass(slots=True)
class Story:
    """What a run took, over all its sittings: of each step seconds and the most memory, the disk, and what came out."""

    steps: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    disk: int = 0
    foreseen: dict[str, float] = field(default_factory=dict)
    objects: int = 0
    kept: int = 0
    sittings: int = 0
    now: str = ""
    done: bool = False

    @property
    def peak_mb(self) -> float:
        return max(self.peaks.values(), default=0.0)

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())


def measure(sides: Sequence[int] = ()) -> list[Finding]:
    """Every size through all steps, the larger beside the smaller."""
    sides = sides or ((1024, 2048) if full() else (512, 1024))
    stories = {side: _story(side) for side in sides}
    voxels = {side: side**3 / 1e6 for side in sides}
    columns = ("what", *(f"{side}^3, {2 * side**3 / GIB:.3g} GiB" for side in sides))
    names = list(dict.fromkeys(n for s in stories.values() for n in s.steps))
    rows: list[tuple[Cell, ...]] = [
        (f"Mvoxel/s: {n}", *(voxels[k] / s.steps[n] if s.steps.get(n) else None for k, s in stories.items()))
        for n in names
    ]
    rows += [(f"peak MB: {n}", *(s.peaks.get(n) for s in stories.values())) for n in names]
    rows += [
        ("seconds, all steps", *(s.seconds for s in stories.values())),
        ("Mvoxel/s, all steps", *(voxels[k] / s.seconds for k, s in stories.items())),
        ("peak MB of all processes", *(s.peak_mb for s in stories.values())),
        ("peak MB that was foreseen", *(s.foreseen.get("peak_mb") for s in stories.values())),
        ("GiB on disk at most", *(s.disk / GIB for s in stories.values())),
        ("GiB on disk that were foreseen", *(s.foreseen.get("disk", 0.0) / GIB for s in stories.values())),
        ("seconds that were foreseen", *(s.foreseen.get("seconds") for s in stories.values())),
        ("objects", *(s.objects for s in stories.values())),
        (f"objects of {LEAST} voxels and more", *(s.kept for s in stories.values())),
        ("sittings", *(s.sittings for s in stories.values())),
    ]
    few, many = stories[min(sides)], stories[max(sides)]
    peak = max(s.peak_mb for s in stories.values())
    met = [
        verdict("Peak of all processes, MB", peak, most=2 * GIB / 1e6),
        verdict("Most disk, GiB", many.disk / GIB, most=45),
    ]
    if len(sides) > 1:
        slower = (many.seconds / voxels[max(sides)]) / (few.seconds / voxels[min(sides)])
        met += [
            verdict("Peak at the larger size over that at the smaller", many.peak_mb / few.peak_mb, most=1.2),
            verdict("Time a voxel at the larger size over that at the smaller", slower, most=1.3),
        ]
    return [
        Finding(
            "Larger and larger volumes",
            columns,
            tuple(rows),
            f"A volume of 16 bits that is made up as it is read ({_entropy():.1f} bits of entropy a voxel) is "
            "smoothed, cut at a level, parted into components of 26 neighbours, and measured; objects of fewer than "
            f"{LEAST} voxels are left out, and the others measured in the smoothed volume. {WORKERS} workers; every "
            "image with its pyramid and digest. Memory is that of all processes together, pages that they share "
            "counted once, looked at every second; disk is all that lies in the folder of the run. Before each step "
            "all its files are put out of the system's cache. What was foreseen is a forecast from a few blocks.",
            (" ".join(met),),
        )
    ]


def _entropy() -> float:
    """Bits a voxel, by the histogram of a corner of the volume."""
    counts = np.bincount(Formula((128, 128, 128))[:].ravel())
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _story(side: int) -> Story:
    """Run, or go on with, one size; its folder is removed when all is done, and what it took is told."""
    folder = cache() / "scale" / str(side)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "story.json"
    story = Story(**json.loads(note.read_bytes())) if note.exists() else Story()
    story.sittings += 1
    if not story.foreseen:
        told = run([sys.executable, "-m", "benchmarks.engine_scale", "--plan", str(side), str(folder)])
        story.foreseen = dict(told.lines()[-1]) if not told.code else {}
    child = start([sys.executable, "-m", "benchmarks.engine_scale", "--run", str(side), str(folder)])
    late = threading.Timer(PATIENCE, kill, [child])
    late.start()
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(child.pid, folder, story, ended))
    watch.start()
    assert child.stdout is not None
    assert child.stderr is not None, "start() makes pipes of both"
    errors: list[str] = []
    listen = threading.Thread(target=lambda: errors.extend(_echoed(child.stderr)))
    listen.start()
    try:
        for line in child.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                story.now = said.pop("begins", story.now)
                step = said.pop("step", None)
                if step is not None:
                    story.steps[step] = story.steps.get(step, 0.0) + float(said.pop("seconds"))
                story.objects, story.kept = said.pop("objects", story.objects), said.pop("kept", story.kept)
                note.write_text(json.dumps(asdict(story)), encoding="utf-8")
        child.wait()
    finally:
        late.cancel()
        ended.set()
        watch.join()
        if child.poll() is None:
            kill(child)
        listen.join()
        child.stdout.close()
        child.stderr.close()
        note.write_text(json.dumps(asdict(story)), encoding="utf-8")
    if child.returncode:
        raise RuntimeError(f"it ended with {child.returncode}: {' '.join(errors[-5:])[-500:]}; run it again to go on")
    story.done = True
    shutil.rmtree(folder)
    return story


def _echoed(lines: Any) -> list[str]:
    kept = []
    for line in lines:
        kept.append(line.strip())
        print("  " + line.rstrip(), file=sys.stderr, flush=True)
    return kept


def _watch(pid: int, folder: Path, story: Story, ended: threading.Event) -> None:
    """Memory every second; the disk, which takes longer to look at, every ten."""
    looked = 0
    while not ended.wait(EVERY):
        story.peaks[story.now] = max(story.peaks.get(story.now, 0.0), held(pid))
        looked += 1
        if looked % SLOW == 1:
            story.disk = max(story.disk, _on_disk(folder))
    story.disk = max(story.disk, _on_disk(folder))


def _on_disk(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(place, name), follow_symlinks=False).st_blocks * 512
            except OSError:
                continue
    return total


def steps() -> list[Any]:
    """What is done to the volume, in order."""
    from corpuscle.blocks.merge import Reduce, Stitch
    from corpuscle.blocks.step import Blockwise
    from corpuscle.core import px
    from corpuscle.ops.components import components, join, larger_than, sizes, table
    from corpuscle.ops.smooth import gaussian, reach

    return [
        Blockwise(partial(gaussian, sigma=2.0, spacing=None), "raw", "smooth", halo=px(reach(2.0))),
        Blockwise(partial(above, level=LEVEL), "smooth", "mask"),
        Blockwise(partial(components, connectivity=26), "mask", "all", halo=px(1), merge=Stitch(), labels_of="smooth"),
        Blockwise(sizes, "all", "sizes", merge=Reduce(join, table)),
        Blockwise(partial(larger_than, least=LEAST), ("all", "sizes"), "large", labels_of="smooth"),
        Blockwise(sizes, ("large", "smooth"), "objects", merge=Reduce(join, table)),
    ]


def volume(side: int) -> Any:
    """The record to begin with."""
    from corpuscle.core import Image, Record, Space

    return Record("volume", layers={"raw": Image(Formula((side, side, side)), Space("zyx", scale=(0.012,) * 3))})


def planned(side: int, folder: Path) -> None:
    """What the steps would take, in a program of its own."""
    from corpuscle.blocks.rehearsal import forecast

    told = forecast(steps(), [volume(side)], workers=WORKERS, folder=folder)
    _say(peak_mb=told.peak / 1e6, disk=told.most, seconds=told.seconds)


def ours(side: int, folder: Path) -> None:
    """All steps over one volume, in a program of its own; a line for each that is done."""
    from corpuscle.blocks.conditions import Conditions
    from corpuscle.blocks.engines.local import Local
    from corpuscle.blocks.progress import Progress
    from corpuscle.blocks.run import run
    from corpuscle.blocks.scratch import Scratch
    from corpuscle.store.ledger import Ledger

    shelf = Scratch.of(folder / "work", volume(side), digests={"volume/raw": f"v1 {side}"})
    last = [time.perf_counter()]

    def watched(p: Progress) -> None:
        if time.perf_counter() - last[0] > 20:
            last[0] = time.perf_counter()
            print(f"{side}^3 {p.stage}: {p.done + p.skipped} of {p.total}", file=sys.stderr, flush=True)

    with Local(WORKERS) as engine, Ledger(folder / "ledger") as ledger:
        for step in steps():
            out_of_memory([folder / "work"])
            _say(begins=step.writes)
            begun = time.perf_counter()
            receipt = run([step], shelf, Conditions(engine, ledger, watched))
            if receipt.failures:
                raise receipt.failures[0]
            _say(step=step.writes, seconds=time.perf_counter() - begun)
    record = shelf.record("volume")
    _say(objects=len(record.table("sizes")), kept=len(record.table("objects")))


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--plan", side, folder]:
            planned(int(side), Path(folder))
        case ["--run", side, folder]:
            ours(int(side), Path(folder))
        case told:
            show(measure([int(n) for n in told]))
