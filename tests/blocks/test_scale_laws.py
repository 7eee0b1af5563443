"""Workers, engines and the cut into blocks never change a byte: the same volume through all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.merge import Claim, Collect, Merge, Paste, Reduce, Stitch
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.step import Blockwise
from corpuscle.core import Image, Record, Space, Table, px
from corpuscle.store.ledger import Ledger

SHAPE = 37, 48, 53
BLOCKS = (16, 16, 16), (7, 20, 53), (64, 64, 64)
NEAR = {6: 1, 18: 2, 26: 3}


def snake() -> NDArray[np.uint8]:
    """One thin thread through every block, a staircase that is joined at corners alone, and some noise."""
    volume = (np.random.default_rng(7).random(SHAPE) < 0.05).astype(np.uint8)
    volume[::6] = 0
    for z in range(0, SHAPE[0], 6):
        for y in range(0, SHAPE[1], 4):
            volume[z, y] = 1
            volume[z, y : y + 4, -1 if (y // 4) % 2 else 0] = 1
        volume[z : z + 7, -1 if (z // 6) % 2 else 0, -1] = 1
    n = min(SHAPE)
    at = np.arange(n)
    volume[at, at, at] = 1
    return volume


def components(values: NDArray[Any], *, connectivity: int) -> NDArray[np.int32]:
    labels, _ = ndimage.label(values, ndimage.generate_binary_structure(3, NEAR[connectivity]))
    return np.asarray(labels, np.int32)


def renumbered(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Numbered by first voxel."""
    ids, first = np.unique(labels, return_index=True)
    table = np.zeros(int(ids.max()) + 1, np.int64)
    table[ids[ids > 0][np.argsort(first[ids > 0])]] = np.arange(1, (ids > 0).sum() + 1)
    return np.asarray(table[labels])


def histogram(pixels: NDArray[Any]) -> NDArray[np.int64]:
    return np.bincount(pixels.ravel(), minlength=256)


def as_table(counts: NDArray[np.int64]) -> Table:
    return Table({"count": counts})


def peaks(pixels: NDArray[Any]) -> NDArray[np.int64]:
    return np.argwhere((pixels == ndimage.maximum_filter(pixels, 3)) & (pixels > 200))


def balls() -> NDArray[np.uint8]:
    """A clump of balls that touch, each of a brightness of its own, across every block."""
    volume = np.zeros(SHAPE, np.uint8)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    n = 0
    for cz in range(4, 34, 7):
        for cy in range(4, 46, 7):
            for cx in range(4, 50, 7):
                n += 1
                volume[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 14] = 1 + n % 250
    return volume


def by_value(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """Objects told apart by their brightness: what a net or a watershed would answer."""
    labels = np.zeros(pixels.shape, np.int32)
    total = 0
    for value in np.unique(pixels[pixels > 0]):
        parts, k = ndimage.label(pixels == value)
        labels[parts > 0] = parts[parts > 0] + total
        total += k
    return labels


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 255, SHAPE).astype(np.uint8)


SMOOTH = partial(ndimage.gaussian_filter, sigma=1.0, truncate=3.0)
CASES: dict[str, tuple[Any, Any, Merge, int]] = {
    "filter": (noise, SMOOTH, Paste(), 3),
    **{f"components {c}": (snake, partial(components, connectivity=c), Stitch(), 1) for c in NEAR},
    "touching objects": (balls, by_value, Claim(), 9),
    "points": (noise, peaks, Collect(), 1),
    "reduction": (noise, histogram, Reduce(np.add, as_table), 0),
}


def step_of(case: str) -> Blockwise:
    _, op, merge, halo = CASES[case]
    labels = "raw" if isinstance(merge, Stitch | Claim) else None
    return Blockwise(op, "raw", "out", halo=px(halo), merge=merge, labels_of=labels)


def reference(case: str) -> NDArray[Any]:
    make, op, merge, _ = CASES[case]
    whole = op(make())
    return renumbered(whole) if isinstance(merge, Stitch | Claim) else np.asarray(whole)


def made(case: str, folder: Path, engine: Engine, block: tuple[int, ...]) -> tuple[NDArray[Any], dict[str, str]]:
    """What came out, and the digest of every file of it."""
    record = Record("r", {}, {"raw": Image(CASES[case][0](), Space("zyx"))})
    shelf = Scratch.of(folder / "shelf", record)
    with Ledger(folder / "ledger") as ledger:
        receipt = run([step_of(case)], shelf, Conditions(engine, ledger, block=block))
    assert receipt.ok, receipt.failures
    layer = shelf.record("r")["out"]
    path = shelf.path("r", "out")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sums = {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    if isinstance(layer, Image):
        return layer.read(), sums
    return np.asarray(layer["count"] if isinstance(layer, Table) else layer.positions), sums  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    with Local(2) as two, Local(4) as four:
        yield {"1": Local(1), "2": two, "4": four}


@pytest.mark.parametrize("case", CASES)
def test_neither_workers_nor_blocks_change_a_byte(case: str, engines: dict[str, Engine], tmp_path: Path) -> None:
    want = reference(case)
    files: dict[tuple[str, tuple[int, ...]], dict[str, str]] = {}
    for block, (name, engine) in [*zip(BLOCKS, engines.items(), strict=True), (BLOCKS[0], ("2", engines["2"]))]:
        got, sums = made(case, tmp_path / f"{name}-{block[0]}-{len(files)}", engine, block)
        np.testing.assert_array_equal(got, want)
        files[name, block] = sums
    assert len({tuple(s.items()) for s in files.values()}) == 1


@pytest.mark.parametrize("case", ["filter", "components 26", "touching objects"])
def test_a_cluster_changes_no_byte(case: str, tmp_path: Path) -> None:
    dask = pytest.importorskip("corpuscle.blocks.engines.dask")
    _, want = made(case, tmp_path / "here", Local(1), BLOCKS[0])
    with dask.Dask("local:2") as engine:
        _, got = made(case, tmp_path / "there", engine, BLOCKS[0])
    assert got == want


def test_the_clump_is_a_clump() -> None:
    _, n = ndimage.label(balls() > 0, ndimage.generate_binary_structure(3, 3))
    assert n < 10 < 150 < reference("touching objects").max()


def test_the_thread_is_one_object_and_the_stairs_are_joined_at_corners() -> None:
    volume = snake()
    six, twenty_six = (components(volume, connectivity=c) for c in (6, 26))
    assert twenty_six[0, 0, 0] == twenty_six[30, 44, 5]
    assert six.max() > twenty_six.max()
