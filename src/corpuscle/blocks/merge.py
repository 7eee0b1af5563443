"""Five ways for what blocks answer to become one layer.

Each merge works in two movements. `keep` runs where the block was computed and settles what the
block can settle alone: pixels go to the output, the rest is spooled to a file. `close` runs once,
when every block has been kept, reads the spool block by block and makes the layer.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Graph, Image, Layer, Space
from corpuscle.errors import StepError
from corpuscle.store.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What an op made of the region `read`, on behalf of the smaller region it owns."""

    index: int
    own: Box
    read: Box
    value: Any


class Sink(Protocol):
    """Where the pixels of the output go, block by block."""

    def open(self, dtype: np.dtype[Any]) -> None:
        """Say the type of the pixels, before the first write; again is harmless."""
        ...

    def write(self, box: Box, pixels: NDArray[Any]) -> None:
        """Settle the pixels of a block."""
        ...

    def image(self) -> Image:
        """The finished image."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a merge works with: the blocks, the output's space, a folder for the spool, a sink for pixels."""

    blocks: tuple[Box, ...]
    shape: tuple[int, ...]
    space: Space
    spool: Path
    sink: Sink
    halo: tuple[int, ...] = ()

    def put(self, index: int, value: Any) -> None:
        """Spool a block's answer, old or new."""
        write_bytes(self.spool / f"{index}.spool", pickle.dumps(value, protocol=5))

    def get(self, index: int) -> Any:
        """What the block spooled. The spool is this run's own, so reading it back is safe."""
        return pickle.loads((self.spool / f"{index}.spool").read_bytes())

    def read_of(self, index: int) -> Box:
        """The region that a block read."""
        return self.blocks[index].grow(self.halo).clip(Box.of(self.shape))


class Merge(Protocol):
    """How answers become one layer."""

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Settle or spool one block's answer, in the worker."""
        ...

    def close(self, bench: Bench) -> Layer:
        """The layer, when every block has been kept."""
        ...


def _pixels(answer: Answer) -> NDArray[Any]:
    value = np.asarray(answer.value)
    if value.size != answer.read.size:
        raise StepError(f"the op answered shape {value.shape} for a block of {answer.read.shape}", rule="step-shape")
    return value.reshape(answer.read.shape)


@dataclass(frozen=True, slots=True)
class Paste:
    """Cut the halo off each block and paste what is left: for filters and nets."""

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Write the block's own pixels."""
        pixels = _pixels(answer)[answer.own.inside(answer.read).slices]
        bench.sink.open(pixels.dtype)
        bench.sink.write(answer.own, pixels)

    def close(self, bench: Bench) -> Image:
        """The image is complete already."""
        return bench.sink.image()


@dataclass(frozen=True, slots=True)
class Stitch:
    """Join what meets in the halo: for connected components, where one shared voxel is proof.

    For labels that fill space, where neighbours share a few stray voxels at a border, two labels
    are one object only if most of the smaller one's voxels in the shared strip agree: say how
    much with `agree` (0: one voxel is enough). The halo must hold at least one voxel.

    Final labels count from 1 in the order of each object's first voxel in the whole volume, so
    they are the same however it was cut.
    """

    agree: float = 0.0

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool dense labels of the region read, and the place of each label's first own voxel."""
        bench.put(answer.index, _dense(_pixels(answer)))

    def close(self, bench: Bench) -> Image:
        """Union over the strips that neighbours share, then one relabelling pass."""
        if len(bench.blocks) > 1 and not any(bench.halo):
            raise StepError("Stitch needs a halo of at least one voxel to see what meets", rule="step-halo")
        counts = [int(bench.get(i).max(initial=0)) for i in range(len(bench.blocks))]
        offset = np.concatenate([[0], np.cumsum(counts)])
        parent = np.arange(offset[-1] + 1)
        for i, j in _neighbours(bench):
            for a, b in _meeting(bench, i, j, self.agree):
                _join(parent, offset[i] + a, offset[j] + b)
        roots = _roots(parent)
        return _number(bench, lambda i: np.concatenate([[0], roots[offset[i] + 1 : offset[i + 1] + 1]]))


