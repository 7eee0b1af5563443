"""Plates on disk against the records whose images lie on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from corpuscle.corpus.entry import Entry
from corpuscle.corpus.layout import Layout
from corpuscle.corpus.rules import picture
from corpuscle.corpus.rules.problem import Problem
from corpuscle.errors import FormatError
from corpuscle.formats import plates, vetted

_AGAIN = "build again: the plates are written anew from the records"


@dataclass(slots=True)
class Told:
    """What is wrong with the plates, and the files and layers of which nothing more need be said."""

    problems: set[Problem] = field(default_factory=set)
    explained: set[str] = field(default_factory=set)
    astray: set[str] = field(default_factory=set)
    """The folders of records whose groups are not where they lie."""

    def say(self, rule: str, place: str, message: str, *explained: str) -> None:
        """Note a problem, and what it explains: files, or folders with all that lies in them."""
        self.problems.add(Problem(rule, place, message, _AGAIN))
        self.explained |= {place, *explained}

    def explains(self, place: str) -> bool:
        """Whether this file, or a folder above it, is told of already."""
        parts = place.split("/")
        return any("/".join(parts[:i]) in self.explained for i in range(1, len(parts) + 1))


def check(layout: Layout, entries: Mapping[str, Entry]) -> Told:
    """Hold wells and fields of every plate against the records; `entries` are by the folder of the record."""
    told = Told()
    fields = {le.path: (f, e) for f, e in entries.items() for le in e.layers.values() if _is_field(le.path)}
    listed = {p: _plate(layout, p, told) for p in _plates(layout, fields)}
    for path, (folder, e) in sorted(fields.items(), key=lambda x: x[0]):
        plate, row, column, name = path.rsplit("/", 3)
        well = f"{row}/{column}"
        wells = listed[plate]
        wanted = layout.field(e.groups)
        if wanted is not None and layout.relative(wanted) != path:
            of = layout.relative(wanted)
            rule = "well-missing" if of.rsplit("/", 1)[0] != f"{plate}/{well}" else "field-missing"
            told.astray.add(folder)
            told.say(rule, f"{plate}/{well}", f"record {e.name!r} says that it is {of}, and lies in {path}")
            continue
        if wells is None:
            continue
        seal = f"{plate}/zarr.json"
        if well not in wells:
            told.say(
                "well-missing", f"{plate}/{well}", f"record {e.name!r} lies here, the plate has no such well", seal
            )
        elif (names := wells[well]) is not None and name not in names:
            about = f"{plate}/{well}/zarr.json"
            told.say("field-missing", path, f"record {e.name!r} lies here, the well has no such field", about)
    return told


def previews(layout: Layout) -> Iterator[str]:
    """Where the preview of each plate lies that says it has one."""
    for plate in sorted(layout.plates.glob("*.zarr")):
        try:
            ours = vetted.mapping(_attributes(layout, layout.relative(plate)).get("corpuscle", {}), "ours", plate)
            path = vetted.mapping(ours.get("preview", {}), "preview", plate).get("path")
            if path is not None:
                yield f"{layout.relative(plate)}/{vetted.inner_path(path, plate)}"
        except FormatError:
            continue


def preview(layout: Layout, place: str) -> list[Problem]:
    """The problems of the preview of a plate."""
    seen = picture.look(layout, place, None)
    picture.verify(seen, truth=False, split=frozenset())
    return seen.problems


def _is_field(path: str) -> bool:
    return path.startswith("plates/") and path.count("/") == 4


def _plates(layout: Layout, fields: Iterable[str]) -> list[str]:
    there = {layout.relative(p) for p in layout.plates.glob("*.zarr")}
    return sorted(there | {p.rsplit("/", 3)[0] for p in fields})


def _plate(layout: Layout, plate: str, told: Told) -> dict[str, tuple[str, ...] | None] | None:
    """The fields of each well that a plate lists; None for a well or plate that cannot be read."""
    if not (layout.root / plate).is_dir():
        told.say("well-missing", plate, "the whole plate is missing")
        return None
    try:
        about = plates.parse_plate(_attributes(layout, plate), where=plate)
    except FormatError as e:
        _unread(plate, e, told)
        return None
    out: dict[str, tuple[str, ...] | None] = {}
    for well in about.wells:
        place, row = f"{plate}/{well}", f"{plate}/{well.split('/')[0]}"
        out[well] = None
        if not (layout.root / place / "zarr.json").is_file():
            gone = () if (layout.root / row).is_dir() else (row,)
            told.say("well-missing", place, "the plate lists a well that is not there", *gone)
            continue
        try:
            out[well] = names = plates.parse_well(_attributes(layout, place), where=place)
        except FormatError as e:
            _unread(place, e, told)
            continue
        for name in names:
            if not (layout.root / place / name).is_dir():
                said = "the well lists a field that is not there"
                told.say("field-missing", f"{place}/{name}", said, f"{place}/zarr.json")
    return out


def _unread(place: str, e: FormatError, told: Told) -> None:
    rule = {"json-missing": "file-missing", "json-torn": "json-torn", "path-outside": "path-outside"}.get(e.rule)
    told.say(rule or "metadata-wrong", f"{place}/zarr.json", e.message)


def _attributes(layout: Layout, place: str) -> dict[str, Any]:
    folder = layout.root / place
    document = vetted.mapping(vetted.load(folder / "zarr.json"), "its metadata", place)
    return vetted.mapping(document.get("attributes"), "attributes", place)
