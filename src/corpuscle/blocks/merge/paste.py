"""For filters and nets: each block's own pixels are the output's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from corpuscle.blocks.merge.bench import Answer, Bench, Round
from corpuscle.core import Image


@dataclass(frozen=True, slots=True)
class Paste:
    """Cut the halo off each block and paste what is left."""

    pixels: ClassVar[bool] = True

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Write the block's own pixels."""
        pixels = answer.pixels[answer.own.inside(answer.read).slices]
        bench.sink.open(pixels.dtype)
        bench.sink.write(answer.own, pixels)

    def rounds(self) -> tuple[Round, ...]:
        """Nothing is left to do."""
        return ()

    def layer(self, bench: Bench) -> Image:
        """The image is complete already."""
        return bench.sink.image()