@dataclass(frozen=True, slots=True)
class Claim:
    """Keep each object once, whole, from the block that owns its middle.

    For compact objects that may touch but are smaller than the halo. Nothing is ever joined, so
    no chain of doubtful overlaps can swallow a crowd. An object that reaches the edge of the
    halo was not seen whole, and is an error. Where two claims overlap, the lower (block, object) has the voxel.
    """

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the objects whose middle the block owns, each with its box and mask."""
        labels = _dense(_pixels(answer))
        whole, mine = Box.of(bench.shape), []
        for label, box in enumerate(_boxes(labels), 1):
            if box is None:
                continue
            mask = labels[box.slices] == label
            middle = [float(np.mean(c)) + s for c, s in zip(np.nonzero(mask), box.start, strict=True)]
            if [m + r for m, r in zip(middle, answer.read.start, strict=True)] not in answer.own:
                continue
            placed = Box(
                tuple(a + r for a, r in zip(box.start, answer.read.start, strict=True)),
                tuple(a + r for a, r in zip(box.stop, answer.read.start, strict=True)),
            )
            cut = [
                (a == ra and ra > wa) or (b == rb and rb < wb)
                for a, b, ra, rb, wa, wb in zip(
                    placed.start, placed.stop, answer.read.start, answer.read.stop, whole.start, whole.stop, strict=True
                )
            ]
            if any(cut):
                raise StepError(
                    f"an object at {placed.start} to {placed.stop} reaches the edge of the halo",
                    fix="make the halo at least as long as the largest object",
                    rule="claim-halo",
                )
            mine.append((placed, np.packbits(mask)))
        bench.put(answer.index, mine)

    def close(self, bench: Bench) -> Image:
        """Number the claims by first voxel, and compose each block from those that reach it."""
        claims: list[tuple[int, int, Box, NDArray[np.uint8]]] = []
        for i in range(len(bench.blocks)):
            for k, (box, bits) in enumerate(bench.get(i)):
                claims.append((i, k, box, bits))
        first = [_first_voxel(box, _mask(box, bits), bench.shape) for _, _, box, bits in claims]
        final = np.empty(len(claims), np.int64)
        final[np.argsort(np.array(first, np.int64), kind="stable")] = np.arange(1, len(claims) + 1)
        dtype = _label_dtype(len(claims))
        bench.sink.open(dtype)
        by_block: dict[int, list[int]] = {}
        for n, (_, _, box, _) in enumerate(claims):
            for b in _touching(bench, box):
                by_block.setdefault(b, []).append(n)
        for b, own in enumerate(bench.blocks):
            out = np.zeros(own.shape, dtype)
            for n in by_block.get(b, ()):  # in (block, object) order: the first to claim a voxel has it
                _, _, box, bits = claims[n]
                part = box.clip(own)
                view = out[part.inside(own).slices]
                view[_mask(box, bits)[part.inside(box).slices] & (view == 0)] = final[n]
            bench.sink.write(own, out)
        return bench.sink.image()


@dataclass(frozen=True, slots=True)
class Collect:
    """Keep each point once, from the block that owns the place where it lies.

    The op answers (points, axes it saw) array indices. Points come out sorted by place.
    """

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the block's own points, in indices of the whole."""
        value = np.asarray(answer.value, np.float64)
        points = np.zeros((len(value), len(bench.shape)))
        if len(value):
            # Points come in the axes the op saw; along the others a block is one index thick.
            points[:, len(bench.shape) - value.shape[1] :] = value
        points += answer.read.start
        inside = np.all((points >= answer.own.start) & (points < answer.own.stop), axis=1)
        bench.put(answer.index, points[inside])

    def close(self, bench: Bench) -> Graph:
        """All points, in the order of their place."""
        found = [bench.get(i) for i in range(len(bench.blocks))]
        index = np.concatenate([np.empty((0, len(bench.shape))), *found])
        return Graph.of(bench.space, index[np.lexsort(index.T[::-1])])


def _as_given(value: Any) -> Layer:
    layer: Layer = value
    return layer


