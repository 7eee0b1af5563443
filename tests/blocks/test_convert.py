"""Whatever the source, the engine and the moment of a kill, the store holds the pixels of the source."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from corpuscle import formats
from corpuscle.blocks import convert as module
from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.blocks.progress import Progress
from corpuscle.blocks.request import Request, needs, tile_of
from corpuscle.blocks.unpack import Direct, Slab, slabs, unpack
from corpuscle.core import Cut, Image, Space
from corpuscle.errors import PlanError, SettingsError, StoreError
from corpuscle.formats import omezarr
from corpuscle.store.ledger import beside


def picture(shape: tuple[int, ...], dtype: str = "u2") -> NDArray[Any]:
    return np.random.default_rng(3).integers(0, 4000, shape).astype(dtype)


def tree(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def request(src: Path, dst: Path, **more: Any) -> Request:
    record = formats.read(src)
    images = {n: x for n, x in record.layers.items() if isinstance(x, Image)}
    return Request(images, dst, {"file": src.name, "size": src.stat().st_size}, **more)


def written(src: Path, data: NDArray[Any], how: str) -> Path:
    if how == "npy":
        np.save(src.with_suffix(".npy"), data)
        return src.with_suffix(".npy")
    if how == "fortran":
        np.save(src.with_suffix(".npy"), np.asfortranarray(data))
        return src.with_suffix(".npy")
    if how == "zarr":
        omezarr.write(Image(data, Space("zyx"[-data.ndim :])), src.with_suffix(".zarr"))
        return src.with_suffix(".zarr")
    keys: dict[str, Any] = {
        "plain": {},
        "big-endian": {"byteorder": ">"},
        "bigtiff": {"bigtiff": True},
        "deflate": {"compression": "zlib"},
        "strips": {"compression": "zlib", "rowsperstrip": 50},
        "tiles": {"compression": "zlib", "tile": (128, 128)},
        "ome": {"ome": True},
        "pages": {"contiguous": False},
    }
    if how == "pages":
        with tifffile.TiffWriter(src) as file:
            for plane in data:
                file.write(plane, photometric="minisblack", contiguous=False, metadata=None)
        return src
    tifffile.imwrite(src, data, photometric="minisblack", metadata={"axes": "ZYX"}, **keys[how])
    return src


HOW = ["npy", "fortran", "zarr", "plain", "big-endian", "bigtiff", "deflate", "strips", "tiles", "ome", "pages"]


@pytest.mark.parametrize("how", HOW)
def test_any_source_arrives_as_it_is(how: str, tmp_path: Path) -> None:
    data = picture((20, 300, 500))
    asked = request(written(tmp_path / "a.tif", data, how), tmp_path / "b.zarr", verify=True)
    done = convert(asked, engine=Local(1))
    assert done.ok, done.failures
    (image,) = asked.images.values()
    back = omezarr.read_image(asked.dst)
    np.testing.assert_array_equal(back.read().reshape(data.shape), data)
    omezarr.write(image, tmp_path / "c.zarr")
    assert tree(asked.dst) == tree(tmp_path / "c.zarr")
    assert {p.name for p in tmp_path.iterdir()} >= {"b.zarr", "c.zarr"}
    assert not (tmp_path / "b.zarr.ledger").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_labels_go_along(workers: int, tmp_path: Path) -> None:
    data = picture((20, 260, 300))
    image = Image(data, Space("zyx", scale=(2.0, 0.5, 0.5)))
    omezarr.write(image, tmp_path / "a.zarr")
    labels = Image((data > 3000).astype(np.int32), image.space, labels_of="raw")
    omezarr.write_labels(labels, tmp_path / "a.zarr", name="cells")
    with Local(workers) as engine:
        done = convert(request(tmp_path / "a.zarr", tmp_path / "b.zarr", verify=True), engine=engine)
    assert done.ok
    assert tree(tmp_path / "b.zarr") == tree(tmp_path / "a.zarr")


def test_each_compressed_plane_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture((40, 300, 600), "u1")
    asked = request(written(tmp_path / "a.tif", data, "deflate"), tmp_path / "b.zarr")
    (image,) = asked.images.values()
    assert [type(x) for x in slabs(image, Cut(image.shape, (16, 256, 256)))] == [Slab] * 3
    assert [type(x) for x in slabs(image, Cut(image.shape, (16, 300, 600)))] == [Direct]
    seen: list[int] = []

    def noted(slab: Slab, plane: int) -> int:
        seen.append(slab.box.start[0] + plane)
        return unpack(slab, plane)

    monkeypatch.setattr(module, "unpack", noted)
    assert convert(asked, engine=Local(1)).ok
    assert sorted(seen) == list(range(40))


def test_flat_stacks_and_colours_come_in_thicker_blocks() -> None:
    def tile(axes: str, shape: tuple[int, ...], dtype: str = "u2") -> tuple[int, ...]:
        return tile_of(Image(np.broadcast_to(np.zeros((), dtype), shape), Space(axes)))

    assert tile("zyx", (12, 4000, 4000)) == (8, 2048, 2048)
    assert tile("cyx", (3, 4000, 4000), "u1") == (4, 2048, 2048)
    assert tile("tczyx", (5, 2, 300, 900, 900)) == (1, 2, 256, 256, 256)


class Dying:
    """An engine that fails after so many units, as a run does that is killed."""

    workers = 1

    def __init__(self, after: int) -> None:
        self.left = after

    def map(self, work: Callable[[Any], Any], units: Iterable[Any], *, threads: bool = False) -> Iterator[Outcome[Any]]:
        for unit in units:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield attempt(work, unit)

    def rest(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize("how", ["plain", "deflate"])
def test_it_goes_on_where_it_was(how: str, tmp_path: Path) -> None:
    data = picture((40, 300, 600), "u1")
    src = written(tmp_path / "a.tif", data, how)
    assert convert(request(src, tmp_path / "whole.zarr", verify=True), engine=Local(1)).ok
    total = 0
    for after in random.Random(0).sample(range(1, 40), 6):
        asked = request(src, tmp_path / f"{after}.zarr", verify=True)
        again = 0
        while True:
            try:
                done = convert(asked, engine=Dying(after))
                break
            except KeyboardInterrupt:
                again += 1
                assert not asked.dst.exists()
        assert done.ok
        assert tree(asked.dst) == tree(tmp_path / "whole.zarr")
        total += again
    assert total


def test_one_of_another_source_is_refused(tmp_path: Path) -> None:
    src = written(tmp_path / "a.npy", picture((20, 300, 300)), "npy")
    with pytest.raises(KeyboardInterrupt):
        convert(request(src, tmp_path / "b.zarr"), engine=Dying(1))
    np.save(src, picture((20, 300, 301)))
    with pytest.raises(SettingsError, match="unfinished"):
        convert(request(src, tmp_path / "b.zarr"), engine=Local(1))


def test_a_plane_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    src = written(tmp_path / "a.tif", picture((40, 300, 600), "u1"), "deflate")
    with tifffile.TiffFile(src) as file:
        page = file.pages[5]
        assert isinstance(page, tifffile.TiffPage)
        at = page.dataoffsets[0]
    whole = src.read_bytes()
    src.write_bytes(whole[:at] + b"#" * 40 + whole[at + 40 :])
    asked = request(src, tmp_path / "b.zarr")
    done = convert(asked, engine=Local(1))
    assert [e.where for e in done.failures] == ["raw of a.tif, unit 5"]
    assert "cannot be decoded" in done.failures[0].message
    assert not asked.dst.exists()
    src.write_bytes(whole)
    again = convert(asked, engine=Local(1))
    assert again.ok


def test_progress_counts_each_block_once(tmp_path: Path) -> None:
    data = picture((300, 300, 300), "u1")
    asked = request(written(tmp_path / "a.tif", data, "deflate"), tmp_path / "b.zarr", verify=True)
    told: list[Progress] = []
    convert(asked, engine=Local(1), watch=told.append)
    last = {p.stage: (p.done, p.total, p.bytes) for p in told}
    assert last["raw of a.tif"] == last["raw of a.tif: compared"] == (8, 8, data.nbytes)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    src = written(tmp_path / "a.npy", picture((20, 30, 30)), "npy")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(SettingsError, match="already"):
        convert(request(src, tmp_path / "b.zarr"), engine=Local(1))


def test_a_kill_between_the_last_two_steps_leaves_a_finished_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = written(tmp_path / "a.npy", picture((20, 30, 30)), "npy")

    def killed(path: Path) -> None:
        if path.name.endswith(".ledger"):
            raise KeyboardInterrupt

    asked = request(src, tmp_path / "b.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(module, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            convert(asked, engine=Local(1))
    assert asked.dst.exists()
    assert convert(asked, engine=Local(1)).ok
    assert not (tmp_path / "b.zarr.ledger").exists()


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(written(tmp_path / "a.npy", picture((20, 300, 300)), "npy"), tmp_path / "b.zarr")
    assert 20 * 300 * 300 * 2 * 0.5 < needs(asked) < 20 * 300 * 300 * 2 * 2
    monkeypatch.setattr(module, "free_space", lambda _: 1000)
    with pytest.raises(PlanError, match="1,000 are free"):
        convert(asked, engine=Local(1))
    assert not (tmp_path / "b.zarr.ledger").exists()


class Spoiling(Local):
    """An engine on whose disk a bit flips when everything is written."""

    def __init__(self, work: Path) -> None:
        super().__init__(1)
        self.work, self.spoilt = work, False

    def map(self, work: Callable[[Any], Any], units: Any, *, threads: bool = False) -> Iterator[Outcome[Any]]:
        shard = self.work / "image.zarr" / "0" / "c" / "0" / "1" / "0"
        if shard.exists() and (self.work / "image.zarr" / "1" / "c").exists() and not self.spoilt:
            self.spoilt = True
            other = np.full((20, 44, 256), 7, "u2")
            target = omezarr.create(self.work / "image.zarr", (20, 300, 300), "u2", Space("zyx"))
            (box,) = [b for b in target.shards if b.start == (0, 256, 0)]
            target.write(box, other)
        yield from super().map(work, units, threads=threads)


@pytest.mark.parametrize("how", ["npy", "deflate"])
def test_a_pixel_that_is_not_as_in_the_source_is_found(how: str, tmp_path: Path) -> None:
    data = picture((20, 300, 300))
    data[0, 256, :5] = 7
    asked = request(written(tmp_path / "a.npy", data, how), tmp_path / "b.zarr", verify=True)
    done = convert(asked, engine=Spoiling(tmp_path / "b.zarr.ledger" / "work"))
    assert not done.ok
    (error,) = done.failures
    assert isinstance(error, StoreError)
    assert error.rule == "convert-verify"
    assert f"z 0, y 256, x 5 it holds 7, the source {data[0, 256, 5]}" in error.message
    assert not asked.dst.exists()
    assert convert(asked, engine=Local(1)).ok
    np.testing.assert_array_equal(omezarr.read_image(asked.dst).read(), data)


PROGRAM = """
import sys
from pathlib import Path
from tests.blocks.test_convert import request
from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
if __name__ == "__main__":
    with Local(2) as engine:
        done = convert(request(Path(sys.argv[1]), Path(sys.argv[2]), verify=True), engine=engine)
    sys.exit(not done.ok)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "deflate"])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(how: str, tmp_path: Path) -> None:
    src = written(tmp_path / "a.tif", picture((300, 300, 400)), how)
    assert convert(request(src, tmp_path / "whole.zarr", verify=True), engine=Local(1)).ok
    whole, rng = tree(tmp_path / "whole.zarr"), random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for n in range(6):
        dst = tmp_path / f"{n}.zarr"
        for kills in range(4):
            run = subprocess.Popen([sys.executable, "-c", PROGRAM, str(src), str(dst)], env=environment)
            if kills < 3:
                time.sleep(0.4 + 1.5 * rng.random())
                run.send_signal(signal.SIGKILL)
            run.wait()
            if dst.exists() and not beside(dst).exists():
                break  # it was done before the kill, which it may be between its last deed and its end
        assert tree(dst) == whole
        assert not dst.with_name(f"{n}.zarr.ledger").exists()
