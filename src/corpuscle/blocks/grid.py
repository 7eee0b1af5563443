"""How a Blockwise step is cut for one record, and what one block reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.blocks.merge import Answer
from corpuscle.blocks.step import Blockwise, reads, wants_spacing
from corpuscle.core import Box, Image, Length, Record, Space
from corpuscle.errors import StepError

FLAT, DEEP = 2048, 256


@dataclass(frozen=True, slots=True)
class Work:
    """The output of a step for one record, and the blocks it is made in.

    `seen` are the output axes that the op sees as they are; along the others a block is one index thick.
    """

    shape: tuple[int, ...]
    space: Space
    blocks: tuple[Box, ...]
    halo: tuple[int, ...]
    level: int
    unseen: tuple[int, ...]
    drops_c: bool
    labels_of: str | None


def plan_work(step: Blockwise, record: Record, block: tuple[int, ...] | None = None) -> Work:
    """Cut the output of a step into blocks: `block` along the axes it sees, or a whole shard by default.

    ::

        |<------ read ------>|
             |<-- own -->|
        halo              halo      (cut off at the edge of the image)
    """
    images = _images(step, record)
    level = _level(images[0], step.at)
    first = images[0].level(level)
    space, shape = first.space, first.shape
    for name, image in zip(reads(step), images, strict=True):
        spatial = [image.level(level).shape[i] for i in image.space.spatial]
        if spatial != [shape[i] for i in space.spatial]:
            raise StepError(
                f"{name} is {spatial} where {reads(step)[0]} is {shape}", where=record.name, rule="step-shape"
            )
    drops_c = "c" in space.axes and "c" in step.axes
    if step.region is not None:
        if step.halo.value:
            raise StepError("a region says itself what it needs; it has no halo", where=record.name)
        space, shape = step.region.out(space, shape)
    if drops_c:
        c = space.index("c")
        space, shape = space.without("c"), shape[:c] + shape[c + 1 :]
    halo = space.voxels(step.halo, where=record.name)
    seen = [i for i, a in enumerate(space.axes) if a in step.axes]
    halo = tuple(h if i in seen else 0 for i, h in enumerate(halo))
    sizes = dict(zip(seen, block or _default(len(seen)), strict=True)) if seen else {}
    tile = tuple(min(sizes[i], n) if i in sizes else 1 for i, n in enumerate(shape))
    blocks = tuple(Box.of(shape).tiles(tuple(max(1, n) for n in tile)))
    unseen = tuple(i for i, a in enumerate(first.space.axes) if a not in step.axes)
    return Work(shape, space, blocks, halo, level, unseen, drops_c, step.labels_of)


def answer(step: Blockwise, work: Work, record: Record, index: int) -> tuple[Answer, int]:
    """What the op makes of one block, and how many bytes it read."""
    own = work.blocks[index]
    read = own.grow(work.halo).clip(Box.of(work.shape))
    size, arrays = 0, []
    for image in _images(step, record):
        source = image.level(work.level)
        box = _source_box(step, work, source, read)
        pixels = source.read(box)
        size += pixels.nbytes
        arrays.append(np.squeeze(pixels, tuple(i for i in work.unseen if i < pixels.ndim)))
    extra: dict[str, Any] = {}
    if wants_spacing(step.op):
        axes = [a for a in work.space.axes if a in step.axes]
        spacing = dict(zip([work.space.axes[i] for i in work.space.spatial], work.space.spacing, strict=True))
        extra["spacing"] = tuple(spacing[a] for a in axes if a in spacing)
    return Answer(index, own, read, step.op(*arrays, **extra)), size


def _source_box(step: Blockwise, work: Work, source: Image, read: Box) -> Box:
    """The box to read from a source, for an output box."""
    box = read
    if work.drops_c and "c" in source.space.axes:
        c = source.space.index("c")
        box = Box((*box.start[:c], 0, *box.start[c:]), (*box.stop[:c], source.shape[c], *box.stop[c:]))
    return box if step.region is None else step.region.needs(box, source.shape)


def _images(step: Blockwise, record: Record) -> list[Image]:
    return [record.image(n) for n in reads(step)]


def _level(image: Image, at: Length | None) -> int:
    """The coarsest level whose voxels are no larger than `at` along any spatial axis."""
    if at is None:
        return 0
    best = 0
    for k in range(1 + len(image.levels)):
        space = image.level(k).space
        if all(p >= 1 - 1e-9 for i, p in enumerate(space.pixels(at)) if i in space.spatial):
            best = k
    return best


def _default(dimensions: int) -> tuple[int, ...]:
    return (DEEP if dimensions >= 3 else FLAT,) * dimensions
