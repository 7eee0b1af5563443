"""Steps over the records of a group: a flat field from all wells, heights to a kidney, days to a series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.passes import blocks_of
from corpuscle.blocks.progress import Receipt
from corpuscle.blocks.shelf import Made, Shelf
from corpuscle.blocks.step import Across, Blockwise, applies, reads
from corpuscle.blocks.whole import SMALL, Did, call, history, is_made
from corpuscle.core import Image, Layer, Record
from corpuscle.store.digest import of_json

FORMULA = "formula of "


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one group, in the order of their names."""

    name: str
    groups: Mapping[str, str]
    members: tuple[str, ...]


def groups(step: Across, shelf: Shelf, names: Sequence[str]) -> list[Group]:
    """The groups of the records that the step is for; a record outside any group of this kind is left out."""
    found: dict[str, list[str]] = {}
    above: dict[str, dict[str, str]] = {}
    for name in names:
        record = shelf.record(name)
        if step.by in record.groups and applies(step, record):
            key = f"{step.by}:{record.group(step.by)}"
            found.setdefault(key, []).append(name)
            upto = list(record.groups).index(step.by) + 1
            above[key] = dict(list(record.groups.items())[:upto])
    return [Group(k, above[k], tuple(sorted(v))) for k, v in sorted(found.items())]


def run_group(step: Across, mark: str, shelf: Shelf, group: Group) -> Did:
    """Make the layer of one group, unless it is made already from these very inputs.

    An answer that is a large image which nobody has computed yet is handed back unmade, as the one
    value of `Did.left`, for `write_formula`: its blocks are work for the whole engine.
    """
    inputs = {
        n: of_json([[m, shelf.made(m)[n].digest] for m in group.members if n in shelf.made(m)]) for n in reads(step)
    }
    if group.name in shelf.names():
        record = shelf.record(group.name)
        made = dict(shelf.made(group.name))
        for n, digest in inputs.items():
            made[n] = Made("", {}, digest)
        if is_made(record, step, mark, made):
            return Did(skipped=1)
    else:
        record = Record(group.name, group.groups)
    answers = call(step, [_each(shelf, group, n) for n in reads(step)], group.name)
    told = history(step, mark, inputs)
    for n, layer in answers.items():
        if isinstance(layer, Image) and layer.nbytes > SMALL and not isinstance(layer.array, np.ndarray):
            return Did(left=Formula(record, n, layer, told))
        record = record.with_layer(n, layer)
    shelf.put(record, list(answers), told)
    return Did(made=1)


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A layer of a group's record whose pixels are still to be computed, wherever they are asked for."""

    record: Record
    layer: str
    image: Image
    made: Made


def write_formula(formula: Formula, shelf: Shelf, conditions: Conditions) -> Receipt:
    """Compute and write such a layer block by block on the engine, resumable as any Blockwise step is."""
    source, image = FORMULA + formula.layer, formula.image
    step = Blockwise(same, source, formula.layer, axes="".join(image.space.axes), labels_of=image.labels_of)
    lent = Lent(shelf, formula, source)
    return blocks_of(step, formula.made.fingerprint, lent, lent.record(formula.record.name), conditions)


def same(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The pixels as they are."""
    return pixels


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """A shelf on which a group's record seems to have the layer that is still a formula."""

    shelf: Shelf
    formula: Formula
    source: str

    def names(self) -> Sequence[str]:
        """Those of the shelf beneath."""
        return self.shelf.names()

    def record(self, name: str) -> Record:
        """The group's record."""
        return self.formula.record.with_layer(self.source, self.formula.image)

    def made(self, name: str) -> Mapping[str, Made]:
        """The formula is called by what it is made from."""
        known = dict(self.shelf.made(name)) if name in self.shelf.names() else {}
        told = self.formula.made
        return known | {self.source: Made("", {}, of_json([told.fingerprint, dict(told.inputs)]))}

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> None:
        """Settle the layer as one that the Across step made."""
        told = replace(self.formula.made, digest=made.digest)
        self.shelf.put(record.without([self.source]), layers, told, adopt=adopt)

    def workplace(self, name: str, layer: str) -> Path:
        """That of the shelf beneath."""
        return self.shelf.workplace(name, layer)


def _each(shelf: Shelf, group: Group, layer: str) -> Iterator[Layer]:
    for name in group.members:
        yield shelf.record(name)[layer]
