"""Scores told by the program beside those computed by a script that imports nothing of it.

python -m benchmarks.independent
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

from benchmarks.data import real
from benchmarks.finding import Cell, Finding, full, show
from benchmarks.process import run
from benchmarks.recompute_scores import TOLERANCE, compare

CLI = Path(sys.executable).with_name("corpuscle")


def measure() -> list[Finding]:
    """Compare the two on the faked plate and, where they are at hand, on real images."""
    rows: list[tuple[Cell, ...]] = []
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        done = run([CLI, "fake", "nuclei", folder / "faked", "--size", "small" if full() else "tiny"])
        if done.code:
            raise RuntimeError(done.err[-500:])
        sets = {"the faked plate": folder / "faked"}
        for name, part in (("Aitslab", "nuclei/aitslab"), ("DSB2018", "nuclei/dsb2018")):
            if (genuine := real(part)) and (full() or name == "DSB2018"):
                sets[name] = genuine
        for k, (name, raw) in enumerate(sets.items()):
            corpus = folder / str(k)
            built = run([CLI, "build", "nuclei", raw, corpus, "--workers", "2"], timeout=1800)
            if not (corpus / "corpus.json").exists():
                raise RuntimeError(built.err[-500:])
            compared = compare(corpus, [CLI, "bench"])
            guesses = len({c.guess for c in compared})
            parts = sorted({c.part for c in compared})
            worst = max((c.off for c in compared), default=math.inf)
            rows.append((name, guesses, ", ".join(parts), len(compared), worst))
    verdict = "All agree" if all(isinstance(r[-1], float) and r[-1] <= TOLERANCE for r in rows) else "NOT all agree"
    return [
        Finding(
            "Scores computed twice",
            ("corpus", "methods", "parts", "scores", "largest difference"),
            tuple(rows),
            "F1 at 0.5, mean F1 and recall of objects of 25 to 100 px, pooled over the images of each part: what "
            "`corpuscle bench --json` tells, and what `benchmarks/recompute_scores.py` makes of the same files with "
            "zarr-python, pyarrow and SciPy.",
            (f"{verdict} to {TOLERANCE:.0e}.",),
        )
    ]


if __name__ == "__main__":
    show(measure())
