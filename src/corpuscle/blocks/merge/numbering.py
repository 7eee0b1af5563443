"""Final numbers for objects that blocks have seen in part: 1, 2, 3, ... by first voxel in the whole volume.

So numbered, objects are called the same however the volume was cut. Blocks are taken slab by slab along
the first axis: all that begins in one slab comes before all that begins in the next, so no more than the
objects of one slab are ever sorted at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.blocks.merge.bench import Bench
from corpuscle.core import Box
from corpuscle.store.packed import pack, unpack

NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Part:
    """The objects of one block: where each begins within the block's own region, and which group it is part of.

    `first` counts voxels of the whole in C order, -1 where the block owns none of the object; `group` is -1 for an
    object that no other block has seen.
    """

    first: NDArray[np.int64]
    group: NDArray[np.int64]


def number(bench: Bench, part: Callable[[int], Part], beginnings: NDArray[np.int64]) -> int:
    """Spool, for each block, the final number of each of its objects as ``ids``; answer how many there are.

    `beginnings` is the first voxel of each group.
    """
    total = 0
    final = np.zeros(len(beginnings), np.int64)
    order = np.argsort(beginnings, kind="stable")
    starts = beginnings[order]
    for blocks, end in _slabs(bench):
        parts = [(i, part(i)) for i in blocks]
        alone = [np.flatnonzero((p.group < 0) & (p.first >= 0)) for _, p in parts]
        low, high = np.searchsorted(starts, [_start_of(bench, blocks[0]), end])
        groups = order[low:high]
        firsts = np.concatenate([*(p.first[a] for (_, p), a in zip(parts, alone, strict=True)), beginnings[groups]])
        rank = np.empty(len(firsts), np.int64)
        rank[np.argsort(firsts, kind="stable")] = np.arange(total + 1, total + 1 + len(firsts))
        total += len(firsts)
        final[groups] = rank[len(rank) - len(groups) :]
        at = 0
        for (i, p), mine in zip(parts, alone, strict=True):
            ids = np.zeros(len(p.first) + 1, np.int64)
            ids[1 + mine] = rank[at : at + len(mine)]
            at += len(mine)
            joined = np.flatnonzero((p.group >= 0) & (p.first >= 0))
            ids[1 + joined] = final[p.group[joined]]
            bench.put_parts("ids", i, {"": pack(ids)})
    return total


def write(index: int, bench: Bench, seen: str, total: int) -> None:
    """Put the final numbers of a block's objects, spooled as part ``own`` of `seen`, where the image is made."""
    from corpuscle.kernels.labels import remap

    dtype = label_dtype(total)
    labels = unpack(bench.get_part(seen, index, "own"))
    ids = unpack(bench.get_part("ids", index, "")).astype(dtype)
    bench.sink.open(dtype)
    bench.sink.write(bench.blocks[index], remap(labels, ids))


def placed(first: NDArray[np.int64], own: Box, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """First voxels counted in a block's own region, counted in the whole; -1 stays."""
    out = np.full(len(first), -1, np.int64)
    found = first >= 0
    where = np.unravel_index(first[found], own.shape)
    out[found] = np.ravel_multi_index(tuple(w + a for w, a in zip(where, own.start, strict=True)), shape)
    return out


def label_dtype(total: int) -> np.dtype[Any]:
    """The type for labels of so many objects: unsigned, as viewers ask, and no wider than need be."""
    return np.dtype(np.uint16 if total < 2**16 else np.uint32 if total < 2**32 else np.uint64)


def _slabs(bench: Bench) -> Iterator[tuple[list[int], int]]:
    """The blocks of each place along the first axis, and the first voxel that lies beyond them all."""
    across = prod(bench.blocks.grid[1:])
    for place, blocks in groupby(range(len(bench.blocks)), key=lambda i: i // across):
        end = min((place + 1) * bench.blocks.tile[0], bench.shape[0])
        yield list(blocks), end * prod(bench.shape[1:])


def _start_of(bench: Bench, index: int) -> int:
    """The first voxel of the slab that a block belongs to."""
    return bench.blocks[index].start[0] * prod(bench.shape[1:])
