"""What a conversion would take, from converting a few blocks for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.extract import pairs, part
from corpuscle.blocks.forecast import Forecast, Row
from corpuscle.blocks.progress import Progress, Watch
from corpuscle.blocks.rehearsal import coordinator
from corpuscle.blocks.request import Request, tile_of
from corpuscle.blocks.trial import Job, Took, as_workers, trial
from corpuscle.blocks.unpack import Slab, slabs
from corpuscle.core import Cut, Image

DECODED = "decoded.npy"


@dataclass(frozen=True, slots=True)
class Convert:
    """A few parts of an image converted, as a job of a trial; or what an earlier job has decoded."""

    parts: tuple[Image, ...]
    threads: int
    decoded: bool = False

    def __call__(self, folder: Path, watch: Watch) -> int:
        """How many voxels that were."""
        images = self.parts
        if self.decoded:
            pixels = np.load(folder / DECODED, mmap_mode="r")
            images = tuple(Image(pixels, x.space, x.channels, x.labels_of) for x in images)
        for k, image in enumerate(images):
            request = Request({"raw": image}, folder / f"{k}.zarr", {"file": "the sample"})
            done = convert(request, engine=Local(self.threads), watch=watch)
            if done.failures:
                raise done.failures[0]
        return sum(prod(x.shape) for x in images)


@dataclass(frozen=True, slots=True)
class Decode:
    """The planes under a part of an image decoded, as a job of a trial."""

    part: Image

    def __call__(self, folder: Path, watch: Watch) -> int:
        """How many voxels of it that were."""
        progress = Progress("planes", total=1)
        pixels = self.part.read()
        np.save(folder / DECODED, pixels)
        watch(progress.tick(done=1, bytes_=pixels.nbytes))
        return pixels.size


def forecast_conversion(
    image: Image, *, workers: int, sample: Sequence[Image] | None = None, folder: Path | None = None
) -> Forecast:
    """Time, memory and disk of converting an image, from one in a hundred blocks, two at least.

    Where planes must be decoded whole, those under one pair of blocks are, and count as so many of all planes.
    `sample` are small images to convert where this one has no pixels yet.
    """
    cut = Cut(image.shape, tile_of(image))
    slab = next((s for s in slabs(image, cut) if isinstance(s, Slab)), None) if sample is None else None
    lead = 0 if slab is None else slab.array.lead
    chosen = tuple(sample) if sample is not None else tuple(part(image, b) for b in pairs(cut, first=lead))
    threads = min(workers, 2, len(cut))  # there are two blocks in each part
    if slab is None:
        found = as_workers(trial([Convert(chosen, threads)], workers=1, folder=folder), threads)
    else:
        chosen = chosen[:1]
        jobs: list[Job] = [Decode(chosen[0]), Convert(chosen, 1, decoded=True)]
        found = trial(jobs, workers=workers, folder=folder)
    row = _row(image, cut, found.took[-1])
    if slab is not None:
        row = _with_planes(row, image, slab, chosen[0], found.took[0])
    sampled = max(1, round(found.took[-1].told / prod(cut.tile)))
    return Forecast((row,), workers, coordinator(), found.idle, found.start, sampled)


def _row(image: Image, cut: Cut, took: Took) -> Row:
    scale = prod(image.shape) / took.told
    seconds = sum(p.seconds for p in took.passes) * scale
    return Row(
        step="convert",
        units=len(cut),
        seconds=seconds,
        alone=max(0.0, took.seconds - sum(p.seconds for p in took.passes)),
        longest=seconds * prod(cut.tile) / prod(image.shape),
        memory=took.memory,
        stays=int(took.stays * scale),
        most=int(took.most * scale),
        bytes=int(image.nbytes + took.most * scale),
        threads=True,
    )


def _with_planes(row: Row, image: Image, slab: Slab, tried: Image, took: Took) -> Row:
    """The same, each plane decoded once beforehand, into a file of one slab at a time."""
    lead = slab.array.lead
    planes = prod(image.shape[:lead]) / prod(tried.shape[:lead])
    return Row(
        step=row.step,
        units=row.units,
        seconds=row.seconds + took.seconds * planes,
        alone=row.alone,
        longest=row.longest + took.seconds,
        memory=row.memory,
        stays=row.stays,
        most=row.most + slab.nbytes,
        bytes=row.bytes + 2 * image.nbytes,
        threads=True,
    )
