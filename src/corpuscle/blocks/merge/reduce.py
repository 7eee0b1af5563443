"""For histograms, quantiles, measures of objects, borders: what blocks answer is folded into one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuscle.blocks.merge.bench import Answer, Bench, Round
from corpuscle.core import Layer


def _as_given(value: Any) -> Layer:
    layer: Layer = value
    return layer


@dataclass(frozen=True, slots=True)
class Reduce:
    """Fold answers in block order with an associative function.

    `fold` takes two answers and gives one; `finish` makes the layer of the last, and is given the output's space
    where it has a parameter called `space`. The fold goes by halves, so that answers that grow, such as a row for
    each object, are handled a few times each and not once per block.
    """

    pixels: ClassVar[bool] = False

    fold: Callable[[Any, Any], Any]
    finish: Callable[..., Layer] = field(default=_as_given)

    def keep(self, answer: Answer, bench: Bench) -> None:
        """Spool the answer as it is."""
        bench.put("answers", answer.index, answer.value)

    def rounds(self) -> tuple[Round, ...]:
        """Nothing is left to do in workers."""
        return ()

    def layer(self, bench: Bench) -> Layer:
        """Fold from the first block to the last."""
        held: list[tuple[int, Any]] = []  # as the digits of a binary counter: how many blocks, and their fold
        for i in range(len(bench.blocks)):
            size, value = 1, bench.get("answers", i)
            while held and held[-1][0] == size:
                size, value = 2 * size, self.fold(held.pop()[1], value)
            held.append((size, value))
        _, value = held.pop()
        while held:
            value = self.fold(held.pop()[1], value)
        return self.finish(value, space=bench.space) if _wants_space(self.finish) else self.finish(value)


def _wants_space(finish: Callable[..., Layer]) -> bool:
    import inspect

    return "space" in inspect.signature(finish).parameters
