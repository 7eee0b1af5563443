"""Building a corpus from thousands of C01 files: speed, memory, and what a kill in the middle leaves.

python -m benchmarks.plate_build            1,000 files; SIZE=full: 10,000
python -m benchmarks.plate_build FILES
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.finding import Cell, Finding, full, show
from benchmarks.process import Peak, kill, peak_of, run, start
from corpuscle.worlds import nuclei as world

CLI = Path(sys.executable).with_name("corpuscle")
WORKERS = 2
KILLS = 5


def measure(files: int | None = None) -> list[Finding]:
    """One build left alone, and one killed at five random moments."""
    n = files or (10_000 if full() else 1_000)
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        began = time.perf_counter()
        world.write_scale(folder / "raw", n)
        faked = time.perf_counter() - began
        seconds, peak, digest = _whole(folder / "raw", folder / "corpus")
        shutil.rmtree(folder / "corpus")
        killed, kills, lost = _killed(folder / "raw", folder / "corpus", seconds)
        again = run(_command(folder / "raw", folder / "corpus"))
    rows: list[tuple[Cell, ...]] = [
        ("files a second", n / seconds),
        ("seconds", seconds),
        ("peak of all processes together, MB (pages shared counted once)", peak.pss),
        ("peak of all processes together, MB (pages shared counted for each)", peak.rss),
        ("peak of the program itself, MB", peak.own),
        ("peak of its largest worker, MB", peak.child),
        ("processes", peak.processes),
        (f"seconds, all runs, when killed {kills} times", lost),
        ("seconds for a run that finds all done", again.seconds),
    ]
    same = "equal" if killed == digest else "NOT EQUAL"
    return [
        Finding(
            f"Building a plate of {n:,} files",
            ("what", "value"),
            tuple(rows),
            f"`corpuscle build nuclei` on {n:,} C01 files of 512 x 512 px, each with pixels of its own, {WORKERS} "
            "workers; each is read, kept as OME-Zarr with a pyramid, normalised, measured for its shading, and shown "
            "in a preview.",
            (
                f"Killed with signal 9, all its processes at once, at {kills} random moments and started again each "
                f"time, the build ends with the digest of the one left alone: {same}. To fake the files took "
                f"{faked:.0f} s.",
            ),
        )
    ]


def _command(raw: Path, corpus: Path) -> list[str | Path]:
    return [CLI, "build", "nuclei", raw, corpus, "--workers", str(WORKERS), "--json"]


def _whole(raw: Path, corpus: Path) -> tuple[float, Peak, str]:
    began = time.perf_counter()
    child = start(_command(raw, corpus))
    peak, out, err = peak_of(child)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise RuntimeError(f"the build ended with {child.returncode}: {(err or out)[-500:]}")
    return seconds, peak, _digest(out.splitlines())


def _killed(raw: Path, corpus: Path, seconds: float) -> tuple[str, int, float]:
    """The digest of a build that is killed again and again, how often it was, and the time that all its runs took."""
    rng = random.Random(0)
    began = time.perf_counter()
    kills = 0
    for _ in range(KILLS):
        child = start(_command(raw, corpus))
        try:
            # What the last run has done counts, so each moment lies within what may be left.
            child.wait(rng.uniform(0.05, 0.2) * seconds)
        except subprocess.TimeoutExpired:
            kill(child)
            kills += 1
        else:
            child.communicate()
    last = run(_command(raw, corpus), timeout=10 * seconds + 60)
    if last.code:
        raise RuntimeError(f"the resumed build ended with {last.code}: {(last.err or last.out)[-500:]}")
    return _digest(last.out.splitlines()), kills, time.perf_counter() - began


def _digest(lines: Sequence[str]) -> str:
    told: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith('{"corpus"')]
    return str(told[-1]["digest"])


if __name__ == "__main__":
    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else None))
