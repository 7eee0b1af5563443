"""Score a corpus anew, without corpuscle, and compare with what ``corpuscle bench --json`` says of it.

    python -m benchmarks.recompute_scores CORPUS [--command "corpuscle bench"]

Labels are read with zarr-python, splits with pyarrow, records as the JSON that they are. An object is found at T where
its IoU with a guess is at least T, one to one and as many as possible (a maximum bipartite matching); counts are pooled
over the images of a part. Exits 1 where any score differs by more than 1e-9.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import zarr
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

TRUTH = "nuclei"
TOLERANCE = 1e-9
SMALL = 25, 100


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one image: objects, guesses, matches at .50, .55, ... .95, small objects and those of them that are found."""

    objects: int
    guesses: int
    matches: tuple[int, ...]
    small: int
    small_found: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One score, as found here and as told by the program."""

    guess: str
    part: str
    metric: str
    here: float
    there: float

    @property
    def off(self) -> float:
        """By how much the two differ; infinite where one is defined and the other is not."""
        if math.isnan(self.here) or math.isnan(self.there):
            return 0.0 if math.isnan(self.here) and math.isnan(self.there) else math.inf
        return abs(self.here - self.there)


def compare(corpus: Path, command: Sequence[str | Path]) -> list[Compared]:
    """Every score that is computed here beside the one that the program tells."""
    told = _told(corpus, command)
    counts = dict(_counts(corpus))
    rows = []
    for part, names in _parts(corpus, {name for _, name in counts}).items():
        for guess in sorted({guess for guess, _ in counts}):
            chosen = [counts[guess, name] for name in sorted(names) if (guess, name) in counts]
            if chosen:
                rows += [Compared(guess, part, m, v, told[guess, part, m]) for m, v in _scores(chosen).items()]
    return rows


def _scores(counts: list[Counts]) -> dict[str, float]:
    of = sum(c.objects + c.guesses for c in counts)
    f1 = [2 * sum(c.matches[k] for c in counts) / of if of else math.nan for k in range(10)]
    small = sum(c.small for c in counts)
    recall = sum(c.small_found for c in counts) / small if small else math.nan
    return {"f1@.50": f1[0], "mean_f1": math.fsum(f1) / 10, "recall@.50[25-100px]": recall}


def _counts(corpus: Path) -> Iterator[tuple[tuple[str, str], Counts]]:
    for path in sorted(corpus.glob("records/*/*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        layers = record["layers"]
        if TRUTH not in layers:
            continue
        truth = _labels(corpus, layers[TRUTH])
        for name, layer in layers.items():
            if name.startswith(f"{TRUTH}@") and layer["kind"] == "labels":
                yield (name, record["name"]), _count(truth, _labels(corpus, layer))


def _labels(corpus: Path, layer: dict[str, Any]) -> NDArray[np.int64]:
    array = zarr.open_group(corpus / layer["path"], mode="r")["0"]
    return np.asarray(array[...], np.int64)  # type: ignore[index]


def _count(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> Counts:
    objects, t, size = np.unique(truth, return_inverse=True, return_counts=True)
    guesses, g, area = np.unique(guess, return_inverse=True, return_counts=True)
    shared = np.zeros((len(objects), len(guesses)), np.int64)
    np.add.at(shared, (t.ravel(), g.ravel()), 1)
    shared, size, area = shared[objects > 0][:, guesses > 0], size[objects > 0], area[guesses > 0]
    union = size[:, None] + area[None, :] - shared
    # T is k twentieths; in whole numbers there is no rounding to fall on either side of it.
    partners = [_partners(20 * shared >= k * union) for k in range(10, 20)]
    small = (size >= SMALL[0]) & (size < SMALL[1])
    return Counts(
        len(size),
        len(area),
        tuple(int(np.count_nonzero(p >= 0)) for p in partners),
        int(np.count_nonzero(small)),
        int(np.count_nonzero(partners[0][small] >= 0)),
    )


def _partners(hit: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The guess that each object is matched with, -1 for none."""
    if not hit.size:
        return np.full(len(hit), -1, np.int32)
    return np.asarray(maximum_bipartite_matching(csr_array(hit), perm_type="column"))


def _parts(corpus: Path, names: Iterable[str]) -> dict[str, set[str]]:
    parts = {"all": set(names)}
    path = corpus / "splits.parquet"
    if path.exists():
        for row in parquet.read_table(path).to_pylist():
            parts.setdefault(f"{row['scheme']}/{row['part']}", set()).add(row["record"])
    return parts


def _told(corpus: Path, command: Sequence[str | Path]) -> dict[tuple[str, str, str], float]:
    asked = [*map(str, command), str(corpus), "--task", TRUTH, "--json"]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{shlex.join(asked)} ended with {ran.returncode}: {(ran.stdout + ran.stderr)[-500:]}")
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return {
        (line["guess"], line["split"], line["metric"]): math.nan if line["value"] is None else line["value"]
        for line in lines
        if line.get("average") == "micro"
    }


def main() -> int:
    """Compare one corpus and say how far the two agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--command", default=f"{Path(sys.executable).with_name('corpuscle')} bench")
    told = parser.parse_args()
    rows = compare(told.corpus, shlex.split(told.command))
    for row in rows:
        print(f"{row.guess:24} {row.part:24} {row.metric:22} {row.here:.9f} {row.there:.9f} {row.off:.1e}")
    worst = max((row.off for row in rows), default=math.inf)
    print(f"{len(rows)} scores, largest difference {worst:.1e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
