"""Where blocks of pixels go: each writes its shards, and its own share of every coarser level, while it is in hand."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Channel, Cut, Image, Space
from corpuscle.core.disk import store_error
from corpuscle.errors import StepError, StoreError
from corpuscle.formats.pyramids import Target, coarser, create
from corpuscle.formats.shards import blank
from corpuscle.formats.zarrays import ZarrArray
from corpuscle.store.atomic import remove, write_bytes
from corpuscle.store.digest import Leaf, leaf, root
from corpuscle.store.packed import pack, read_part, sound, unpack, write_parts


class Piece(NamedTuple):
    """A shard that is built when all blocks are written: its level, and where it begins."""

    level: int
    start: tuple[int, ...]

    def __str__(self) -> str:
        return f"level {self.level} at {'-'.join(map(str, self.start))}"


@dataclass(frozen=True, slots=True)
class ZarrSink:
    """An OME-Zarr image in the making. It is a few values, so every worker may hold one.

    A block that is made of whole shards is written once, in the worker, and with it a file in the
    spool: the digest of each of its tiles, and its share of the coarser levels, down to the one
    whose voxels would span several blocks. So no level 0 is read again. A block that is not made of
    whole shards (a test's small ones, a merge with a grid of its own) is spooled itself.
    What is spooled is composed, shard by shard, by the units of `tiers`.

    ::

        level 0   |.......|.......|.......|.......|     four blocks, a shard each
        level 1   |... ...|... ...|                     their shares: two shards of level 1
        level 2   |. . . .|

    All that is spooled lies beside the image and appears old or new, before the block counts as written.
    Nobody who does without `digested` may ask for the digest; a fifth of the time is saved.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    space: Space
    blocks: Cut
    labels_of: str | None = None
    channels: tuple[Channel, ...] = ()
    source: str | None = None
    extra: Mapping[str, Any] | None = field(default=None, compare=False)
    digested: bool = True

    def open(self, dtype: np.dtype[Any]) -> None:
        """Say the type of the pixels, before the first write; again is harmless, another is an error."""
        told = _sealed(np.dtype(dtype).newbyteorder("=").str)
        with contextlib.suppress(FileNotFoundError):
            self._agree(told)
            return
        try:
            self.spool.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise store_error(e, self.spool) from e
        mine = self.spool / f".dtype.{secrets.token_hex(4)}"
        write_bytes(mine, told.encode())
        try:
            os.link(mine, self.note)  # the first to say it has said it
        except FileExistsError:
            self._agree(told)
        except OSError:  # a file system without links
            write_bytes(self.note, told.encode())
        mine.unlink(missing_ok=True)

    def write(self, box: Box, pixels: NDArray[Any]) -> None:
        """Settle the pixels of a block.

        Raises a StepError where it is none of the blocks, or its pixels are of another type than was told.
        """
        target = self._target()
        if pixels.dtype != target.dtype or pixels.shape != box.shape:
            raise StepError(
                f"pixels of {pixels.shape} {pixels.dtype} for {box.shape} {target.dtype}",
                where=self.name,
                rule="step-dtype",
            )
        if self._whole(target):
            pixels = np.ascontiguousarray(pixels)
            target.write(box, pixels)
            self._share(target, box, pixels)
        else:
            write_parts(self._file("parts", self.blocks, box), {"0": _packed(pixels, labels=self._labels)})

    @property
    def begun(self) -> bool:
        """Whether the type of the pixels is known, and the image where it is made."""
        return self.note.exists() and self.path.exists()

    def kept(self, box: Box, *, deep: bool = False) -> bool:
        """Whether this block is written, and its shards are not torn; `deep`: are sound to the last byte."""
        target = self._target()
        whole = self._whole(target)
        spooled = self._file("shares" if whole else "parts", self.blocks, box)
        if not (sound(spooled) if deep else spooled.exists()):
            return False
        if not whole:
            return True
        return all(target.intact(0, part.start, deep=deep) for part in target.levels[0].grid.shards(box))

    def sweep(self, *, deep: bool = False) -> bool:
        """Take away the damaged among the shards that no block writes; whether there was any.

        Those that nobody has built by then are built by `image`. Metadata is written again.
        """
        try:
            target = self._target()
        except StoreError as e:
            if e.rule != "zarr-exists":
                raise
            for file in (self.path / "zarr.json", *self.path.glob("[0-9]*/zarr.json")):
                remove(file)
            target = self._target()
        found = False
        for k in range(int(self._whole(target)), len(target.levels)):
            for box in target.level_shards(k):
                if target.holds(k, box.start) and not target.intact(k, box.start, deep=deep):
                    target.discard(k, box.start)
                    found = True
        return found

    def outline(self) -> Image:
        """The image without its pixels, in memory of no size."""
        dtype = _dtype(self)
        return Image(np.broadcast_to(np.zeros((), dtype), self.shape), self.space, self.channels, self.labels_of)

    def tiers(self) -> list[list[Piece]]:
        """What is left to build when every block is written: passes of units; those of one pass in any order."""
        remove(self.spool / "aside")  # nobody writes now, so what lies there was left by a killed one
        target = self._target()
        reach = self._reach(target)
        passes = [] if self._whole(target) else [[0]]
        passes += [list(range(1, reach + 1)), *([k] for k in range(reach + 1, len(target.levels)))]
        return [[Piece(k, b.start) for k in levels for b in target.level_shards(k)] for levels in passes if levels]

    def build(self, unit: Piece) -> None:
        """Write one shard: composed of what blocks spooled, or where their shares end, of the level below."""
        target = self._target()
        grid = target.levels[unit.level].grid
        box = Box(unit.start, tuple(a + n for a, n in zip(unit.start, grid.shard, strict=True))).clip(
            Box.of(grid.shape)
        )
        if unit.level > self._reach(target):
            target.build_level_shard(unit.level, box)
            return
        pixels = self._composed(target, unit.level, box)
        target.write(box, pixels, level=unit.level)
        if unit.level == 0:
            self._share(target, box, pixels)

    def image(self) -> Image:
        """The finished image with its pyramid; what no unit of `tiers` has built yet is built here.

        Raises a StoreError where a block was never written.
        """
        target = self._target()
        for units in self.tiers():
            for unit in units:
                if not target.holds(unit.level, unit.start):
                    self.build(unit)
        for box in target.shards:
            if not target.holds(0, box.start):
                raise StoreError(f"{box} was never written", where=self.path, fix="run it again", rule="sink-block")
        return target.image()

    def array(self) -> ZarrArray:
        """Level 0, as it is on the disk."""
        return self._target().array()

    def digest(self) -> str:
        """The digest of the finished image, from those of its tiles as they were written: nothing is read again."""
        target = self._target()
        shared = self._shared(target)
        told = (read_part(self._file("shares", shared, box), "leaves") for box in shared)
        return root(
            (Leaf(tuple(start), sha) for data in told for start, sha in json.loads(data)),
            shape=self.shape,
            dtype=target.dtype,
            space=self.space,
            channels=self.channels,
            labels_of=self.labels_of,
        )

    @property
    def spool(self) -> Path:
        """Where work in progress lies; of no use when the image is finished."""
        return self.path.with_name(self.path.name + ".making")

    def _share(self, target: Target, box: Box, pixels: NDArray[Any]) -> None:
        """Spool what is needed later of a block, or of a shard, that is written."""
        tiles = target.levels[0].grid.shards(box) if self.digested else []
        leaves = [leaf(part, pixels[part.inside(box).slices]) for part in tiles]
        parts = {"leaves": json.dumps(leaves).encode()}
        for k in range(1, self._reach(target) + 1):
            pixels = coarser(pixels, target.levels[k].step, labels=self._labels)
            parts[str(k)] = _packed(pixels, labels=self._labels)
        write_parts(self._file("shares", self._shared(target), box), parts)

    def _composed(self, target: Target, k: int, box: Box) -> NDArray[Any]:
        """The pixels of a box of level `k`, out of what was spooled."""
        what, cut = ("parts", self.blocks) if k == 0 else ("shares", self._shared(target))
        span = target.span(k)
        out = np.zeros(box.shape, target.dtype)
        for i in cut.touching(Box(_times(box.start, span), _times(box.stop, span))):
            own = cut[i]
            place = Box(
                tuple(a // n for a, n in zip(own.start, span, strict=True)),
                tuple(-(-b // n) for b, n in zip(own.stop, span, strict=True)),
            )
            if data := read_part(self._file(what, cut, own), str(k)):
                pixels = unpack(data) if self._labels else np.frombuffer(data, target.dtype).reshape(place.shape)
                part = place.clip(box)
                out[part.inside(box).slices] = pixels[part.inside(place).slices]
        return out

    def _whole(self, target: Target) -> bool:
        """Whether each block is made of whole shards."""
        shard = target.levels[0].grid.shard
        return all(t % s == 0 or t >= n for t, s, n in zip(self.blocks.tile, shard, self.shape, strict=True))

    def _shared(self, target: Target) -> Cut:
        """The grid of those who have a share: the blocks, or the shards composed of them."""
        return self.blocks if self._whole(target) else Cut(self.shape, target.levels[0].grid.shard)

    def _reach(self, target: Target) -> int:
        """The coarsest level of which no voxel spans two shares."""
        tile = self._shared(target).tile
        for k in range(1, len(target.levels)):
            if any(t % f and t < n for t, f, n in zip(tile, target.span(k), self.shape, strict=True)):
                return k - 1
        return len(target.levels) - 1

    def _file(self, what: str, cut: Cut, box: Box) -> Path:
        i = cut.at([a // t for a, t in zip(box.start, cut.tile, strict=True)])
        if cut[i] != box:
            raise StepError(f"{box} is none of the blocks of {cut.tile}", where=self.name, rule="step-block")
        # A thousand to a folder: file systems are slow with millions.
        return self.spool / what / str(i // 1000) / str(i)

    def _target(self) -> Target:
        try:
            return _made(self, self.note.stat().st_ino)
        except FileNotFoundError as e:
            raise StepError("no block has said its type", where=self.name, rule="step-dtype") from e

    def _agree(self, told: str) -> None:
        if (was := self.note.read_text(errors="replace")) != told:
            raise StepError(f"one block answers {told} and another {was}", where=self.name, rule="step-dtype")

    @property
    def _labels(self) -> bool:
        return self.labels_of is not None

    @property
    def note(self) -> Path:
        """Where the type of the pixels is told."""
        return self.spool / "dtype"


def _packed(pixels: NDArray[Any], *, labels: bool) -> bytes:
    """Pixels for the spool; labels shrink to next to nothing, intensities are not worth the time."""
    if blank(pixels):
        return b""
    return pack(pixels) if labels else pixels.tobytes()


def _times(index: tuple[int, ...], by: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a * f for a, f in zip(index, by, strict=True))


def _sealed(dtype: str) -> str:
    """A type with a checksum: other pixels would be made of the same bytes by a wrong one."""
    return f"{dtype} {crc32(dtype.encode()):08x}"


def _dtype(sink: ZarrSink) -> np.dtype[Any]:
    told = sink.note.read_text(errors="replace")
    dtype, _, _ = told.partition(" ")
    if told != _sealed(dtype):
        raise StoreError(
            f"the type of the pixels is not as it was written: {told!r:.40}",
            where=sink.note,
            fix=f"remove {sink.spool.parent}, and run it again: all is made anew",
            rule="sink-dtype",
        )
    return np.dtype(dtype)


@lru_cache(maxsize=4)
def _made(sink: ZarrSink, note: int) -> Target:
    """The target, made or found once per process rather than once per block; `note` tells one run's from another's."""
    del note
    return create(
        sink.path,
        sink.shape,
        _dtype(sink),
        sink.space,
        name=sink.name,
        channels=sink.channels,
        labels_of=sink.labels_of,
        source=sink.source,
        extra=sink.extra,
        aside=sink.spool / "aside",
    )
