"""What a process keeps of what it has read: decoded chunks, up to so many bytes, for all its threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from corpuscle.core import Box, Image, Space
from corpuscle.errors import SettingsError
from corpuscle.formats import omezarr, storage

SIDE = 192
PIXELS = np.random.default_rng(0).integers(0, 60000, (SIDE,) * 3, np.uint16)
BLOCKS = [
    Box(c, tuple(a + 64 for a in c)).grow((8, 8, 8)).clip(Box.of(PIXELS.shape))
    for c in product(range(0, SIDE, 64), repeat=3)
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    path = tmp_path_factory.mktemp("kept") / "volume.zarr"
    omezarr.write(Image(PIXELS, Space("zyx")), path)
    return omezarr.read_image(path)


def bytes_read() -> float:
    found = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_read")
    return float(sum(v.get("value", 0) for m in found for v in m["values"]))


def cost(image: Image, *, total: int, threads: int = 1) -> float:
    """Compressed bytes read for all blocks with their halo, as a multiple of what lies on disk."""
    with storage.cache(total), ThreadPoolExecutor(threads) as pool:
        before = bytes_read()
        for box, part in zip(BLOCKS, pool.map(image.read, BLOCKS), strict=True):
            assert np.array_equal(part, PIXELS[box.slices])
        return (bytes_read() - before) / PIXELS.nbytes


def test_a_chunk_is_read_once_where_all_that_overlaps_is_kept(image: Image) -> None:
    assert cost(image, total=64 << 20) < 1.1
    assert cost(image, total=0) > 8


def test_threads_share_what_is_kept(image: Image) -> None:
    assert cost(image, total=64 << 20, threads=4) < 1.6


def test_what_was_kept_is_let_go(image: Image) -> None:
    with storage.cache(64 << 20):
        image.read()
        with storage.cache(0):
            before = bytes_read()
            image.read()
            assert bytes_read() - before > 0.9 * PIXELS.nbytes
    assert storage.keep(storage.CACHE_BYTES) == storage.CACHE_BYTES


def test_another_array_in_its_place_is_seen_whatever_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    with storage.cache(64 << 20):
        for value in (1, 2):
            omezarr.write(Image(np.full((20, 30), value, np.uint8), Space("yx")), path, replace=True)
            assert (omezarr.read_image(path).read() == value).all()


def test_no_cache_of_less_than_nothing() -> None:
    with pytest.raises(SettingsError) as e:
        storage.keep(-1)
    assert e.value.rule == "cache-bytes"
