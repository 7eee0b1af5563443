"""Where blocks of pixels go: whole shards straight to their file, smaller blocks to a spool first."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Image, Space
from corpuscle.errors import FormatError, StepError
from corpuscle.formats.pyramids import Target, create
from corpuscle.store.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class ZarrSink:
    """An OME-Zarr image in the making. It is a few values, so every worker may hold one.

    A block that is made of whole shards is written once, in the worker. One that is not (a test's
    small blocks, a merge with a grid of its own) is spooled, and shards are composed in `image`.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    space: Space
    blocks: tuple[Box, ...]
    labels_of: str | None = None

    def open(self, dtype: np.dtype[Any]) -> None:
        """Say the type of the pixels, before the first write; again is harmless, another is an error."""
        note = self._note
        if note.exists():
            if (was := note.read_text()) != dtype.str:
                raise StepError(f"one block answers {dtype.str} and another {was}", where=self.name, rule="step-dtype")
            return
        write_bytes(note, dtype.str.encode())

    def write(self, box: Box, pixels: NDArray[Any]) -> None:
        """Settle the pixels of a block."""
        target = self._target()
        pixels = np.ascontiguousarray(pixels, target.dtype)
        try:
            target.write(box, pixels)
        except FormatError as e:
            if e.rule != "shard-misaligned":
                raise
            data = io.BytesIO()
            np.save(data, pixels)
            self._parts.mkdir(exist_ok=True)
            write_bytes(self._part(box), data.getvalue())

    def image(self) -> Image:
        """The finished image with its pyramid."""
        target = self._target()
        if self._parts.is_dir():
            for shard in target.shards:
                target.write(shard, self._compose(shard))
            shutil.rmtree(self._parts)
        target.build_levels()
        return target.image()

    def _compose(self, shard: Box) -> NDArray[Any]:
        out = np.zeros(shard.shape, self._dtype)
        for box in self.blocks:
            part = box.clip(shard)
            if part.size and self._part(box).exists():
                pixels = np.load(self._part(box), mmap_mode="r")
                out[part.inside(shard).slices] = pixels[part.inside(box).slices]
        return out

    def _target(self) -> Target:
        return _made(self, self._note.stat().st_ino)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self._note.read_text())

    @property
    def _note(self) -> Path:
        return self.path.with_name("dtype")

    @property
    def _parts(self) -> Path:
        return self.path.with_name("parts")

    def _part(self, box: Box) -> Path:
        return self._parts / ("-".join(str(n) for n in box.start) + ".npy")


@lru_cache(maxsize=4)
def _made(sink: ZarrSink, note: int) -> Target:
    """The target, made or found once per process rather than once per block; `note` tells one run's from another's."""
    del note
    return create(sink.path, sink.shape, sink._dtype, sink.space, name=sink.name, labels_of=sink.labels_of)
