"""For connected components, and for labels that fill space."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from corpuscle.blocks.merge import numbering
from corpuscle.blocks.merge.bench import Answer, Bench, Each, Once, Round
from corpuscle.core import Image
from corpuscle.errors import StepError
from corpuscle.store.packed import pack, unpack


@dataclass(frozen=True, slots=True)
class Stitch:
    """Join what meets in the halo: for connected components, where one shared voxel is proof.

    For labels that fill space, where neighbours share a few stray voxels at a border, two labels
    are one object only if most of the smaller one's voxels in the shared strip agree: say how
    much with `agree` (0: one voxel is enough). The halo must hold at least one voxel.

    Final labels count from 1 in the order of each object's first voxel in the whole volume, so
    they are the same however it was cut. Blocks compare the strips that they share, on faces,
    edges and corners, in workers; only the pairs that meet there come together in one place, so
    memory grows with the number of objects on the faces of blocks.
    """

    pixels: ClassVar[bool] = True

    agree: float = 0.0

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the block's own labels, where each begins, and the strips it shares with each neighbour."""
        from corpuscle.kernels.firsts import cropped
        from corpuscle.kernels.labels import small

        if len(bench.blocks) > 1 and not any(bench.halo):
            raise StepError(
                "Stitch needs a halo to see what meets", fix="give the step a halo of px(1)", rule="step-halo"
            )
        pixels = answer.pixels
        if pixels.dtype.kind not in "iub":
            raise StepError(f"Stitch joins labels, and the op answered {pixels.dtype}", rule="step-labels")
        labels, count = small(pixels)
        own, first = cropped(labels, answer.own.inside(answer.read), count)
        parts = {
            "own": pack(own),
            "first": pack(numbering.placed(first, answer.own, bench.shape)),
            "count": str(count).encode(),
        }
        for j in bench.neighbours(answer.index):
            shared = answer.read.clip(bench.read_of(j))
            parts[str(j)] = pack(labels[shared.inside(answer.read).slices])
        bench.put_parts("seen", answer.index, parts)

    def rounds(self) -> tuple[Round, ...]:
        """Compare strips, join what meets, write the final labels."""
        return Each("meet", self.meet), Once("join", self.join), Each("write", self.write)

    def meet(self, index: int, bench: Bench) -> None:
        """Which labels of a block and of its lower neighbours stand for one object."""
        rows = [np.empty((0, 3), np.int64)]
        for j in bench.neighbours(index):
            if j > index:
                break
            a = unpack(bench.get_part("seen", index, str(j)))
            b = unpack(bench.get_part("seen", j, str(index)))
            pairs = self._meeting(a, b)
            rows.append(np.column_stack([np.full(len(pairs), j), pairs]))
        bench.put_parts("met", index, {"": pack(np.concatenate(rows))})

    def _meeting(self, a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int64]:
        from corpuscle.kernels.labels import pairs as on_both

        pairs, counts = on_both(a, b)
        if self.agree > 0 and len(pairs):
            in_a, in_b = np.bincount(a.ravel())[pairs[:, 0]], np.bincount(b.ravel())[pairs[:, 1]]
            pairs = pairs[counts > self.agree * np.minimum(in_a, in_b)]
        return np.asarray(pairs, np.int64)

    def join(self, bench: Bench) -> None:
        """Union over all pairs that meet, then a final number for every object."""
        from corpuscle.kernels.forest import roots

        blocks = range(len(bench.blocks))
        counts = [int(bench.get_part("seen", i, "count")) for i in blocks]
        # The objects of block i are called offset[i] + 1 to offset[i + 1].
        offset = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        met = [np.empty((0, 2), np.int64)]
        for i in blocks:
            rows = unpack(bench.get_part("met", i, ""))
            if len(rows):
                met.append(np.column_stack([offset[i] + rows[:, 1], offset[rows[:, 0]] + rows[:, 2]]))
        ids, place = np.unique(np.concatenate(met), return_inverse=True)
        root = roots(len(ids), place.reshape(-1, 2).astype(np.int64))
        _, group = np.unique(root, return_inverse=True)
        cuts = list(pairwise(np.searchsorted(ids, offset, side="right").tolist()))

        def part(i: int) -> numbering.Part:
            first = unpack(bench.get_part("seen", i, "first"))
            groups = np.full(len(first), -1, np.int64)
            groups[ids[slice(*cuts[i])] - offset[i] - 1] = group[slice(*cuts[i])]
            return numbering.Part(first, groups)

        beginnings = np.full(int(group.max(initial=-1)) + 1, numbering.NOWHERE)
        for i in blocks:
            mine = part(i)
            known = (mine.group >= 0) & (mine.first >= 0)
            np.minimum.at(beginnings, mine.group[known], mine.first[known])
        bench.put("total", 0, numbering.number(bench, part, beginnings))

    def write(self, index: int, bench: Bench) -> None:
        """The block's labels under their final numbers."""
        numbering.write(index, bench, "seen", bench.get("total", 0))

    def layer(self, bench: Bench) -> Image:
        """The labels."""
        return bench.sink.image()
