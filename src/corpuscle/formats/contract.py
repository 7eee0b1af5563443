"""What every file format offers, and the values that pass through its door.

A format is a module with

``NAME``
    Its one word in the table of formats.
``sniff(path) -> bool``
    Whether the file looks like one of its own, by content and never by name. Reads a few KB, imports
    nothing heavy, and says no, rather than raise, to anything it cannot read.
``scenes(path) -> tuple[Scene, ...]``
    What is inside, from headers alone.
``read(path, scene=None) -> Record``
    One scene as a record. None asks for the only scene, and is an error (rule ``scene-ambiguous``)
    where there are several. Arrays are lazy and picklable and hold no file open, so a record can be
    sent to another process and read there.
``write(layer, path, ...) -> tuple[Loss, ...]``, where people expect their data back
    Writes whole or not at all, and returns what the format could not keep: writing then reading is
    the identity, or exactly these losses. What it cannot hold at all is a FormatError.

Each raises `FormatError` with a rule of its own for whatever is wrong with a file, within bounded time
and memory: what a header claims is held against the length of the file before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from corpuscle.core import Fact, Image, Layer, Record
from corpuscle.core.plate import parse
from corpuscle.errors import FormatError


@dataclass(frozen=True, slots=True)
class Scene:
    """One image inside a file, told without reading its pixels.

    Parameters
    ----------
    name
        What `read` wants to hear, unique within the file.
    axes, shape, dtype
        Those of its main layer.
    layer
        The name that the layer gets in the record: ``raw``, ``labels``, ...
    scale
        Micrometres or seconds per index along each axis, None where unknown.
    channels
        Names along c, where they are known.
    facts
        Whatever else the headers say.
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    layer: str = "raw"
    scale: tuple[float | None, ...] = ()
    channels: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, image: Image, *, layer: str = "raw", facts: Mapping[str, Fact] | None = None) -> Scene:
        """The scene whose main layer is this image."""
        names = tuple(c.name for c in image.channels)
        space = image.space
        return cls(name, space.axes, image.shape, image.dtype, layer, space.scale, names, dict(facts or {}))


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that writing could not keep.

    `what` names the part (``scale``, ``origin``, ``channels``, ``dtype``, ...), `count` how many of
    its values were lost, `items` which, in words.
    """

    what: str
    count: int
    items: tuple[str, ...] = ()


class Reader(Protocol):
    """A format module, as the table of formats uses it."""

    def sniff(self, path: Path) -> bool:
        """Whether the content looks like one of its own."""
        ...

    def scenes(self, path: Path) -> tuple[Scene, ...]:
        """What is inside."""
        ...

    def read(self, path: Path, scene: str | None = None) -> Record:
        """One scene, lazily."""
        ...


class Writer(Protocol):
    """A format module that also writes."""

    def write(self, layer: Layer, path: Path) -> tuple[Loss, ...]:
        """Write whole or not at all, and say what was lost."""
        ...


def pick(scenes: tuple[str, ...], scene: str | None, *, where: str | Path) -> int:
    """Index of the scene asked for; FormatError where there is no such scene, or several and none was named."""
    if scene is None and len(scenes) == 1:
        return 0
    if scene in scenes:
        return scenes.index(scene)
    some = ", ".join(repr(s) for s in scenes[:5]) + (", ..." if len(scenes) > 5 else "")
    if scene is None:
        raise FormatError(
            f"{len(scenes)} scenes in here, and none was named",
            where=where,
            fix=f"name one: {some}",
            rule="scene-ambiguous",
            asked=True,
        )
    raise FormatError(
        f"no scene {scene!r}, only {some}", where=where, fix="name one of these", rule="scene-missing", asked=True
    )


def named(path: Path) -> tuple[str, dict[str, str]]:
    """The name of the record that a file holds, and the groups that the name tells."""
    found = parse(path.name)
    return path.stem or path.name, found.groups if found else {}


def image_of(layer: Layer, *, format: str, path: Path) -> Image:
    """The layer, where it is an image; FormatError where it is not."""
    if isinstance(layer, Image):
        return layer
    raise FormatError(
        f"{format} holds images, not {layer!r}",
        where=path,
        fix="write graphs as GEFF, and shapes and tables as Parquet",
        rule=f"{format}-layer",
    )


def lost(image: Image, *, keeps: Collection[str]) -> tuple[Loss, ...]:
    """What a format that keeps only the parts named in `keeps` loses of an image.

    >>> from corpuscle.core import Space
    >>> lost(Image(np.zeros((2, 2)), Space("yx", scale=(0.5, 0.5))), keeps=())
    (Loss(what='scale', count=2, items=('y 0.5', 'x 0.5')),)
    """
    space = image.space
    told: dict[str, tuple[str, ...]] = {
        "scale": tuple(f"{a} {s:g}" for a, s in zip(space.axes, space.scale, strict=True) if s is not None),
        "origin": tuple(f"{a} {o:g}" for a, o in zip(space.axes, space.origin, strict=True) if o),
        "times": () if space.times is None else tuple(f"{t:g}" for t in space.times),
        "binning": tuple(f"{a} {b:g}" for a, b in zip(space.axes, space.binning, strict=True) if b != 1),
        "frame": () if space.frame == "image" else (space.frame,),
        "channels": tuple(c.name for c in image.channels),
        "labels_of": () if image.labels_of is None else (image.labels_of,),
        "levels": tuple(str(level.shape) for level in image.levels),
    }
    return tuple(Loss(what, len(items), items) for what, items in told.items() if items and what not in keeps)
