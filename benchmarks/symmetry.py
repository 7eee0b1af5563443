"""Whether a method finds the same when an image is turned or mirrored: eight copies of each, through the command line.

    python -m benchmarks.symmetry

A microscope has no preferred direction, so scores that move with it would be luck.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import real
from benchmarks.finding import Cell, Finding, full, show
from benchmarks.process import run
from corpuscle.formats import png, rgbmask
from corpuscle.worlds import nuclei as world

CLI = Path(sys.executable).with_name("corpuscle")
GUESS = "nuclei@local"
METRICS = ("f1@.50", "mean_f1", "recall@.50[25-100px]")
MOST = 0.01
Array = NDArray[Any]
TURNS: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda a: a,
    "quarter turn": lambda a: np.rot90(a),
    "half turn": lambda a: np.rot90(a, 2),
    "three quarters": lambda a: np.rot90(a, 3),
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "transposed": lambda a: a.swapaxes(0, 1),
    "other diagonal": lambda a: np.rot90(a, 2).swapaxes(0, 1),
}


def measure() -> list[Finding]:
    """The scores of each copy, on the faked plate and, where they are at hand, on real images."""
    sets: dict[str, Iterable[tuple[Array, Array]]] = {"faked plate": islice(_faked(), 24 if full() else 4)}
    folder = real("nuclei/aitslab/dev")
    if folder:
        sets["real images (Aitslab dev)"] = islice(_real(folder), None if full() else 3)
    rows: list[tuple[Cell, ...]] = []
    worst = 0.0
    for name, images in sets.items():
        count, scores = _scores(images)
        for turn, values in scores.items():
            rows.append((f"{name}, {count}", turn, *(float(f"{values[m]:.4f}") for m in METRICS)))
        worst = max([worst, *(abs(v[m] - scores["as it is"][m]) for v in scores.values() for m in METRICS)])
    verdict = "within" if worst <= MOST else "not within"
    return [
        Finding(
            "Turned and mirrored copies",
            ("images", "copy", *METRICS),
            tuple(rows),
            f"`{GUESS}` on the eight copies of each image that a square allows, written as PNG pairs, built with "
            "`corpuscle build` and scored with `corpuscle bench --json`.",
            (f"The largest difference from the image as it is: {worst:.4f}, {verdict} {MOST}.",),
        )
    ]


def _scores(images: Iterable[tuple[Array, Array]]) -> tuple[int, dict[str, dict[str, float]]]:
    """How many images there were, and the scores of each copy of all of them."""
    with tempfile.TemporaryDirectory() as held:
        raw, corpus = Path(held) / "raw", Path(held) / "corpus"
        raw.mkdir()
        parts: dict[str, list[str]] = {turn: [] for turn in TURNS}
        for k, (picture, objects) in enumerate(images):
            for i, (turn, how) in enumerate(TURNS.items()):
                name = f"image{k:02d}-{i}"
                parts[turn].append(name)
                (raw / f"{name}.png").write_bytes(png.encode(np.ascontiguousarray(how(picture))))
                (raw / f"{name}_objects.png").write_bytes(png.encode(np.ascontiguousarray(how(objects))))
        (raw / "split.json").write_text(json.dumps(parts), encoding="utf-8")
        built = run([CLI, "build", "nuclei", raw, corpus, "--workers", "2"], timeout=1800)
        told = run([CLI, "bench", corpus, "--guess", GUESS, "--task", "nuclei", "--workers", "2", "--json"])
        if built.code or told.code:
            raise RuntimeError((built.err + told.out)[-500:])
        lines = [x for x in told.lines() if x.get("average") == "micro" and x.get("metric") in METRICS]
    by = {(x["split"], x["metric"]): float("nan") if x["value"] is None else x["value"] for x in lines}
    return len(parts["as it is"]), {t: {m: by[f"published/{t}", m] for m in METRICS} for t in TURNS}


def _faked() -> Iterator[tuple[Array, Array]]:
    for field in world.fields("small"):
        if field.labels.any():
            yield field.channels["d0"], rgbmask.encode(field.labels)


def _real(folder: Path) -> Iterator[tuple[Array, Array]]:
    for objects in sorted(folder.glob("*_objects.png")):
        picture = objects.with_name(objects.name.replace("_objects", ""))
        yield np.asarray(Image.open(picture)), np.asarray(Image.open(objects).convert("RGB"))


if __name__ == "__main__":
    show(measure())
