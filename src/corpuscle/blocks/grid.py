"""How a Blockwise step is cut for one record, and what one block reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.blocks.merge import Answer
from corpuscle.blocks.step import Blockwise, reads, wants
from corpuscle.core import Box, Cut, Image, Length, Record, Space
from corpuscle.errors import StepError

FLAT, DEEP = 2048, 256
FLATTEST = 16  # planes; what has fewer is cut into planes, not cubes, on the disk


@dataclass(frozen=True, slots=True)
class Work:
    """The output of a step for one record, and the blocks it is made in.

    `seen` are the output axes that the op sees as they are; along the others a block is one index thick.
    """

    blocks: Cut
    space: Space
    halo: tuple[int, ...]
    level: int
    unseen: tuple[int, ...]
    drops_c: bool
    labels_of: str | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return self.blocks.shape


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
    for image in images:
        spatial = [image.level(level).shape[i] for i in image.space.spatial]
        if spatial != [shape[i] for i in space.spatial]:
            raise StepError(f"images of {spatial} and {shape} are read together", where=record.name, rule="step-shape")
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
    sizes = dict(zip(seen, block or _default(space, shape, seen), strict=True)) if seen else {}
    tile = tuple(min(sizes[i], n) if i in sizes else 1 for i, n in enumerate(shape))
    unseen = tuple(i for i, a in enumerate(first.space.axes) if a not in step.axes)
    return Work(Cut(shape, tuple(max(1, n) for n in tile)), space, halo, level, unseen, drops_c, step.labels_of)


def answer(step: Blockwise, work: Work, record: Record, index: int) -> tuple[Answer, int]:
    """What the op makes of one block, and how many bytes it read."""
    own = work.blocks[index]
    read = own.grow(work.halo).clip(Box.of(work.shape))
    size = 0
    given: list[Any] = []
    corner: tuple[int, ...] = ()
    for layer in (record[n] for n in reads(step)):
        if not isinstance(layer, Image):
            given.append(layer)
            continue
        source = layer.level(work.level)
        box = _source_box(step, work, source, read)
        pixels = source.read(box)
        size += pixels.nbytes
        given.append(np.squeeze(pixels, tuple(i for i in work.unseen if i < pixels.ndim)))
        corner = corner or tuple(a for i, a in enumerate(box.start) if i not in work.unseen)
    extra: dict[str, Any] = {}
    if wants(step.op, "spacing"):
        axes = [a for a in work.space.axes if a in step.axes]
        spacing = dict(zip([work.space.axes[i] for i in work.space.spatial], work.space.spacing, strict=True))
        extra["spacing"] = tuple(spacing[a] for a in axes if a in spacing)
    if wants(step.op, "corner"):
        extra["corner"] = corner
    if wants(step.op, "target"):
        extra["target"] = read.along([i for i, a in enumerate(work.space.axes) if a in step.axes])
    return Answer(index, own, read, step.op(*given, **extra)), size


def _source_box(step: Blockwise, work: Work, source: Image, read: Box) -> Box:
    """The box to read from a source, for an output box."""
    box = read
    if work.drops_c and "c" in source.space.axes:
        c = source.space.index("c")
        box = Box((*box.start[:c], 0, *box.start[c:]), (*box.stop[:c], source.shape[c], *box.stop[c:]))
    return box if step.region is None else step.region.needs(box, source.shape)


def _images(step: Blockwise, record: Record) -> list[Image]:
    images = [x for n in reads(step) if isinstance(x := record[n], Image)]
    if not images:
        raise StepError(f"{'/'.join(reads(step))} hold no image to go over", where=record.name, rule="step-image")
    return images


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


def _default(space: Space, shape: tuple[int, ...], seen: list[int]) -> tuple[int, ...]:
    """A shard along the axes that an op sees, and all of z where a stack is so flat that its planes are shards."""
    deep = all(a in space.axes for a in "zyx") and shape[space.index("z")] >= FLATTEST
    return tuple(DEEP if deep else FLAT for _ in seen)
