"""A torn shard is seen without its pixels being read, and a flipped bit with them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from corpuscle.core import Box
from corpuscle.formats.shards import Grid, intact, shard

GRIDS = [Grid((40, 50), (16, 16), (32, 32)), Grid((7,), (7,), (7,)), Grid((20, 33, 33), (16, 16, 16), (32, 48, 48))]


@pytest.mark.parametrize("fill", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_whole_ones_are_and_damaged_ones_are_not(grid: Grid, fill: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = (rng.integers(0, 200, grid.shape) * (rng.random(grid.shape) < fill)).astype("u2")
    path, pick = tmp_path / "0", random.Random(0)
    for box in grid.boxes:
        whole = bytes(shard(grid, box, lambda part: pixels[part.slices], labels=False))
        path.write_bytes(whole)
        assert intact(path, grid)
        assert intact(path, grid, deep=True)
        for n in {0, 1, len(whole) - 1, *(pick.randrange(len(whole)) for _ in range(9))}:
            path.write_bytes(whole[:n])
            assert not intact(path, grid)
            flipped = bytearray(whole)
            flipped[n] ^= 1 << pick.randrange(8)
            path.write_bytes(flipped)
            assert not intact(path, grid, deep=True)
        path.write_bytes(whole + b"\0")
        assert not intact(path, grid)


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        intact(tmp_path / "0", GRIDS[0])
    assert Grid((8,), (2,), (4,)).shards(Box((0,), (4,))) == [Box((0,), (4,))]
