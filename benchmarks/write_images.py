"""Writing images with labels as sharded OME-Zarr 0.5 with pyramids: ours, zarr-python by hand, ome-zarr-py, ngff-zarr.

    python -m benchmarks.write_images

Every writer is a program of its own, is given the same arrays, and is told to cut, pack and halve them in the same
way: chunks of 512 pixels, a shard to a level, Blosc with zstd 3 and bit shuffling, means for images and nearest
neighbours for labels; ngff-zarr packs as it does by itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.finding import Cell, Finding, full, ratio, show
from benchmarks.installed import PEERS, Absent, python_with, version_in
from benchmarks.process import run
from corpuscle.core import Image, Space
from corpuscle.core.pyramid import factors
from corpuscle.formats import omezarr

SIDES = 512, 1104
UM = 0.454
WRITERS = (
    ("corpuscle", "corpuscle", None),
    ("zarr-python by hand", "zarr", PEERS / "zarr_python.py"),
    ("ome-zarr-py", "ome-zarr", PEERS / "ome_zarr_py.py"),
    ("ngff-zarr", "ngff-zarr", PEERS / "ngff_zarr_py.py"),
)


def measure() -> list[Finding]:
    """Images a second, bytes and files of each writer, for each size of image."""
    rows: list[tuple[Cell, ...]] = []
    notes = []
    n, repeats = (48, 5) if full() else (12, 3)
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        for side in SIDES:
            images, labels = _arrays(side, n)
            np.save(folder / "images.npy", images)
            np.save(folder / "labels.npy", labels)
            ours: float | None = None
            for name, package, script in WRITERS:
                out = folder / f"{side}-{package}"
                arrays: list[str | Path] = [folder / "images.npy", folder / "labels.npy"]
                what = [script] if script else ["-m", "benchmarks.write_images", "--write"]
                try:
                    python = _python(package)
                    ran = run([python, *what, *arrays, out, str(_levels(side)), str(repeats)], timeout=900)
                    if ran.code:
                        raise Absent(f"{name} failed: {ran.err.strip().splitlines()[-1][:300]}")
                except (Absent, TimeoutError) as e:
                    notes.append(f"{name} was not measured at {side}: {e}.")
                    continue
                seconds, cpu = (median(line[k] for line in ran.lines()) / n for k in ("seconds", "cpu"))
                ours = ours or seconds
                files = [p for p in (out / "1" / "0.zarr").rglob("*") if p.is_file()]
                size = sum(p.stat().st_size for p in files) / 1e3
                said = f"{name} {version_in(python, package)}"
                rows.append((side, said, 1 / seconds, ratio(ours, seconds), 1e3 * cpu, size, len(files), ran.peak_mb))
    return [
        Finding(
            "Writing images and labels as OME-Zarr 0.5",
            ("side", "writer", "pairs/s", "times ours", "processor ms a pair", "kB a pair", "files a pair", "peak MB"),
            tuple(rows),
            f"A uint16 image and its int32 labels, sharded, with pyramids; {n} pairs, median of {repeats} runs after "
            "one that does not count. Each writer is a program of its own with one thread to each library.",
            tuple(dict.fromkeys(notes)),
        )
    ]


def _python(package: str) -> Path:
    if package in ("corpuscle", "zarr"):
        return Path(sys.executable)
    return python_with(package, extra="dask-image" if package == "ngff-zarr" else "")


def _levels(side: int) -> int:
    return 1 + len(factors(Space("yx"), (side, side)))


def _arrays(side: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Fields of blurred discs under noise, as a 12-bit camera sees them, and their labels."""
    rng = np.random.default_rng(side)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((n, side, side), np.int32)
    for k in range(n):
        for i in range(1, 1 + side * side // 6000):
            cy, cx = rng.integers(0, side, 2)
            box = np.s_[max(0, cy - 20) : cy + 21, max(0, cx - 20) : cx + 21]
            labels[k][box][(y[box] - cy) ** 2 + (x[box] - cx) ** 2 < rng.integers(8, 20) ** 2] = i
    images = np.where(labels > 0, 900, 150) + rng.normal(0, 25, labels.shape)
    return images.astype(np.uint16), labels


def write_all(images: Path, labels: Path, out: Path, repeats: int) -> None:
    """Our part of the comparison, in a program of its own."""
    pictures, truths = np.load(images), np.load(labels)
    space = Space("yx", scale=(UM, UM))
    for r in range(repeats + 1):
        start, cpu = time.perf_counter(), time.process_time()
        for k, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
            where = out / str(r) / f"{k}.zarr"
            where.parent.mkdir(parents=True, exist_ok=True)
            omezarr.write(Image(picture, space), where)
            omezarr.write_labels(Image(truth, space, labels_of="raw"), where, name="nuclei")
        if r:
            print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_all(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[6]))
    else:
        show(measure())
