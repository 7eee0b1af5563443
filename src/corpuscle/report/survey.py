"""What a corpus holds, counted: layers, plates, pixel sizes, objects, brightness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Image, Layer, Table
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.entry import Entry, LayerEntry
from corpuscle.errors import CorpuscleError

READ = 1000
"""Of a larger corpus this many records, evenly spaced, are looked into for sizes and brightness."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer name: its kind, how many records have it, and what made it."""

    name: str
    kind: str
    records: int
    made_by: str
    settings: str


@dataclass(frozen=True, slots=True)
class Brightness:
    """The percentiles between which one channel of one record is stretched."""

    record: str
    channel: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What was found.

    Parameters
    ----------
    acquired
        The records that hold something from the raw files; the others hold what was computed of a group.
    looked
        Those of them that were looked into; the counts of `layers` and `wells` are over all.
    pixels, sizes
        How many of their own images have which pixel size (in words), and which shape and type.
    diameters
        Unit to the diameters of circles (balls) as large as each object.
    objects
        Record to its number of measured objects.
    wells
        Plate to well to its records.
    unread
        Records with a layer that could not be read, and why.
    """

    layers: tuple[LayerRow, ...]
    acquired: tuple[str, ...]
    looked: tuple[str, ...]
    pixels: Mapping[str, int]
    sizes: Mapping[str, int]
    diameters: Mapping[str, NDArray[np.float64]]
    objects: Mapping[str, int]
    brightness: tuple[Brightness, ...]
    wells: Mapping[str, Mapping[str, tuple[str, ...]]]
    unread: Mapping[str, str]


def survey(corpus: Corpus) -> Survey:
    """Look through a corpus, reading tables and headers but no pixels."""
    names = acquired(corpus.entries)
    looked = spread(names, READ)
    pixels: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    diameters: dict[str, list[NDArray[np.float64]]] = {}
    objects: dict[str, int] = {}
    brightness: list[Brightness] = []
    unread: dict[str, str] = {}
    for name in looked:
        entry = corpus.entries[name]
        own = next((n for n, x in entry.layers.items() if x.kind == "image" and not x.made.fingerprint), None)
        for layer in entry.layers:
            if layer not in (own, "objects", "intensity"):
                continue
            try:
                found = corpus.shelf.layer(entry, layer)
            except (CorpuscleError, OSError) as e:
                unread[name] = str(e)
                continue
            if isinstance(found, Image):
                pixels[pixel_size(found)] += 1
                sizes[f"{' x '.join(str(n) for n in found.shape)} {found.dtype}"] += 1
            elif isinstance(found, Table) and layer == "objects":
                objects[name] = len(found)
                _add_diameters(diameters, found)
            elif isinstance(found, Table):
                brightness += _brightness(name, found)
    joined = {unit: np.concatenate(parts) for unit, parts in diameters.items()}
    return Survey(
        layers(corpus.entries),
        tuple(names),
        tuple(looked),
        dict(pixels.most_common()),
        dict(sizes.most_common()),
        joined,
        objects,
        tuple(brightness),
        wells(corpus.entries),
        unread,
    )


def acquired(entries: Mapping[str, Entry]) -> list[str]:
    """The records with at least one layer that no step made."""
    return [n for n, e in entries.items() if e.acquired]


def spread(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of the names, evenly spaced.

    >>> spread("abcdef", 3)
    ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[i * len(names) // most] for i in range(most)]


def layers(entries: Mapping[str, Entry]) -> tuple[LayerRow, ...]:
    """One row per layer name, in the order in which records list them."""
    found: dict[str, list[LayerEntry]] = {}
    for entry in entries.values():
        for name, layer in entry.layers.items():
            found.setdefault(name, []).append(layer)
    rows = []
    for name, some in found.items():
        steps = {x.made.fingerprint: x.made.step for x in some}
        told = [_step(s) for mark, s in steps.items() if mark]
        made_by = " or ".join(dict.fromkeys(op for op, _ in told)) or "read from the raw files"
        settings = " or ".join(dict.fromkeys(p for _, p in told if p))
        rows.append(LayerRow(name, some[0].kind, len(some), made_by, settings))
    return tuple(rows)


def _step(step: Mapping[str, Any]) -> tuple[str, str]:
    """What made a layer and how it was set, from a record's history, in words.

    >>> _step({"op": {"name": "a.b:labelled", "with": {"method": {"name": "a.c:otsu", "with": {}}, "sigma": 1.0}}})
    ('labelled', 'method=otsu, sigma=1.0')
    """
    op = step.get("op")
    if not isinstance(op, Mapping):
        return "a step", ""
    bound = op.get("with")
    told = bound.items() if isinstance(bound, Mapping) else ()
    return _short(op), ", ".join(f"{k}={_short(v)}" for k, v in told)


def _short(value: object) -> str:
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"]).rpartition(":")[2]
    return str(value)


def wells(entries: Mapping[str, Entry]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The records of each well of each plate."""
    out: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, entry in entries.items():
        plate, well = entry.groups.get("plate"), entry.groups.get("well")
        if plate and well:
            of = out.setdefault(plate, {})
            of[well] = (*of.get(well, ()), name)
    return dict(sorted(out.items()))


def pixel_size(image: Layer) -> str:
    """The pixel size of an image in words."""
    if not isinstance(image, Image):
        return "none"
    known = [image.space.scale[i] for i in image.space.spatial]
    if any(s is None for s in known):
        return "unknown"
    alike = len({round(float(s), 9) for s in known if s is not None}) == 1
    shown = [f"{s:.4g}" for s in (known[:1] if alike else known)]
    return " x ".join(shown) + " µm"


def _add_diameters(diameters: dict[str, list[NDArray[np.float64]]], objects: Table) -> None:
    for column, power in (("area", 2), ("volume", 3)):
        if column in objects.columns:
            size = np.asarray(objects[column], np.float64)
            d = 2 * np.sqrt(size / np.pi) if power == 2 else np.cbrt(6 * size / np.pi)
            unit = objects.units.get(column, f"px{power}").removesuffix(str(power)).replace("um", "µm")
            diameters.setdefault(unit, []).append(d)
            return


def _brightness(name: str, table: Table) -> list[Brightness]:
    if not {"p_lo", "p_hi"} <= set(table.columns):
        return []
    channels = table.columns.get("channel", np.arange(len(table)))
    rows = zip(channels.tolist(), table["p_lo"].tolist(), table["p_hi"].tolist(), strict=True)
    return [Brightness(name, str(c), float(lo), float(hi)) for c, lo, hi in rows]
