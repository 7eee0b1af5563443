"""A multiscale image on disk while it is written: its metadata, and one shard after the other, in any order."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from corpuscle.core.box import Box
from corpuscle.core.disk import store_error
from corpuscle.core.image import Channel, Image
from corpuscle.core.pyramid import downsample, factors
from corpuscle.core.space import Space
from corpuscle.errors import FormatError, StoreError
from corpuscle.formats import ngff
from corpuscle.formats.shards import PLANE, Grid, chunk, intact, shard, v2_metadata, v3_metadata
from corpuscle.formats.zarrays import ZarrArray

LARGE = 1 << 22


@dataclass(frozen=True, slots=True)
class Level:
    """One level: how it is cut, where it lies, and how many pixels of the level below one of it spans."""

    grid: Grid
    space: Space
    step: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """An image that exists on disk with all its metadata, and whose pixels are being written.

    Every shard is a file that appears whole under its name or not at all, so writers need no lock so long as no two
    have the same shard. Level k may be built once the shards of level k - 1 beneath it are there. It can be pickled.
    In the folder `aside`, on the same disk, shards are made before they take their place; by default, where they go.
    """

    path: Path
    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    channels: tuple[Channel, ...] = ()
    labels_of: str | None = None
    version: ngff.Version = "0.5"
    aside: Path | None = None

    @property
    def shards(self) -> list[Box]:
        """The boxes of level 0 to write, each one shard."""
        return self.level_shards(0)

    def level_shards(self, k: int) -> list[Box]:
        """The shards of level `k`, in C order."""
        return self._level(k).grid.boxes

    def span(self, k: int) -> tuple[int, ...]:
        """How many pixels of level 0 one of level `k` spans along each axis."""
        return tuple(math.prod(n) for n in zip(*(v.step for v in self.levels[: k + 1]), strict=True))

    def write(self, box: Box, pixels: NDArray[Any], *, level: int = 0) -> None:
        """Put pixels under a box of level 0, or of another, that is made of whole shards.

        Raises
        ------
        FormatError
            The box cuts a shard, or the pixels have another shape or type than it.
        StoreError
            The disk is full or forbids it.
        """
        if pixels.shape != box.shape or pixels.dtype != self.dtype:
            raise FormatError(
                f"pixels of {pixels.shape} {pixels.dtype} for a box of {box.shape} {self.dtype}",
                where=self.path,
                fix="write what the box holds",
                rule="shard-pixels",
            )
        for part in self._level(level).grid.shards(box):
            self._put(level, part, pixels[part.inside(box).slices])

    def build_level_shard(self, k: int, box: Box) -> None:
        """Compute shards of level `k` >= 1 from level k - 1 and put them there; a chunk at a time, in little memory."""
        level = self._level(k)
        if k < 1:
            raise FormatError(
                "level 0 is written, not built", where=self.path, fix="write the image again", rule="level-missing"
            )
        below = self.array(k - 1)
        for part in level.grid.shards(box):
            self._put(k, part, _Coarser(below, level.step, self.labels_of is not None))

    def build_levels(self) -> None:
        """Compute all of the levels above 0, one after the other."""
        for k in range(1, len(self.levels)):
            for box in self.level_shards(k):
                self.build_level_shard(k, box)

    def array(self, k: int = 0) -> ZarrArray:
        """The array of level `k`, as it is on disk by now."""
        grid = self._level(k).grid
        axes = self.levels[0].space.axes
        return ZarrArray(str(self.path / str(k)), grid.shape, self.dtype, grid.chunk, grid.shard, axes)

    def image(self) -> Image:
        """The image, lazily, with all its levels."""
        return levelled(
            [self.array(k) for k in range(len(self.levels))],
            [v.space for v in self.levels],
            self.channels,
            self.labels_of,
        )

    def holds(self, k: int, start: Sequence[int]) -> bool:
        """Whether the shard of level `k` that begins here has been written."""
        return self._file(k, Box(tuple(start), tuple(start))).exists()

    def intact(self, k: int, start: Sequence[int], *, deep: bool = False) -> bool:
        """Whether that shard has been written, and is as long as its index says; `deep`: holds every chunk sound.

        Of Zarr 2 it is only seen that it is there.
        """
        path = self._file(k, Box(tuple(start), tuple(start)))
        try:
            return path.exists() if self.version == "0.4" else intact(path, self.levels[k].grid, deep=deep)
        except OSError:
            return False

    def discard(self, k: int, start: Sequence[int]) -> None:
        """Take a shard away, so that it is written again."""
        self._file(k, Box(tuple(start), tuple(start))).unlink(missing_ok=True)

    def absent(self) -> Iterator[Path]:
        """The shard files that should be there and are not: they would read as zeros."""
        for k, level in enumerate(self.levels):
            for box in level.grid.boxes:
                if not (file := self._file(k, box)).exists():
                    yield file

    def _level(self, k: int) -> Level:
        if not 0 <= k < len(self.levels):
            raise FormatError(
                f"no level {k}: there are {len(self.levels)}",
                where=self.path,
                fix="write the image again",
                rule="level-missing",
            )
        return self.levels[k]

    def _file(self, k: int, box: Box) -> Path:
        key = self.levels[k].grid.key(box)
        return self.path / str(k) / (key if self.version == "0.5" else key.removeprefix("c/"))

    def _put(self, k: int, box: Box, pixels: NDArray[Any] | _Coarser) -> None:
        grid, labels = self.levels[k].grid, self.labels_of is not None
        if self.version == "0.4":
            whole = pixels if isinstance(pixels, np.ndarray) else pixels(box)
            data: bytes | memoryview = chunk(whole, grid.chunk, labels=labels)
        elif isinstance(pixels, np.ndarray):
            data = shard(grid, box, lambda part: pixels[part.inside(box).slices], labels=labels)
        else:
            data = shard(grid, box, pixels, labels=labels)
        put(self._file(k, box), data, aside=self.aside)


@dataclass(frozen=True, slots=True)
class _Coarser:
    """A region of a level, computed from the level below."""

    below: ZarrArray
    step: tuple[int, ...]
    labels: bool

    def __call__(self, box: Box) -> NDArray[Any]:
        source = Box(
            tuple(a * f for a, f in zip(box.start, self.step, strict=True)),
            tuple(min(b * f, n) for b, f, n in zip(box.stop, self.step, self.below.shape, strict=True)),
        )
        return downsample(self.below[source.slices], self.step, labels=self.labels)


def create(
    path: Path,
    shape: Sequence[int],
    dtype: DTypeLike,
    space: Space,
    *,
    name: str = "raw",
    channels: Sequence[Channel] = (),
    labels_of: str | None = None,
    source: str | None = None,
    version: ngff.Version = "0.5",
    windows: Sequence[tuple[float, float]] = (),
    extra: Mapping[str, Any] | None = None,
    plane: tuple[int, int] = PLANE,
    aside: Path | None = None,
) -> Target:
    """A new image of no pixels yet, with the metadata of all its levels; that of the group is written last.

    If just this image is there already, its Target is returned and nothing touched, so a run may resume.

    Parameters
    ----------
    name
        Of the layer; kept under ``corpuscle`` and as the name of the multiscale image.
    labels_of
        The image layer that these labels number; None for intensities.
    source
        Relative path from this group to that image, where they lie in one store.
    windows
        The range of values to show of each channel.
    extra
        JSON to keep under ``corpuscle``.
    plane
        Side of a chunk and of a shard of a flat image, the second a multiple of the first.
    aside
        A folder on the same disk to make files in before they take their place, so that nothing torn is ever left
        among those of the image.

    Raises
    ------
    StoreError
        Something else is there, or the disk is full or forbids it.
    FormatError
        The axes are not those of an OME-NGFF image.
    """
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.kind not in "iufb" or kind.name == "float128" or (labels_of is not None and kind.kind not in "iu"):
        raise FormatError(
            f"OME-Zarr holds no {'labels' if labels_of else 'pixels'} of {kind}",
            where=path,
            fix="convert to a number type first",
            rule="zarr-dtype",
        )
    levels = _levels(space, shape, version, plane)
    target = Target(path, levels, kind, tuple(channels), labels_of, version, aside)
    spaces = [v.space for v in target.levels]
    attributes = ngff.multiscales(
        spaces,
        name,
        version=version,
        dtype=kind,
        channels=channels,
        windows=windows,
        labels_of=labels_of,
        source=source,
        extra={**(extra or {}), "layer": name},
    )
    documents = _documents(target, attributes)
    there = {file: _bytes(path / file) for file in documents}
    if any(found is not None and found != documents[file] for file, found in there.items()) or _strangers(path, target):
        raise StoreError(
            "something else is here already", where=path, fix="remove it, or write elsewhere", rule="zarr-exists"
        )
    for file, found in there.items():
        if found is None:
            put(path / file, documents[file], aside=aside)
    return target


def coarser(pixels: NDArray[Any], step: Sequence[int], *, labels: bool) -> NDArray[Any]:
    """What `downsample` answers, by a compiled kernel where there is enough to do to make up for loading it."""
    if pixels.size < LARGE:
        return downsample(pixels, step, labels=labels)
    from corpuscle.kernels.coarser import downsample as fast

    return fast(pixels, step, labels=labels)


def levelled(
    arrays: Sequence[ZarrArray], spaces: Sequence[Space], channels: tuple[Channel, ...], labels_of: str | None
) -> Image:
    """One image of arrays, finest first, and where each lies."""
    images = [Image(a, s, channels, labels_of) for a, s in zip(arrays, spaces, strict=True)]
    return Image(arrays[0], spaces[0], channels, labels_of, tuple(images[1:]))


def group(attributes: Mapping[str, Any], version: ngff.Version) -> dict[str, bytes]:
    """The metadata files of a Zarr group, by name; the last is the one that makes it one."""
    if version == "0.4":
        return {".zattrs": _json(attributes), ".zgroup": _json({"zarr_format": 2})}
    return {"zarr.json": _json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})}


def put(path: Path, *data: bytes | memoryview, aside: Path | None = None) -> None:
    """A file under its final name, whole or not at all, its folder made where it is missing.

    Guards against a killed process, not a power cut. What a killed one leaves is called ``.<name>.<pid>-<hex>.part``
    and lies in `aside`, or beside the file.
    """
    part = (aside or path.parent) / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        try:
            _fill(part, data)
        except FileNotFoundError:
            part.parent.mkdir(parents=True, exist_ok=True)
            _fill(part, data)
        try:
            part.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)
    except OSError as e:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise store_error(e, path, needed=sum(memoryview(piece).nbytes for piece in data)) from e


def _fill(path: Path, data: Sequence[bytes | memoryview]) -> None:
    with open(path, "wb", buffering=0) as file:
        for piece in data:
            rest = memoryview(piece).cast("B")
            while rest.nbytes:
                rest = rest[file.write(rest) :]


def _levels(space: Space, shape: Sequence[int], version: ngff.Version, plane: tuple[int, int]) -> tuple[Level, ...]:
    size, now, sharded = tuple(int(n) for n in shape), space, version == "0.5"
    out = [Level(Grid.of(space.axes, size, sharded=sharded, plane=plane), space, (1,) * len(size))]
    for step in factors(space, size):
        size = tuple(-(-n // f) for n, f in zip(size, step, strict=True))
        now = now.coarser(step)
        out.append(Level(Grid.of(space.axes, size, sharded=sharded, plane=plane), now, step))
    return tuple(out)


def _documents(target: Target, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    name, labels = ".zarray" if target.version == "0.4" else "zarr.json", target.labels_of is not None
    arrays = {
        f"{k}/{name}": _array(level.grid, target.dtype, level.space.axes, labels=labels, version=target.version)
        for k, level in enumerate(target.levels)
    }
    return arrays | group(attributes, target.version)


@lru_cache(maxsize=64)
def _array(grid: Grid, dtype: np.dtype[Any], axes: tuple[str, ...], *, labels: bool, version: ngff.Version) -> bytes:
    if version == "0.4":
        return _json(v2_metadata(grid, dtype, labels=labels))
    return _json(v3_metadata(grid, dtype, axes, labels=labels))


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _strangers(path: Path, target: Target) -> bool:
    """Whether a folder holds what no image of this kind would."""
    own = {*(str(k) for k in range(len(target.levels))), "labels", "zarr.json", ".zgroup", ".zattrs"}
    try:
        return any(p.name not in own and not p.name.endswith(".part") for p in path.iterdir())
    except FileNotFoundError:
        return False
    except OSError as e:
        raise store_error(e, path) from e


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
