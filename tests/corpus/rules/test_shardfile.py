from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpuscle.core import Box, Image, Space
from corpuscle.corpus.rules.shardfile import damaged, guarded, keys
from corpuscle.formats import omezarr, vetted
from corpuscle.formats.zarrays import ZarrArray, open_array


@pytest.fixture(params=[(1, "dense"), (2, "dense"), (2, "sparse")], ids=str)
def array(request: pytest.FixtureRequest, tmp_path: Path) -> ZarrArray:
    """An array of one shard: of one chunk, of four, and of four of which but two are written."""
    across, kind = request.param
    side = 8 * across
    pixels = np.random.default_rng(0).integers(1, 60, (side, side)).astype(np.uint16)
    if kind == "sparse":
        pixels[:, 8:] = 0
    omezarr.write(Image(pixels, Space("yx")), tmp_path / "a.zarr", plane=(8, 16))
    return open_array(tmp_path / "a.zarr" / "0")


def test_a_flip_of_any_byte_is_found_and_called_a_flip(array: ZarrArray) -> None:
    assert guarded(vetted.load(Path(array.path) / "zarr.json"))
    assert list(damaged(array)) == []
    path = Path(array.path) / "c/0/0"
    data = path.read_bytes()
    for at in range(len(data)):
        for by in (0x01, 0xFF):
            path.write_bytes(data[:at] + bytes([data[at] ^ by]) + data[at + 1 :])
            assert [rule for rule, _, _ in damaged(array)] == ["chunk-checksum"], at


def test_a_shard_cut_off_anywhere_is_torn(array: ZarrArray) -> None:
    path = Path(array.path) / "c/0/0"
    data = path.read_bytes()
    for n in range(len(data)):
        path.write_bytes(data[:n])
        assert [rule for rule, _, _ in damaged(array)] == ["shard-torn"], n


def test_bytes_of_no_chunk_and_missing_shards_are_found(array: ZarrArray) -> None:
    path = Path(array.path) / "c/0/0"
    path.write_bytes(b"more" + path.read_bytes())
    assert [rule for rule, _, _ in damaged(array)] != []
    path.unlink()
    assert [rule for rule, _, _ in damaged(array)] == ["shard-missing"]


def test_keys_are_those_of_the_grid(array: ZarrArray) -> None:
    assert keys(array, "c/0/0")
    assert not any(
        keys(array, k) for k in ("c/0/1", "c/0", "c/00/0", "d/0/0", "c/0/-1", "c/0/0/0", "c/0/x", "zarr.json")
    )


def test_a_shape_that_nobody_could_write_is_not_counted_to_its_end() -> None:
    huge = ZarrArray("/nowhere", (2**40, 2**10), np.dtype("uint8"), (1, 1), (1, 1))
    assert len(list(damaged(huge))) == 1000
    assert Box.of(huge.shape).size == 2**50
