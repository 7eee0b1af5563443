"""What a merge is, and what it works with.

A merge works in movements. `keep` runs where a block was computed and settles what the block can
settle alone: pixels go to the sink, the rest is spooled to a file. Rounds follow, each either once
per block in a worker or once in the coordinator. At last `layer` names what was made. Whatever one
movement leaves for the next lies in the spool, old or new, so that a killed run goes on.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Cut, Image, Layer, Space
from corpuscle.errors import StepError
from corpuscle.store.packed import read_part, write_parts


@dataclass(frozen=True, slots=True)
class Answer:
    """What an op made of the region `read`, on behalf of the smaller region it owns."""

    index: int
    own: Box
    read: Box
    value: Any

    @property
    def pixels(self) -> NDArray[Any]:
        """The answer as pixels of the region read."""
        value = np.asarray(self.value)
        if value.size != self.read.size:
            raise StepError(f"the op answered shape {value.shape} for a block of {self.read.shape}", rule="step-shape")
        return value.reshape(self.read.shape)


class Sink(Protocol):
    """Where the pixels of the output go, block by block."""

    @property
    def path(self) -> Path:
        """Where the image is made."""
        ...

    @property
    def begun(self) -> bool:
        """Whether anything of it is there."""
        ...

    def open(self, dtype: np.dtype[Any]) -> None:
        """Say the type of the pixels, before the first write; again is harmless."""
        ...

    def write(self, box: Box, pixels: NDArray[Any]) -> None:
        """Settle the pixels of a block."""
        ...

    def kept(self, box: Box, *, deep: bool = False) -> bool:
        """Whether this block is written, and nothing of it torn; `deep` reads every byte."""
        ...

    def sweep(self, *, deep: bool = False) -> bool:
        """Take away what is damaged of that which no block writes; whether there was any. It is built again."""
        ...

    def outline(self) -> Image:
        """The image, as it was when it was finished, without its pixels, which may have been moved."""
        ...

    def tiers(self) -> list[list[Any]]:
        """What is left to build when every block is written: units in passes, one pass after the other."""
        ...

    def build(self, unit: Any) -> None:
        """The work of one such unit, in a worker."""
        ...

    def image(self) -> Image:
        """The finished image."""
        ...

    def digest(self) -> str:
        """The digest of the finished image, from what was told of its blocks as they were written."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a merge works with: the blocks, the output's space, a folder for the spool, a sink for pixels."""

    blocks: Cut
    space: Space
    spool: Path
    sink: Sink
    halo: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return self.blocks.shape

    def read_of(self, index: int) -> Box:
        """The region that a block read."""
        return self.blocks[index].grow(self.halo).clip(Box.of(self.shape))

    def neighbours(self, index: int) -> list[int]:
        """The blocks whose regions a block's own region shares voxels with, itself left out, in order."""
        return [j for j in self.blocks.touching(self.read_of(index).grow(self.halo)) if j != index]

    def put(self, what: str, index: int, value: Any) -> None:
        """Spool what a block has to say, old or new."""
        self.put_parts(what, index, {"": pickle.dumps(value, protocol=5)})

    def get(self, what: str, index: int) -> Any:
        """What the block spooled. The spool is this run's own, so reading it back is safe."""
        return pickle.loads(self.get_part(what, index, ""))

    def put_parts(self, what: str, index: int, parts: Mapping[str, bytes]) -> None:
        """Spool several things of a block, to be read back one by one."""
        write_parts(self._file(what, index), parts)

    def get_part(self, what: str, index: int, name: str) -> bytes:
        """One of the things that a block spooled; empty where there is none of this name."""
        return read_part(self._file(what, index), name)

    def _file(self, what: str, index: int) -> Path:
        # A thousand to a folder: file systems are slow with millions.
        return self.spool / what / str(index // 1000) / f"{index}.spool"


@dataclass(frozen=True, slots=True)
class Each:
    """A round of work done once per block, in workers."""

    name: str
    work: Callable[[int, Bench], None]


@dataclass(frozen=True, slots=True)
class Once:
    """A round of work done once, in the coordinator."""

    name: str
    work: Callable[[Bench], None]


Round: TypeAlias = Each | Once


class Merge(Protocol):
    """How answers become one layer."""

    pixels: ClassVar[bool]
    """Whether the layer is an image, which the sink makes."""

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Settle or spool one block's answer, in the worker."""
        ...

    def rounds(self) -> tuple[Round, ...]:
        """What is to be done when every block has been kept, in order."""
        ...

    def layer(self, bench: Bench) -> Layer:
        """The layer, when all rounds and the sink's tiers are done."""
        ...