@dataclass(frozen=True, slots=True)
class Reduce:
    """Fold answers in block order with an associative function: histograms, measures, borders.

    `fold` takes two answers and gives one; `finish` makes the layer of the last.
    """

    fold: Callable[[Any, Any], Any]
    finish: Callable[[Any], Layer] = field(default=_as_given)

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the answer as it is."""
        bench.put(answer.index, answer.value)

    def close(self, bench: Bench) -> Layer:
        """Fold from the first block to the last."""
        return self.finish(reduce(self.fold, (bench.get(i) for i in range(len(bench.blocks)))))


def _dense(labels: NDArray[Any]) -> NDArray[np.int64]:
    """The same partition numbered 1..n by raster order, 0 kept."""
    ids, first, place = np.unique(labels, return_index=True, return_inverse=True)
    objects = ids != 0
    rank = np.zeros(len(ids), np.int64)
    rank[np.flatnonzero(objects)[np.argsort(first[objects])]] = np.arange(1, objects.sum() + 1)
    return rank[place].reshape(labels.shape)


def _boxes(labels: NDArray[np.int64]) -> list[Box | None]:
    from scipy import ndimage

    return [
        None if s is None else Box(tuple(x.start for x in s), tuple(x.stop for x in s))
        for s in ndimage.find_objects(labels)
    ]


def _neighbours(bench: Bench) -> Iterator[tuple[int, int]]:
    """Pairs of blocks, lower first, of which one's region reaches into the other's own."""
    for i, own in enumerate(bench.blocks):
        for j in _touching(bench, own.grow(bench.halo)):
            if j > i:
                yield i, j


def _touching(bench: Bench, box: Box) -> list[int]:
    """Blocks whose own region meets a box, in order; found by arithmetic, as the blocks are a C-order grid."""
    steps = bench.blocks[0].shape
    grid = [-(-n // s) for n, s in zip(bench.shape, steps, strict=True)]
    clip = box.clip(Box.of(bench.shape))
    if clip.size == 0:
        return []
    ranges = [range(a // s, (b - 1) // s + 1) for a, b, s in zip(clip.start, clip.stop, steps, strict=True)]
    cells = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(grid))
    return [int(n) for n in np.ravel_multi_index(tuple(cells.T), tuple(grid))]


def _meeting(bench: Bench, i: int, j: int, agree: float) -> list[tuple[int, int]]:
    """Labels of block i and block j that stand for one object, seen where both regions overlap."""
    ri, rj = bench.read_of(i), bench.read_of(j)
    shared = ri.clip(rj)
    if shared.size == 0:
        return []
    a = bench.get(i)[shared.inside(ri).slices].ravel()
    b = bench.get(j)[shared.inside(rj).slices].ravel()
    both = (a > 0) & (b > 0)
    if not both.any():
        return []
    pairs, count = np.unique(np.stack([a[both], b[both]], 1), axis=0, return_counts=True)
    if agree > 0:
        in_a, in_b = np.bincount(a)[pairs[:, 0]], np.bincount(b)[pairs[:, 1]]
        pairs = pairs[count > agree * np.minimum(in_a, in_b)]
    return [(int(p), int(q)) for p, q in pairs]


def _join(parent: NDArray[np.int64], a: int, b: int) -> None:
    a, b = _root(parent, a), _root(parent, b)
    parent[max(a, b)] = min(a, b)


def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return i


def _roots(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above


def _number(bench: Bench, ids_of: Callable[[int], NDArray[np.int64]]) -> Image:
    """Write labels whose provisional ids are `ids_of(block)[local]`, numbered by first voxel in the whole."""
    first: dict[int, int] = {}
    for i, own in enumerate(bench.blocks):
        mine = ids_of(i)[bench.get(i)[own.inside(bench.read_of(i)).slices]]
        ids, at = np.unique(mine, return_index=True)
        where = np.unravel_index(at, own.shape)
        linear = np.ravel_multi_index(tuple(w + s for w, s in zip(where, own.start, strict=True)), bench.shape)
        for label, place in zip(ids.tolist(), linear.tolist(), strict=True):
            if label and place < first.get(label, place + 1):
                first[label] = place
    order = sorted(first, key=first.__getitem__)
    table = np.zeros(max(order, default=0) + 1, _label_dtype(len(order)))
    table[order] = np.arange(1, len(order) + 1)
    bench.sink.open(table.dtype)
    for i, own in enumerate(bench.blocks):
        mine = ids_of(i)[bench.get(i)[own.inside(bench.read_of(i)).slices]]
        # A label seen in the halo alone has no voxel of its own anywhere, and no number.
        bench.sink.write(own, table[np.where(mine < len(table), mine, 0)])
    return bench.sink.image()


def _mask(box: Box, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=box.size).reshape(box.shape).astype(bool)


def _first_voxel(box: Box, mask: NDArray[np.bool_], shape: tuple[int, ...]) -> int:
    where = np.unravel_index(int(np.argmax(mask)), mask.shape)
    return int(np.ravel_multi_index(tuple(int(w) + s for w, s in zip(where, box.start, strict=True)), shape))


def _label_dtype(count: int) -> np.dtype[Any]:
    return np.dtype(np.int32 if count < 2**31 else np.int64)
