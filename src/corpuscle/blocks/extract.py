"""A few blocks of a record as a small record of its own, and stand-ins for layers that nobody has made yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Cut, Image, Layer, Record, Space
from corpuscle.core.image import ArrayLike
from corpuscle.core.pyramid import factors
from corpuscle.errors import PlanError

SHARE = 100
MOST = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Part of an array that is read only where it is asked for."""

    array: ArrayLike
    box: Box

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return self.box.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """A region of the part, given by slices of step one, or all of it."""
        keys = key if isinstance(key, tuple) else (key,)
        keys = tuple(slice(None) for _ in self.shape) if keys == (Ellipsis,) else keys
        spans = [k.indices(n) for k, n in zip(keys, self.shape, strict=False)]
        spans += [(0, n, 1) for n in self.shape[len(spans) :]]
        there = tuple(slice(a + lo, b + lo) for (a, b, _), lo in zip(spans, self.box.start, strict=True))
        return np.asarray(self.array[there])


@dataclass(frozen=True, slots=True)
class Ghost:
    """The shape and type of an array that is not there."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Refused: a forecast never needs the pixels."""
        raise PlanError("an array that is only planned has no pixels to read", rule="plan-ghost")


def ghost(shape: Sequence[int], dtype: np.dtype[Any], space: Space, *, labels_of: str | None = None) -> Image:
    """An image that stands for one still to be made, with the levels that it will have."""
    size, now, levels = tuple(shape), space, []
    for step in factors(space, size):
        size = tuple(-(-n // f) for n, f in zip(size, step, strict=True))
        now = now.coarser(step)
        levels.append(Image(Ghost(size, dtype), now, (), labels_of))
    return Image(Ghost(tuple(shape), dtype), space, (), labels_of, tuple(levels))


def extracts(record: Record, tile: Sequence[int] | None, axes: str) -> list[Record]:
    """Pairs of neighbouring blocks cut out of a record: one in a hundred blocks, two at least, eight at most.

    ::

        |----|----|----|----|----|
        |    |    | 1  | 1  |    |
        |----|----|----|----|----|        pairs lie evenly through the whole; the last is at its edge
        |    |    |    | 2  | 2  |
        |----|----|----|----|----|

    The largest image says where; all images of its size, or a coarser level of it, are cut alike. A record of no
    more than two blocks is given as it is. `tile` is the block along the `axes` that an op sees.
    """
    images = {n: x for n, x in record.layers.items() if isinstance(x, Image)}
    if not images:
        return [record]
    main = max(images.values(), key=lambda x: x.nbytes)
    cut = Cut(main.shape, _tile(main, tile, axes))
    if len(cut) <= 2:
        return [record]
    out = []
    for k, box in enumerate(pairs(cut), 1):
        layers = {n: _cropped(x, main, box) if isinstance(x, Image) else x for n, x in record.layers.items()}
        out.append(replace(record, name=f"{record.name} {k}", layers=layers))
    return out


def pairs(cut: Cut, *, first: int = 0) -> list[Box]:
    """Boxes of two neighbouring blocks each, one in a hundred blocks in all; neighbours along an axis from `first` on.

    The last pair ends at the edge of the axis along which there are most blocks; along the others they wander from
    side to side. One block where there are no neighbours.
    """
    free = range(first, len(cut.grid))
    along = max(free, key=lambda i: (cut.grid[i], cut.tile[i]), default=0)
    if not free or cut.grid[along] < 2:
        return [cut[len(cut) - 1]]
    count = max(1, min(MOST, len(cut) // SHARE // 2))
    out = []
    for k in range(1, count + 1):
        place = [
            max(0, round(k / count * (g - 2))) if i == along else round((0.5 + 0.618 * k * i) % 1 * (g - 1))
            for i, g in enumerate(cut.grid)
        ]
        beside = [p + (i == along) for i, p in enumerate(place)]
        out.append(Box(cut[cut.at(place)].start, cut[cut.at(beside)].stop))
    return out


def _tile(image: Image, tile: Sequence[int] | None, axes: str) -> tuple[int, ...]:
    """A block along the axes that are seen, all of c, one index of the others."""
    seen = [i for i in image.space.spatial if image.space.axes[i] in axes]
    sizes = tuple(tile) if tile is not None else (256 if len(seen) >= 3 else 2048,) * len(seen)
    of = dict(zip(seen, sizes, strict=False))
    return tuple(
        max(1, min(of[i], n)) if i in of else (n if a == "c" else 1)
        for i, (a, n) in enumerate(zip(image.space.axes, image.shape, strict=True))
    )


def _cropped(image: Image, main: Image, box: Box) -> Layer:
    """The part of an image under a box of the main image, levels and all; the whole where it is of another size."""
    if image.space.axes != main.space.axes or image.shape != main.shape:
        return image
    levels = []
    for level in image.levels:
        # Where a level's pixels straddle the edge of the box, those that begin within it count.
        step = [n / m for n, m in zip(image.shape, level.shape, strict=True)]
        start = tuple(int(a / s) for a, s in zip(box.start, step, strict=True))
        stop = tuple(
            min(m, max(a + 1, round(b / s))) for a, b, s, m in zip(start, box.stop, step, level.shape, strict=True)
        )
        levels.append(part(level, Box(start, stop)))
    return replace(part(image, box), levels=tuple(levels))


def part(image: Image, box: Box) -> Image:
    """A region of an image, unread."""
    channels = image.channels if "c" in image.space.axes else ()
    return Image(Window(image.array, box), image.space.crop(box), channels, image.labels_of)
