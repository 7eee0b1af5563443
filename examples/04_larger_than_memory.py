"""A volume block by block: smooth, threshold, connected components, size filter, measure; on all cores, resumable.

Run it with `python examples/04_larger_than_memory.py [DIR]`; without DIR it works in a temporary folder. The volume
here is small and made by a formula, so that it takes seconds; a file of terabytes goes the same way, in the same memory
for each block. Kill it and run it again with the same DIR: it goes on where it was.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.merge import Reduce, Stitch
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.step import Blockwise, Step
from corpuscle.core import Image, Record, Space, px, um
from corpuscle.ops.components import components, join, larger_than, sizes, table
from corpuscle.ops.smooth import gaussian, reach
from corpuscle.store.ledger import Ledger


@dataclass(frozen=True)
class Waves:
    """A volume that is computed where it is read: anything with a shape, a type and slices is an array."""

    shape: tuple[int, ...] = (96, 120, 130)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        z, y, x = np.ogrid[key]
        return (1000 + 500 * np.sin(z / 5) * np.sin(y / 7) * np.sin(x / 6)).astype(np.uint16)


def above(pixels: NDArray[Any], *, level: float) -> NDArray[np.uint8]:
    """An op is a function of arrays; it knows nothing of blocks."""
    return (pixels > level).astype(np.uint8)


STEPS: list[Step] = [
    Blockwise(partial(gaussian, sigma=0.8), "raw", "smooth", halo=um(reach(0.8))),
    Blockwise(partial(above, level=1200), "smooth", "mask"),
    # Labels of blocks are joined where their halos share voxels: the answer is that of the whole volume.
    Blockwise(partial(components, connectivity=26), "mask", "cells", halo=px(1), merge=Stitch(), labels_of="raw"),
    Blockwise(sizes, "cells", "sizes", merge=Reduce(join, table)),
    Blockwise(partial(larger_than, least=1000), ("cells", "sizes"), "large", labels_of="raw"),
    Blockwise(sizes, ("large", "raw"), "objects", merge=Reduce(join, table)),
]


def main(folder: Path) -> None:
    record = Record("waves", {}, {"raw": Image(Waves(), Space("zyx", scale=(0.5, 0.4, 0.4)))})
    # Where reading all of a source to know it again would take too long, say what it is called.
    shelf = Scratch.of(folder / "work", record, digests={"waves/raw": "waves, first version"})
    with Ledger(folder / "work.ledger") as ledger, Local(2) as engine:
        receipt = run(STEPS, shelf, Conditions(engine, ledger, block=(64, 64, 64)))
    for failure in receipt.failures:
        print(failure)
    print(f"{receipt.done} units done, {receipt.skipped} done before")

    done = shelf.record("waves")
    print(done.table("sizes"), "\n", done.table("objects"))
    print(done.image("large"), "at", shelf.path("waves", "large"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
