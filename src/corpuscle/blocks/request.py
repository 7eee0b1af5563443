"""What is to be converted, the blocks that it is done in, and the room that it takes on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpuscle.blocks.unpack import Slab, slabs
from corpuscle.core import Cut, Image
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.shards import Grid, chunk
from corpuscle.store.digest import of_json

ROOM = 64 << 20
DEEPEST = 16
SAMPLES = 8
PIECE = 512
SPARE = 1.1


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be written where.

    Parameters
    ----------
    images
        The main layer, and its labels, by name, the main one first.
    dst
        The store; nothing is there under this name until all of it is.
    source
        JSON that tells this source, and this state of it, from any other.
    extra
        JSON to keep under ``corpuscle`` of the main image.
    files
        Further files of the store by their path in it.
    verify
        Whether every pixel is read back and compared with the source before the store takes its name.
    """

    images: Mapping[str, Image]
    dst: Path
    source: Mapping[str, Any]
    extra: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    verify: bool = False

    @property
    def key(self) -> str:
        """A hash of all that decides what comes out."""
        told = [
            [n, list(x.shape), x.dtype.str, repr((x.space, x.channels, x.labels_of))] for n, x in self.images.items()
        ]
        return of_json([dict(self.source), told, json.dumps(self.extra, sort_keys=True, default=str)])


def tile_of(image: Image) -> tuple[int, ...]:
    """The block to convert an image in: a shard, and of flat stacks and of colours several, within 64 MB.

    >>> from corpuscle.core import Space
    >>> import numpy as np
    >>> tile_of(Image(np.broadcast_to(np.uint16(0), (300, 2048, 2048)), Space("zyx")))
    (256, 256, 256)
    """
    tile = list(Grid.of(image.space.axes, image.shape).shard)
    for axis, most in (("c", 4), ("z", DEEPEST)):
        if axis in image.space.axes:
            i = image.space.index(axis)
            while tile[i] < min(most, image.shape[i]) and 2 * math.prod(tile) * image.dtype.itemsize <= ROOM:
                tile[i] *= 2
    return tuple(tile)


def needs(request: Request) -> int:
    """Bytes on disk that a conversion takes at its height, from a few chunks packed on trial."""
    total = 0.0
    for image in request.images.values():
        raw = image.nbytes
        slab = max((s.nbytes for s in slabs(image, Cut(image.shape, tile_of(image))) if isinstance(s, Slab)), default=0)
        total += raw * 8 / 7 * _packing(image) * SPARE + raw / 7 + slab
    return int(total)


def _packing(image: Image) -> float:
    """To which part pixels shrink, in a few chunks that lie evenly over the image."""
    array, piece = image.array, Grid.of(image.space.axes, image.shape).chunk
    if isinstance(array, Lazy) and not array.windowed:  # a chunk would cost as many planes as it is thick
        piece = (*(1,) * array.lead, *(min(PIECE, n) for n in image.shape[array.lead :]))
    cut = Cut(image.shape, piece)
    raw = coded = 0
    for i in sorted({round((k + 0.5) * (len(cut) - 1) / SAMPLES) for k in range(SAMPLES)}):
        pixels = image.read(cut[i])
        raw += pixels.nbytes
        coded += len(chunk(pixels, pixels.shape, labels=image.is_labels))
    return min(1.01, coded / raw) if raw else 1.01
