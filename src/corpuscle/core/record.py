"""One acquisition, with everything known about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypeVar

from corpuscle.core.graph import Graph
from corpuscle.core.image import Image
from corpuscle.core.layers import Opened
from corpuscle.core.shapes import Shapes
from corpuscle.core.table import Table
from corpuscle.core.transform import Transform
from corpuscle.errors import LayerError, LayerMissing

Layer: TypeAlias = Image | Graph | Shapes | Table
Value: TypeAlias = str | int | float | bool | None
L = TypeVar("L", Image, Graph, Shapes, Table)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known, in what unit, and who says so."""

    value: Value
    unit: str | None = None
    source: Literal["file", "computed", "person", "assumed"] = "file"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Named layers over one acquisition.

    Parameters
    ----------
    name
        As the source called it. It may hold anything; on disk it gets a slug.
    groups
        What it belongs to, widest first: ``{"plate": "p1", "well": "B03", "field": "f02"}``.
        A group is told from its namesakes by the ones before it, so well B03 of two plates is
        two groups: see `group`.
    layers
        The truth is ``nuclei``; a guess at it is ``nuclei@unet``.
    facts
        What else is known.
    frames
        Transforms between the frames that the layers name.

    >>> Record("p1_B03f02", {"plate": "p1", "well": "B03", "field": "f02"}).group("well")
    'p1/B03'
    """

    name: str
    groups: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, Layer] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    frames: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise LayerError("a record has a name", rule="record-name")

    def group(self, level: str) -> str:
        """The full name of a group; for a level that the record has not, its own name.

        A record that says nothing of its plate is a plate of its own: nothing then parts it from
        itself, and it never joins a stranger.
        """
        if level not in self.groups:
            return self.name
        names = []
        for key, value in self.groups.items():
            names.append(value)
            if key == level:
                break
        return "/".join(names)

    def __getitem__(self, name: str) -> Layer:
        """The layer of this name, whatever its kind."""
        try:
            return self.layers[name]
        except KeyError:
            raise LayerMissing(f"no layer {name!r} here, only {list(self.layers)}", where=self.name) from None

    def image(self, name: str) -> Image:
        """The image layer of this name."""
        return self._layer(name, Image)

    def graph(self, name: str) -> Graph:
        """The graph layer of this name."""
        return self._layer(name, Graph)

    def table(self, name: str) -> Table:
        """The table layer of this name."""
        return self._layer(name, Table)

    def shapes(self, name: str) -> Shapes:
        """The shapes layer of this name."""
        return self._layer(name, Shapes)

    def with_layer(self, name: str, layer: Layer) -> Record:
        """The record with one layer more, or another in its place."""
        held = self.layers
        return replace(self, layers=held.plus(name, layer) if isinstance(held, Opened) else {**held, name: layer})

    def without(self, names: Collection[str]) -> Record:
        """The record without some of its layers; none is opened for it."""
        kept = tuple(n for n in self.layers if n not in names)
        return replace(self, layers=Opened(kept, self.layers.__getitem__))

    def with_facts(self, **facts: Fact) -> Record:
        """The record with more facts."""
        return replace(self, facts={**self.facts, **facts})

    def _layer(self, name: str, kind: type[L]) -> L:
        layer = self.layers.get(name)
        if not isinstance(layer, kind):
            what = kind.__name__
            has = [k for k, v in self.layers.items() if isinstance(v, kind)]
            raise LayerMissing(f"no {what} {name!r} here, only {has}", where=self.name)
        return layer


def truth_of(layer: str) -> str:
    """The truth that a guess is about; a truth is about itself.

    >>> truth_of("nuclei@otsu"), truth_of("nuclei")
    ('nuclei', 'nuclei')
    """
    return layer.split("@", 1)[0]
