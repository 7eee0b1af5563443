"""Reading shards: `Image.read` beside tensorstore alone; and what a cache saves where blocks overlap.

python -m benchmarks.shard_reads
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.finding import Cell, Finding, full, show
from corpuscle.core import Box, Image, Space
from corpuscle.formats import omezarr, storage

CHUNK, BLOCK, HALO = 64, 256, 8
ROUNDS = 7
Reads = Callable[[Box], object]


def measure() -> list[Finding]:
    """A volume in chunks of 64 and shards of 256 pixels, from a warm page cache."""
    size = 1024 if full() else 512
    with tempfile.TemporaryDirectory() as held:
        path = Path(held) / "volume.zarr"
        _write(path, size)
        image = omezarr.read_image(path)
        return [_speed(image, path, size), _overlap(image, size)]


def _speed(image: Image, path: Path, size: int) -> Finding:
    bare = _bare(path)
    rng = np.random.default_rng(1)
    aligned = [_cube(c * CHUNK) for c in rng.integers(0, size // CHUNK, (1000, 3))]
    anywhere = [_cube(c) for c in rng.integers(0, size - CHUNK, (300, 3))]
    rows: list[tuple[Cell, ...]] = []
    for name, boxes in (
        ("all of it, in blocks of 256", list(image.box.tiles((BLOCK,) * 3))),
        ("1,000 chunks at random", aligned),
        ("300 cubes of 64 at random, not aligned", anywhere),
    ):
        mine, theirs = _in_turn((image.read, lambda box: bare[box.slices].read().result()), boxes)
        pixels = sum(b.size for b in boxes)
        for who, (wall, cpu) in (("corpuscle", mine), ("tensorstore", theirs)):
            speed = pixels * 2e-6 / min(wall)
            ms = [1e3 * t / len(boxes) for t in (min(wall), median(wall), min(cpu))]
            rows.append((name, who, *ms, speed, min(theirs[0]) / min(wall), median(theirs[0]) / median(wall)))
    return Finding(
        "Reading shards",
        ("what", "program", "ms a read", "median", "of a processor", "MB/s", "beside tensorstore", "medians"),
        tuple(rows),
        f"A volume of {size}^3 uint16 as we write it. Best and median of {ROUNDS} rounds, the two in turn. Ours looks "
        "whether the array is still the same at every read, and keeps 16 MiB of chunks; tensorstore is as it comes.",
    )


def _overlap(image: Image, size: int) -> Finding:
    """How often a chunk is decoded when blocks are read with a halo, by the size of the cache."""
    blocks = [b.grow((HALO,) * 3).clip(image.box) for b in image.box.tiles((BLOCK,) * 3)]
    with storage.cache(0):
        once, _ = _decoded(image.read, list(image.box.tiles((BLOCK,) * 3)))
    rows: list[tuple[Cell, ...]] = []
    for mib in (0, 64, 128, 256, 512, 1024):
        with storage.cache(mib << 20):
            nbytes, seconds = _decoded(image.read, blocks)
        rows.append((mib, nbytes / once, seconds))
    return Finding(
        "Blocks with a halo",
        ("cache, MiB", "times each chunk is read", "seconds"),
        tuple(rows),
        f"All blocks of {BLOCK}^3 with a halo of {HALO} on each side, in C order, of {size}^3 uint16 in chunks of "
        f"{CHUNK}^3; compressed bytes read, beside those of a plain scan.",
    )


def _decoded(read: Reads, boxes: Sequence[Box]) -> tuple[float, float]:
    before, start = _bytes_read(), time.perf_counter()
    for box in boxes:
        read(box)
    return _bytes_read() - before, time.perf_counter() - start


def _bytes_read() -> float:
    import tensorstore as ts

    metrics = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_read")
    return float(sum(v.get("value", 0) for m in metrics for v in m["values"]))


def _in_turn(readers: Sequence[Reads], boxes: Sequence[Box]) -> list[tuple[list[float], list[float]]]:
    """Seconds for all boxes, by the clock and of the processors; each reader once a round, the first to go in turn."""
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in readers]
    for r in range(ROUNDS + 1):
        for i in range(len(readers)):
            k = (i + r) % len(readers)
            start, used = time.perf_counter(), time.process_time()
            for box in boxes:
                readers[k](box)
            if r:  # the first round warms up
                times[k][0].append(time.perf_counter() - start)
                times[k][1].append(time.process_time() - used)
    return times


def _bare(path: Path) -> Any:
    import tensorstore as ts

    return ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}}, open=True).result()


def _cube(corner: Any) -> Box:
    start = tuple(int(c) for c in corner)
    return Box(start, tuple(c + CHUNK for c in start))


def _write(path: Path, size: int) -> None:
    """Blobs and the noise of a camera: some 11 bits to a pixel."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.random((BLOCK,) * 3, np.float32), 3)
    smooth = 3000 * (smooth - smooth.min()) / np.ptp(smooth)
    target = omezarr.create(path, (size,) * 3, np.uint16, Space("zyx", scale=(1, 1, 1)))
    for box in target.shards:
        noise = rng.normal(200, 40, box.shape).astype(np.float32)
        target.write(box, (smooth + noise).clip(0).astype(np.uint16))


if __name__ == "__main__":
    show(measure())
