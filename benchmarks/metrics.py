"""Scoring labels: `corpuscle.metrics.instances` beside stardist.matching, on the same pairs.

python -m benchmarks.metrics
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.finding import Cell, Finding, full, ratio, show
from benchmarks.installed import PEERS, Absent, python_with, version_in
from benchmarks.process import run
from corpuscle.core import Image, Space
from corpuscle.metrics.instances import instances
from corpuscle.ops.segment import gauss_otsu
from corpuscle.worlds import nuclei as world

Labels = NDArray[Any]


def measure() -> list[Finding]:
    """Time and agreement on fields of the faked plate, and on one field of many objects."""
    across, count = (100, "10,000") if full() else (40, "1,600")
    sets = {
        "fields of the faked plate": _fields(24 if full() else 8),
        f"one field of {count} objects": [_crowd(across)],
    }
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for name, pairs in sets.items():
        with tempfile.TemporaryDirectory() as held:
            path = Path(held) / "pairs.npz"
            arrays = {f"{w}{k}": a for k, p in enumerate(pairs) for w, a in zip(("truth", "guess"), p, strict=True)}
            np.savez(path, allow_pickle=False, **arrays)
            ours, mine = _answer([sys.executable, "-m", "benchmarks.metrics", "--score", path])
            objects = sum(int(np.count_nonzero(np.unique(t))) for t, _ in pairs)
            rows.append((name, "corpuscle", len(pairs), objects, 1e3 * ours / len(pairs), 1.0, None, None))
            try:
                python = python_with("stardist")
                theirs, yours = _answer([python, PEERS / "stardist_matching.py", path])
            except Absent as e:
                notes.append(f"stardist was not measured: {e}.")
                continue
            counts = sum(
                a != b for m, y in zip(mine["counts"], yours["counts"], strict=True) for a, b in zip(m, y, strict=True)
            )
            off = max(abs(a - b) for a, b in zip(mine["pq"], yours["pq"], strict=True))
            said = f"stardist {version_in(python, 'stardist')}"
            rows.append((name, said, len(pairs), objects, 1e3 * theirs / len(pairs), ratio(ours, theirs), counts, off))
    return [
        Finding(
            "Scoring labels",
            (
                "pairs",
                "program",
                "images",
                "objects",
                "ms an image",
                "times ours",
                "counts that differ",
                "PQ differs by",
            ),
            tuple(rows),
            "TP, FP and FN at ten thresholds, and PQ; ours also tells AJI, AJI+, SEG, splits, merges and recall by "
            "size in the same time. Median of 5 runs. A count differs where TP, FP or FN of an image at a threshold "
            "does.",
            tuple(dict.fromkeys(notes)),
        )
    ]


def _answer(command: list[Any]) -> tuple[float, dict[str, Any]]:
    ran = run([*command, "5"])
    if ran.code:
        raise Absent(ran.err.strip().splitlines()[-1][:300])
    *times, answer = ran.lines()
    return median(t["seconds"] for t in times), answer


def _fields(n: int) -> list[tuple[Labels, Labels]]:
    """Truth and the guess of a plain method, for fields of the small world."""
    out = []
    for field in world.fields("small"):
        if field.labels.any():
            out.append((field.labels, gauss_otsu(field.channels["d0"])))
        if len(out) == n:
            break
    return out


def _crowd(across: int) -> tuple[Labels, Labels]:
    """Rows and columns of discs, and others nearly where they are."""
    pitch = 30
    side = across * pitch
    y, x = np.mgrid[:side, :side]
    cell = (y // pitch) * across + x // pitch + 1
    inside = (y % pitch - pitch // 2) ** 2 + (x % pitch - pitch // 2) ** 2
    truth = np.where(inside < 11**2, cell, 0).astype(np.int32)
    guess = np.roll(np.where(inside < (9 + cell % 5) ** 2, cell, 0), (1, 2), (0, 1)).astype(np.int32)
    return truth, guess


def score(path: Path, repeats: int) -> None:
    """Our part of the comparison, in a program of its own."""
    held = np.load(path)
    space = Space("yx")
    pairs = [
        tuple(Image(held[f"{which}{k}"], space, labels_of="raw") for which in ("truth", "guess"))
        for k in range(len(held.files) // 2)
    ]
    instances(*pairs[0])
    for _ in range(repeats):
        start = time.perf_counter()
        tallies = [instances(t, g) for t, g in pairs]
        scores = [t.scores() for t in tallies]
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
    counts = [[list(c) for c in zip(t.tp, t.fp, t.fn, strict=True)] for t in tallies]
    print(json.dumps({"counts": counts, "pq": [s["pq"] for s in scores]}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--score"]:
        score(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        show(measure())
