"""However an image is cut and in whatever order its blocks come, the same bytes lie on disk."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.blocks.sink import Piece, ZarrSink
from corpuscle.core import Box, Channel, Cut, Image, Space
from corpuscle.errors import StepError, StoreError
from corpuscle.formats import omezarr
from corpuscle.formats.shards import Grid
from corpuscle.formats.zarrays import ZarrArray
from corpuscle.store import digest

COUNTER = itertools.count()
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels_of(shape: tuple[int, ...], dtype: str, fill: float, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 200, shape) * (rng.random(shape) < fill)).astype(dtype)


def tree(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def fill(sink: ZarrSink, pixels: NDArray[Any], order: random.Random) -> None:
    boxes = list(sink.blocks)
    order.shuffle(boxes)
    for box in boxes:
        sink.open(pixels.dtype)
        sink.write(box, pixels[box.slices])
    for units in sink.tiers():
        order.shuffle(units)
        for unit in units:
            pickle.loads(pickle.dumps(sink)).build(pickle.loads(pickle.dumps(unit)))


@st.composite
def jobs(draw: st.DrawFn) -> tuple[str, tuple[int, ...], str, str | None, float]:
    axes, shape = draw(
        st.sampled_from(
            [
                ("yx", (700, 900)),
                ("yx", (2100, 40)),
                ("zyx", (20, 530, 61)),
                ("zyx", (5, 400, 300)),
                ("zyx", (300, 19, 270)),
                ("cyx", (2, 70, 513)),
                ("tzyx", (2, 17, 40, 300)),
            ]
        )
    )
    shape = tuple(max(1, n - draw(st.integers(0, 9))) if n > 20 else n for n in shape)
    labels = draw(st.booleans())
    dtype = draw(st.sampled_from(["u1", "i4", "u8"] if labels else ["u1", "u2", "i2", "f4", "f2", "u8"]))
    return axes, shape, dtype, "raw" if labels else None, draw(st.sampled_from([0.0, 0.01, 1.0]))


@given(job=jobs(), data=st.data(), seed=st.integers(0, 99))
@quick
def test_any_cut_in_any_order_gives_the_same_bytes(
    job: tuple[str, tuple[int, ...], str, str | None, float], data: st.DataObject, seed: int, tmp_path: Path
) -> None:
    axes, shape, dtype, labels_of, share = job
    pixels, space = pixels_of(shape, dtype, share, seed), Space(axes)
    place = tmp_path / str(next(COUNTER))
    omezarr.write(Image(pixels, space, (), labels_of), place / "whole.zarr", name="out")
    shard = Grid.of(axes, shape).shard
    whole = tuple(s * data.draw(st.integers(1, 2)) for s in shard)
    tile = data.draw(st.sampled_from([whole, tuple(max(1, -(-n // 3)) for n in shape), shape]))
    sink = ZarrSink(place / "cut.zarr", "out", shape, space, Cut(shape, tile), labels_of)
    fill(sink, pixels, random.Random(seed))
    image = sink.image()
    assert tree(place / "cut.zarr") == tree(place / "whole.zarr")
    assert sink.digest() == digest.of_image(image) == digest.of_image(Image(pixels, space, (), labels_of))
    shutil.rmtree(place)


@pytest.mark.parametrize("labels_of", [None, "raw"])
def test_what_reaches_over_many_shards(labels_of: str | None, tmp_path: Path) -> None:
    """Three levels, all of them shared out."""
    pixels, space = pixels_of((16, 520, 1030), "u2", 0.9), Space("zyx", scale=(4.0, 1.0, 1.0))
    omezarr.write(Image(pixels, space, (), labels_of), tmp_path / "whole.zarr", name="out")
    sink = ZarrSink(tmp_path / "cut.zarr", "out", pixels.shape, space, Cut(pixels.shape, (16, 256, 256)), labels_of)
    fill(sink, pixels, random.Random(1))
    assert len(sink.tiers()) == 1
    sink.image()
    assert tree(tmp_path / "cut.zarr") == tree(tmp_path / "whole.zarr")


def test_no_level_0_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, space = pixels_of((300, 260, 270), "u1", 0.2), Space("zyx")
    sink = ZarrSink(tmp_path / "a.zarr", "out", pixels.shape, space, Cut(pixels.shape, (256, 256, 256)))
    monkeypatch.setattr(ZarrArray, "__getitem__", lambda *_: pytest.fail("it was read"))
    fill(sink, pixels, random.Random(1))
    sink.digest()


def test_what_nobody_built_is_built_at_the_end(tmp_path: Path) -> None:
    pixels, space = pixels_of((600, 700), "u2", 1.0), Space("yx")
    for name in ("a", "b"):
        sink = ZarrSink(tmp_path / f"{name}.zarr", "out", pixels.shape, space, Cut(pixels.shape, (256, 256)))
        for box in sink.blocks:
            sink.open(pixels.dtype)
            sink.write(box, pixels[box.slices])
            assert sink.kept(box)
        if name == "a":
            for units in sink.tiers():
                for unit in units:
                    sink.build(unit)
        sink.image()
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def test_a_rerun_after_a_kill_leaves_nothing_torn(tmp_path: Path) -> None:
    pixels, space = pixels_of((40, 500, 300), "u2", 1.0), Space("zyx")
    sink = ZarrSink(tmp_path / "a.zarr", "out", pixels.shape, space, Cut(pixels.shape, (40, 256, 256)))
    fill(sink, pixels, random.Random(1))
    sink.image()
    before = tree(tmp_path / "a.zarr")
    # Killed while it wrote a shard: its part lies aside, never in the image.
    (sink.spool / "aside").mkdir(exist_ok=True)
    (sink.spool / "aside" / ".0.1-00.part").write_bytes(b"torn")
    shutil.rmtree(tmp_path / "a.zarr" / "0" / "c")
    shutil.rmtree(sink.spool / "shares" / "0")
    fill(sink, pixels, random.Random(2))
    sink.image()
    assert tree(tmp_path / "a.zarr") == before
    assert not list((sink.spool / "aside").glob("*"))


def test_channels_are_kept(tmp_path: Path) -> None:
    pixels, space = pixels_of((2, 30, 40), "u2", 1.0), Space("cyx")
    channels = (Channel("dapi"), Channel("actin"))
    sink = ZarrSink(tmp_path / "a.zarr", "out", pixels.shape, space, Cut(pixels.shape, (1, 30, 40)), None, channels)
    fill(sink, pixels, random.Random(1))
    assert sink.image().channels == channels
    assert sink.digest() == digest.of_image(Image(pixels, space, channels))


def test_types_that_disagree_are_refused(tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "a.zarr", "out", (4, 4), Space("yx"), Cut((4, 4), (4, 4)))
    with pytest.raises(StepError, match="no block has said"):
        sink.image()
    sink.open(np.dtype("u2"))
    sink.open(np.dtype(">u2"))
    with pytest.raises(StepError, match="another <u2"):
        sink.open(np.dtype("i4"))
    with pytest.raises(StepError, match="int32 for"):
        sink.write(Box((0, 0), (4, 4)), np.zeros((4, 4), "i4"))
    with pytest.raises(StepError, match="none of the blocks"):
        sink.kept(Box((0, 0), (4, 3)))


def test_a_block_that_is_missing_is_told(tmp_path: Path) -> None:
    pixels = pixels_of((40, 600, 20), "u2", 1.0)
    for n, tile in enumerate([(40, 256, 64), (40, 100, 20)]):
        sink = ZarrSink(tmp_path / f"{n}.zarr", "out", pixels.shape, Space("zyx"), Cut(pixels.shape, tile))
        sink.open(pixels.dtype)
        for box in sink.blocks[1:]:
            sink.write(box, pixels[box.slices])
        with pytest.raises(StoreError, match=r"never written|read back"):
            sink.image()


def test_a_unit_says_where_it_is() -> None:
    assert str(Piece(2, (0, 256, 512))) == "level 2 at 0-256-512"
