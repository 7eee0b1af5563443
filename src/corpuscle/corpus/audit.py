"""What leaks between the parts of a split: names, groups, overlapping fields, copies of one image."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from corpuscle.core import Box
from corpuscle.core.plate import parse
from corpuscle.corpus.split import Split
from corpuscle.errors import SettingsError

if TYPE_CHECKING:
    from corpuscle.corpus.duplicates import Match

Severity: TypeAlias = Literal["critical", "serious", "minor"]

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "serious", "minor")
"""The same pixels on both sides; the same specimen on both sides; only the same batch on both sides."""

BATCHES: Final = frozenset(
    {
        "study",
        "dataset",
        "source",
        "site",
        "lab",
        "microscope",
        "screen",
        "experiment",
        "batch",
        "session",
        "day",
        "plate",
    }
)
"""Groups so wide that sharing one is common practice: it flatters a score, but does not void it."""


@dataclass(frozen=True, slots=True)
class Item:
    """What an audit needs to know of a record.

    `groups` runs widest first (plate, well, field; animal, organ, block). `box` is the extent of its field, in any
    unit that is the same throughout `frame`, a name such as ``"p1/A01 stage"``; both None where it is not known.
    """

    name: str
    groups: Mapping[str, str] = field(default_factory=dict)
    box: Box | None = None
    frame: str | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that two or more parts share.

    `kind` is ``name``, ``duplicate``, ``overlap``, ``adjacent``, or the level of the group (``well``, ``plate``,
    ``animal``); `value` is the full name of what is shared (``plate/well``, or the names of the records);
    `records` holds, for each of its parts, the records concerned.
    """

    kind: str
    value: str
    records: Mapping[str, tuple[str, ...]]
    severity: Severity
    advice: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that share it, in the order of the split."""
        return tuple(self.records)

    @property
    def message(self) -> str:
        """The finding in plain words.

        >>> Leak("well", "p1/A08", {"train": ("a",), "dev": ("b", "c")}, "serious", "").message
        'well p1/A08 is in train (1 record) and dev (2 records)'
        >>> Leak("duplicate", "a, b", {"train": ("a", "b")}, "minor", "").message
        'copies of one image, a, b, are in train (2 records)'
        """
        counts = [f"{p} ({len(n)} record{'s' * (len(n) > 1)})" for p, n in self.records.items()]
        said = {
            "duplicate": f"copies of one image, {self.value}, are",
            "overlap": f"overlapping fields, {self.value}, are",
            "adjacent": f"fields that touch, {self.value}, are",
            "name": f"record {self.value} is",
        }.get(self.kind, f"{self.kind} {self.value} is")
        return f"{said} in {' and '.join([', '.join(counts[:-1]), counts[-1]] if counts[1:] else counts)}"

    def as_json(self) -> dict[str, Any]:
        """Plain data, for machines."""
        records = {part: list(names) for part, names in self.records.items()}
        return {
            "kind": self.kind,
            "value": self.value,
            "parts": list(self.parts),
            "records": records,
            "severity": self.severity,
            "message": self.message,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Oddity:
    """A record whose field number does not fit the layout of the others."""

    name: str
    value: str
    message: str


def audit(split: Split, items: Mapping[str, Item], *, duplicates: Iterable[Match] = ()) -> tuple[Leak, ...]:
    """Everything that the parts of a split share, the worst first.

    Records of the split that `items` lacks are audited by their names (see `placed`). A group is told from its
    namesakes by the groups before it: well I12 of another plate is another well. Where a well is shared its plate is
    too, and both are reported. Copies count wherever their records lie, in the split as in `duplicates`.
    """
    known, _ = placed(split, items)
    leaks = [*_names(split), *_groups(split, known), *_copies(split, duplicates), *_neighbours(split, known)]
    return tuple(sorted(leaks, key=lambda k: (SEVERITIES.index(k.severity), k.kind, _natural(k.value))))


def placed(split: Split, items: Mapping[str, Item]) -> tuple[dict[str, Item], tuple[str, ...]]:
    """An item for every name of the split that can be placed, and the names that cannot be.

    A name that `items` lacks is read as a plate's file name: the record may be absent, yet its well is known.

    >>> found, lost = placed(Split("s", {"test": ("p1_A08f02d0", "cat")}), {})
    >>> dict(found["p1_A08f02d0"].groups), lost
    ({'plate': 'p1', 'well': 'A08', 'field': 'f02'}, ('cat',))
    """
    found: dict[str, Item] = {}
    lost = []
    for name in split.names:
        if name in items:
            found[name] = items[name]
        elif told := parse(name):
            found[name] = Item(name, told.groups)
        else:
            lost.append(name)
    return found, tuple(lost)


def clean(split: Split, leaks: Iterable[Leak], *, least: Severity = "serious", first: str = "train") -> Split:
    """What is left to score on: each part without the records that leak into it from an earlier one.

    The part called `first` comes first whatever its place, and stays as it is, so that a model trained on the published
    split need not be trained again: its scores on the published and on the audited split are computed from the same
    guesses and stand side by side. The others follow in the order of the split; of a leak between dev and test, test
    loses. Leaks milder than `least` drop nothing: without shared plates nothing would be left of most data sets.
    The scheme gets ``-audited`` appended. A part may come out empty.
    """
    if least not in SEVERITIES:
        raise SettingsError(f"no severity {least!r}", fix=f"one of {', '.join(SEVERITIES)}", rule="audit-severity")
    order = sorted(split.parts, key=lambda part: part != first)
    counted = SEVERITIES[: SEVERITIES.index(least) + 1]
    dropped: dict[str, set[str]] = {part: set() for part in split.parts}
    for leak in leaks:
        if leak.severity in counted:
            for part in sorted(leak.parts, key=order.index)[1:]:
                dropped[part].update(leak.records[part])
    kept = {part: tuple(n for n in names if n not in dropped[part]) for part, names in split.parts.items()}
    return Split(f"{split.scheme}-audited", kept)


def oddities(items: Mapping[str, Item], *, fields: int | None = None, level: str = "field") -> tuple[Oddity, ...]:
    """Records whose field number lies beyond the layout of their plate.

    The layout has `fields` fields numbered from zero; left out, it is the smallest square that holds nine in ten of
    the records, and with fewer than ten records none is inferred. Such a field was imaged under another protocol, or
    its file was renamed: its neighbours, and so its overlaps, cannot be told from its number.
    """
    numbers: dict[str, int] = {}
    for name, item in items.items():
        digits = re.search(r"[0-9]+$", item.groups.get(level, ""))
        if digits and len(digits[0]) < 9:
            numbers[name] = int(digits[0])
    if fields is None:
        if len(numbers) < 10:
            return ()
        side = math.isqrt(sorted(numbers.values())[math.ceil(0.9 * len(numbers)) - 1]) + 1
        fields = side * side
    side = math.isqrt(fields)
    layout = f"{side} x {side}" if side * side == fields else str(fields)
    return tuple(
        Oddity(name, value := items[name].groups[level], f"field {value} lies beyond the {layout} fields of the others")
        for name, n in numbers.items()
        if n >= fields
    )


def _names(split: Split) -> Iterator[Leak]:
    for name, held in _places(split).items():
        if len(held) > 1:
            records = {part: (name,) for part in split.parts if part in held}
            yield Leak("name", name, records, "critical", "keep it in one part")


def _groups(split: Split, known: Mapping[str, Item]) -> Iterator[Leak]:
    members: dict[tuple[str, tuple[str, ...]], dict[str, list[str]]] = {}
    for part, names in split.parts.items():
        for name in dict.fromkeys(names):
            path: tuple[str, ...] = ()
            for level, value in known[name].groups.items() if name in known else ():
                path = (*path, value)
                members.setdefault((level, path), {}).setdefault(part, []).append(name)
    for (level, path), by_part in members.items():
        # One record in two parts shares its groups with itself; that is told by its name.
        if len(by_part) > 1 and len({n for names in by_part.values() for n in names}) > 1:
            batch = level in BATCHES
            advice = (
                f"scores do not tell how it fares on another {level}; hold one back to find out"
                if batch
                else f"keep each {level} in one part, or leave these records out of the score"
            )
            records = {part: tuple(names) for part, names in by_part.items()}
            yield Leak(level, "/".join(path), records, "minor" if batch else "serious", advice)


def _copies(split: Split, duplicates: Iterable[Match]) -> Iterator[Leak]:
    where = _places(split)
    for match in duplicates:
        names = {match.a, match.b}
        if records := _across(split, where, names):
            how = "to the pixel" if match.exact else f"{match.transform}, score {match.score:.2f}"
            advice = f"keep one of them ({how})"
            yield Leak("duplicate", " and ".join(sorted(names)), records, "critical", advice)


def _neighbours(split: Split, known: Mapping[str, Item]) -> Iterator[Leak]:
    """Pairs of fields in two parts that overlap, or touch, by a sweep along the first axis of each frame."""
    where = _places(split)
    frames: dict[tuple[str, int], list[tuple[Box, str]]] = {}
    for name, item in known.items():
        if item.box is not None and item.frame is not None and item.box.size:
            frames.setdefault((item.frame, len(item.box.start)), []).append((item.box, name))
    for boxes in frames.values():
        live: list[tuple[Box, str]] = []
        for box, name in sorted(boxes, key=lambda b: (b[0], b[1])):
            live = [(other, its) for other, its in live if other.stop[0] >= box.start[0]]
            for other, its in live:
                gaps = [
                    max(a, b) - min(c, d)
                    for a, b, c, d in zip(box.start, other.start, box.stop, other.stop, strict=True)
                ]
                records = _across(split, where, {name, its}) if max(gaps) <= 0 else {}
                if not records:
                    continue
                value = " and ".join(sorted((name, its)))
                if max(gaps) < 0:
                    yield Leak("overlap", value, records, "critical", "keep fields that overlap in one part")
                else:
                    yield Leak(
                        "adjacent", value, records, "serious", "objects on the border are in both: keep one part"
                    )
            live.append((box, name))


def _places(split: Split) -> dict[str, set[str]]:
    where: dict[str, set[str]] = {}
    for part, names in split.parts.items():
        for name in names:
            where.setdefault(name, set()).add(part)
    return where


def _across(split: Split, where: Mapping[str, set[str]], names: set[str]) -> dict[str, tuple[str, ...]]:
    """The records by part, where two different ones lie in different parts; else empty."""
    present = sorted(n for n in names if n in where)
    parts = {p for n in present for p in where[n]}
    if len(present) < 2 or len(parts) < 2:
        return {}
    return {p: tuple(n for n in present if p in where[n]) for p in split.parts if p in parts}


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Numbers in order of size: f2 before f10."""
    pieces = re.split(r"([0-9]{1,18})", text)
    return tuple((p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces)
