"""Whether an image on disk is whole: all shards there, every byte as written, every level that of the one below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from corpuscle.core.box import Box
from corpuscle.core.image import Image
from corpuscle.core.pyramid import downsample, factors
from corpuscle.errors import CorpuscleError, FormatError, StoreError
from corpuscle.formats.omezarr import read_image
from corpuscle.formats.shards import Grid
from corpuscle.formats.zarrays import ZarrArray


def problems(folder: Path) -> Iterator[CorpuscleError]:
    """Everything that is wrong with an image or label image that corpuscle wrote, place by place.

    Reads it all, a chunk at a time. An image of others may leave out shards of zeros and make its levels in another
    way, so of these only damage is wrong, which `Image.read` finds.

    Rules: those of reading metadata, ``level-missing``, ``level-shape``, ``shard-missing``, ``shard-torn`` (torn, or a
    checksum that does not fit), ``level-wrong`` (not the downsampled level below).
    """
    try:
        image = read_image(folder)
    except CorpuscleError as e:
        yield e
        return
    steps, shape = factors(image.space, image.shape), image.shape
    if len(image.levels) != len(steps):
        yield FormatError(
            f"{len(image.levels)} coarser levels instead of {len(steps)}",
            where=folder,
            fix="write the image again",
            rule="level-missing",
        )
    below: Image | None = None
    for k in range(1 + len(image.levels)):
        level, step = image.level(k), (steps[k - 1] if 0 < k <= len(steps) else None)
        if step is not None:
            shape = tuple(-(-n // f) for n, f in zip(shape, step, strict=True))
        if step is not None and level.shape != shape:
            yield FormatError(
                f"level {k} is {level.shape}, not {shape}",
                where=folder,
                fix="write the image again",
                rule="level-shape",
            )
            return
        damaged = False
        for fault in _damage(level):
            damaged = True
            yield fault
        if below is not None and step is not None and not damaged:
            wrong = next((box for box in _boxes(level) if not _follows(level, below, step, box)), None)
            if wrong is not None:
                damaged = True
                yield FormatError(
                    f"level {k} is not level {k - 1} made coarser, see {wrong.start}",
                    where=folder,
                    fix="write the image again",
                    rule="level-wrong",
                )
        below = None if damaged else level


def _damage(level: Image) -> Iterator[CorpuscleError]:
    array = _array(level)
    folder, grid = Path(array.path), Grid(array.shape, array.chunk, array.shard)
    sharded = (folder / "zarr.json").exists()
    for box in grid.boxes:
        file = folder / (grid.key(box) if sharded else grid.key(box).removeprefix("c/"))
        if not file.exists():
            yield StoreError("a shard is missing", where=file, fix="write the image again", rule="shard-missing")
            continue
        try:
            for part in box.tiles(array.chunk):
                array[part.slices]
        except StoreError as e:
            yield StoreError(e.message, where=file, fix=e.fix, rule="shard-torn")


def _follows(level: Image, below: Image, step: tuple[int, ...], box: Box) -> bool:
    start = tuple(a * f for a, f in zip(box.start, step, strict=True))
    stop = tuple(min(b * f, n) for b, f, n in zip(box.stop, step, below.shape, strict=True))
    wanted = downsample(below.read(Box(start, stop)), step, labels=level.is_labels)
    return np.array_equal(wanted, level.read(box), equal_nan=wanted.dtype.kind == "f")


def _boxes(level: Image) -> Iterator[Box]:
    return level.box.tiles(_array(level).chunk)


def _array(level: Image) -> ZarrArray:
    assert isinstance(level.array, ZarrArray), "read_image gives arrays on disk"
    return level.array
