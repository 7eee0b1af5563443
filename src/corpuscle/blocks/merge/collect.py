"""For points: each is kept once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from corpuscle.blocks.merge.bench import Answer, Bench, Round
from corpuscle.core import Graph
from corpuscle.store.packed import pack, unpack


@dataclass(frozen=True, slots=True)
class Collect:
    """Keep each point once, from the block that owns the place where it lies.

    The op answers (points, axes it saw) array indices. Points come out sorted by place.
    """

    pixels: ClassVar[bool] = False

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the block's own points, in indices of the whole."""
        value = np.asarray(answer.value, np.float64)
        points = np.zeros((len(value), len(bench.shape)))
        if len(value):
            # Points come in the axes the op saw; along the others a block is one index thick.
            points[:, len(bench.shape) - value.shape[1] :] = value
        points += answer.read.start
        inside = np.all((points >= answer.own.start) & (points < answer.own.stop), axis=1)
        bench.put_parts("points", answer.index, {"": pack(points[inside])})

    def rounds(self) -> tuple[Round, ...]:
        """Nothing is left to do in workers."""
        return ()

    def layer(self, bench: Bench) -> Graph:
        """All points, in the order of their place."""
        found = [unpack(bench.get_part("points", i, "")) for i in range(len(bench.blocks))]
        index = np.concatenate([np.empty((0, len(bench.shape))), *found])
        return Graph.of(bench.space, index[np.lexsort(index.T[::-1])])
