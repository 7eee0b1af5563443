"""For compact objects that may touch: the block that owns the middle keeps the whole."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from corpuscle.blocks.merge import numbering
from corpuscle.blocks.merge.bench import Answer, Bench, Each, Once, Round
from corpuscle.core import Box, Image
from corpuscle.errors import StepError
from corpuscle.store.packed import pack, unpack


@dataclass(frozen=True, slots=True)
class Claim:
    """Keep each object once, whole, from the block that owns its middle.

    For compact objects that may touch but are smaller than the halo. Nothing is ever joined, so
    no chain of doubtful overlaps can swallow a crowd. An object that reaches the edge of the
    halo was not seen whole, and is an error. Where two claims overlap, the lower (block, object) has the voxel.
    """

    pixels: ClassVar[bool] = True

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the objects whose middle the block owns, for each block that they reach into."""
        from corpuscle.kernels.labels import dense

        labels, _ = dense(answer.pixels)
        claims = [c for c in _boxes(labels) if _is_mine(labels, *c, answer)]
        reached: dict[int, list[tuple[int, Box, bytes]]] = {}
        for k, (label, box) in enumerate(claims):
            placed = _shift(box, answer.read.start)
            _refuse_cut(placed, answer.read, Box.of(bench.shape))
            bits = np.packbits(labels[box.slices] == label).tobytes()
            for j in bench.blocks.touching(placed):
                reached.setdefault(j, []).append((k, placed, bits))
        parts = {str(j): pickle.dumps(found, protocol=5) for j, found in reached.items()}
        bench.put_parts("claims", answer.index, {"count": str(len(claims)).encode(), **parts})

    def rounds(self) -> tuple[Round, ...]:
        """Compose each block from the claims that reach it, number the objects, write the final labels."""
        return Each("compose", self.compose), Once("number", self.number), Each("write", self.write)

    def compose(self, index: int, bench: Bench) -> None:
        """A block's own pixels from all claims on them, in the order of (block, object): the first has the voxel."""
        from corpuscle.kernels.firsts import cropped
        from corpuscle.kernels.labels import dense

        own = bench.blocks[index]
        out = np.zeros(own.shape, np.int32)
        names: list[tuple[int, int, int]] = []
        for i in bench.blocks.touching(own.grow(bench.halo)):
            found = bench.get_part("claims", i, str(index))
            for k, box, bits in pickle.loads(found) if found else ():
                part = box.clip(own)
                mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=box.size).reshape(box.shape).view(bool)
                view = out[part.inside(own).slices]
                names.append((i, k, int(part != box)))
                view[mask[part.inside(box).slices] & (view == 0)] = len(names)
        labels, first = dense(out)
        # A claim whose every voxel here went to others has no name here.
        left = np.array(names, np.int64).reshape(-1, 3)[out.ravel()[first] - 1]
        parts = {
            "own": pack(cropped(labels, Box.of(own.shape), len(left))[0]),
            "first": pack(numbering.placed(first, own, bench.shape)),
            "names": pack(left),
        }
        bench.put_parts("composed", index, parts)

    def number(self, bench: Bench) -> None:
        """Final numbers: an object that lies in several blocks is one."""
        blocks = range(len(bench.blocks))
        counts = [int(bench.get_part("claims", i, "count")) for i in blocks]
        offset = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

        def called(i: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
            names = unpack(bench.get_part("composed", i, "names"))
            return offset[names[:, 0]] + names[:, 1], names[:, 2] > 0

        shared = [np.empty(0, np.int64)]
        for i in blocks:
            claim, crosses = called(i)
            shared.append(claim[crosses])
        groups = np.unique(np.concatenate(shared))

        def part(i: int) -> numbering.Part:
            claim, crosses = called(i)
            group = np.where(crosses, np.searchsorted(groups, claim), -1)
            return numbering.Part(unpack(bench.get_part("composed", i, "first")), group)

        beginnings = np.full(len(groups), numbering.NOWHERE)
        for i in blocks:
            mine = part(i)
            known = mine.group >= 0
            np.minimum.at(beginnings, mine.group[known], mine.first[known])
        bench.put("total", 0, numbering.number(bench, part, beginnings))

    def write(self, index: int, bench: Bench) -> None:
        """The block's labels under their final numbers."""
        numbering.write(index, bench, "composed", bench.get("total", 0))

    def layer(self, bench: Bench) -> Image:
        """The labels."""
        return bench.sink.image()


def _boxes(labels: NDArray[np.int32]) -> list[tuple[int, Box]]:
    from scipy import ndimage

    return [
        (label, Box(tuple(x.start for x in s), tuple(x.stop for x in s)))
        for label, s in enumerate(ndimage.find_objects(labels), 1)
        if s is not None
    ]


def _is_mine(labels: NDArray[np.int32], label: int, box: Box, answer: Answer) -> bool:
    """Whether the block owns the middle of an object: the mean of its voxels' places."""
    where = np.nonzero(labels[box.slices] == label)
    # From sums of whole numbers, so that every block that sees the object finds the same middle.
    middle = [
        (int(w.sum()) + len(w) * (a + r)) / len(w) for w, a, r in zip(where, box.start, answer.read.start, strict=True)
    ]
    return middle in answer.own


def _shift(box: Box, by: tuple[int, ...]) -> Box:
    start, stop = (tuple(a + b for a, b in zip(corner, by, strict=True)) for corner in (box.start, box.stop))
    return Box(start, stop)


def _refuse_cut(placed: Box, read: Box, whole: Box) -> None:
    cut = any(
        (a == ra and ra > wa) or (b == rb and rb < wb)
        for a, b, ra, rb, wa, wb in zip(
            placed.start, placed.stop, read.start, read.stop, whole.start, whole.stop, strict=True
        )
    )
    if cut:
        raise StepError(
            f"an object at {placed.start} to {placed.stop} reaches the edge of the halo",
            fix="make the halo at least as long as the largest object",
            rule="claim-halo",
        )
