"""A plate of .C01 and .DIB files, one record per field."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from corpuscle.core import Fact, Record
from corpuscle.core.plate import PlateName, parse
from corpuscle.errors import FormatError
from corpuscle.formats import c01

SUFFIXES = (".c01", ".dib")


@dataclass(slots=True)
class _Field:
    """The files of one field: channel to file, raw and overlay apart."""

    name: PlateName
    raw: dict[str, Path] = field(default_factory=dict)
    overlays: dict[str, Path] = field(default_factory=dict)


def plate(source: Path | Iterable[Path]) -> Iterator[Record | FormatError]:
    """All fields of the plates in a folder, or among some files; what is wrong comes as an error in the stream.

    One record for each plate, well and field, in that order, with the layers

    ``raw``
        (c, y, x) or (c, z, y, x): the d-files, in the order of their numbers, and never anything in
        place of one that is absent. It is keyed by name, so a gap moves nothing.
    ``vendor_overlay``
        The same of the o-files: outlines that the vendor's software found, which are no truth.

    A file without a well in its name is a record of its own, after the fields. Facts tell
    ``missing_channels`` (what other fields of the plate have and this one has not) and
    ``unreadable_channels``. Pixels are not read, and of each file only the header.

    Yielded errors: ``c01-duplicate`` (a second file for the same channel of the same field; the
    first in the order of names is kept), ``c01-odd`` (a channel of another shape or type than the
    first of its field; left out), ``c01-no-image`` (a field that has nothing but overlays), and
    whatever `c01.header` raises.
    """
    fields: dict[tuple[str, str, str | None], _Field] = {}
    singles: list[Path] = []
    for path in _files(source):
        name = parse(path.name)
        if name is None:
            singles.append(path)
            continue
        site = fields.setdefault((name.plate, name.well, name.field), _Field(name))
        kept = site.overlays if name.overlay else site.raw
        channel = name.channel or "d0"
        if (twin := kept.setdefault(channel, path)) is not path:
            yield FormatError(
                f"a second file for channel {channel} of this field; {twin.name!r} is kept",
                where=path,
                fix="remove one of them",
                rule="c01-duplicate",
            )
    known: defaultdict[str, set[str]] = defaultdict(set)
    for (plate_name, _, _), site in fields.items():
        known[plate_name].update(site.raw)
    for key in sorted(fields, key=lambda k: (k[0], k[1], _number(k[2]))):
        yield from _record(fields[key], known[key[0]])
    for path in singles:
        try:
            yield c01.read(path)
        except FormatError as e:
            yield e


def _files(source: Path | Iterable[Path]) -> Iterator[Path]:
    """In the order of file names, whatever the folder they lie in."""
    if isinstance(source, Path):
        found = [Path(top, f) for top, _, files in os.walk(source) for f in files if f.lower().endswith(SUFFIXES)]
    else:
        found = list(source)
    yield from sorted(found, key=lambda p: (p.name, str(p)))


def _record(site: _Field, known: set[str]) -> Iterator[Record | FormatError]:
    layers, facts, unreadable = {}, {}, set[str]()
    for layer, files in (("raw", site.raw), ("vendor_overlay", site.overlays)):
        found: dict[str, tuple[Path, c01.Header]] = {}
        for channel in sorted(files, key=_number):
            try:
                head = c01.header(files[channel])
                _same(head, files[channel], [h for _, h in found.values()])
            except FormatError as e:
                unreadable.add(channel)
                yield e
            else:
                found[channel] = (files[channel], head)
        if found:
            layers[layer] = c01.stack(list(found.values()), *found)
    if "raw" not in layers:
        if not unreadable & set(site.raw):
            yield FormatError(
                f"only overlay files here: {sorted(p.name for p in site.overlays.values())}",
                where=site.name.site,
                fix="bring the d-files of this field",
                rule="c01-no-image",
            )
        return
    facts = {"bits": Fact(8 * layers["raw"].dtype.itemsize)}
    if missing := known - set(site.raw):
        facts["missing_channels"] = Fact(",".join(sorted(missing, key=_number)), source="computed")
    if unreadable:
        facts["unreadable_channels"] = Fact(",".join(sorted(unreadable, key=_number)), source="computed")
    yield Record(site.name.site, site.name.groups, layers, facts)


def _same(head: c01.Header, path: Path, others: list[c01.Header]) -> None:
    if others and (head.shape, head.dtype) != (others[0].shape, others[0].dtype):
        first = others[0]
        raise FormatError(
            f"{head.dtype} of shape {head.shape} among channels of {first.dtype} of shape {first.shape}",
            where=path,
            fix="export the channels of a field alike",
            rule="c01-odd",
        )


def _number(name: str | None) -> int:
    """The number in f00, d1 or o1; before all of them where there is none."""
    return int(name[1:]) if name else -1
