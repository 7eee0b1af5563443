"""How many planted copies the audit finds, by what was done to them, and what it takes for a copy that is none.

python -m benchmarks.audit_duplicates
"""

from __future__ import annotations

import io
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tests.corpus.fields import ALTERED, Bytes, nuclei

from benchmarks.data import real
from benchmarks.finding import Cell, Finding, full, show
from corpuscle.corpus.duplicates import find

PLANTS = 504


def measure() -> list[Finding]:
    """Recall for each kind of copy, among generated fields and, where they are at hand, real ones."""
    kinds = list(ALTERED)
    originals = {f"field {i}": nuclei(i, count=(3, 8, 25, 80)[i % 4], side=(256, 400)[i % 2]) for i in range(31)}
    archive = real("nuclei/dsb2018/stage1_train_fluo_dev.zip")
    if archive:
        originals |= _dsb(archive)
    each = max(len(kinds) if full() else 1, -(-PLANTS // len(originals)))
    named: dict[str, Callable[[], Bytes]] = {name: partial(np.asarray, image) for name, image in originals.items()}
    for i, (name, image) in enumerate(originals.items()):
        for j in range(each):
            kind = kinds[(each * i + j) % len(kinds)]
            named[f"{name}|{kind}"] = partial(ALTERED[kind], image)
    start = time.perf_counter()
    found = find(named)
    seconds = time.perf_counter() - start
    home = {name: group for group in found.groups for name in group}
    planted: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    for name in named:
        original, bar, kind = name.partition("|")
        if bar:
            planted[kind] += 1
            caught[kind] += original in home.get(name, ())
    false = sum(len({n.split("|")[0] for n in group}) > 1 for group in found.groups)
    rows: list[tuple[Cell, ...]] = [(k, planted[k], caught[k], caught[k] / planted[k]) for k in kinds if planted[k]]
    total, all_caught = planted.total(), caught.total()
    rows.append(("all", total, all_caught, all_caught / total))
    there = f"{len(originals)} originals, {sum(n.startswith('dsb') for n in originals)} of them real (DSB2018)"
    return [
        Finding(
            "Planted copies",
            ("what was done to the copy", "planted", "found", "recall"),
            tuple(rows),
            f"{there}; every image is compared with every other, {len(named)} in all, in {seconds:.1f} s.",
            (f"Groups that join two different originals: {false}.",),
        )
    ]


def _dsb(archive: Path) -> dict[str, Bytes]:
    found = {}
    with zipfile.ZipFile(archive) as held:
        for name in held.namelist():
            if "/images/" in name and name.endswith(".png"):
                image = Image.open(io.BytesIO(held.read(name))).convert("RGB")
                found[f"dsb {name.split('/')[1][:12]}"] = np.asarray(image)[..., 0]
    return found


if __name__ == "__main__":
    show(measure())
