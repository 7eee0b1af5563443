"""Which record belongs to which part: splits read from a file, and splits of our own that never part a group."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from corpuscle.corpus.balance import balance
from corpuscle.errors import FormatError, SettingsError, StoreError

THIRDS: Final[Mapping[str, float]] = {"train": 0.6, "dev": 0.2, "test": 0.2}
NAME_COLUMNS: Final = ("name", "record", "image", "file", "filename")
PART_COLUMNS: Final = ("part", "split", "set", "subset")
BYTES_MOST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a data set under one scheme (``published``, ``ours``), each a tuple of record names.

    A name in two parts is kept, for an audit to find; `part_of` gives all of them.

    >>> s = Split("ours", {"train": ("a", "b"), "test": ("c",)})
    >>> s.sizes, s.part_of("c")
    ({'train': 2, 'test': 1}, ('test',))
    """

    scheme: str
    parts: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.scheme:
            raise SettingsError("a split has a scheme", fix="name it", rule="split-scheme")
        object.__setattr__(self, "parts", {part: tuple(names) for part, names in self.parts.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once, in the order of the parts."""
        return tuple(dict.fromkeys(name for names in self.parts.values() for name in names))

    @property
    def sizes(self) -> dict[str, int]:
        """How many records each part has."""
        return {part: len(names) for part, names in self.parts.items()}

    def part_of(self, name: str) -> tuple[str, ...]:
        """The parts that hold a record: one, as a rule; none if it is not in the split."""
        return tuple(part for part, names in self.parts.items() if name in names)


def read_split(path: str | Path, *, scheme: str = "published") -> Split:
    """The split in a file: JSON ``{part: [names]}`` or ``{name: part}``, or CSV or TSV with a name and a part column.

    Columns may be called name, record, image, file or filename, and part, split, set or subset. Raises FormatError,
    with the rule in brackets, where the file is not text [split-text], too large [split-size], neither form
    [split-form], empty [split-empty], or names a record twice in one part [split-twice]; StoreError where it cannot be
    read at all. A record in two parts is no error here but a leak, and stays.
    """
    path = Path(path)
    try:
        if path.stat().st_size > BYTES_MOST:
            raise FormatError(
                f"a split of more than {BYTES_MOST >> 20} MB", where=path, fix="name the split file", rule="split-size"
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as e:
        raise StoreError(
            f"the split cannot be read: {e.strerror}",
            where=path,
            fix="name a split file",
            rule="split-unread",
            asked=True,
        ) from e
    except UnicodeDecodeError as e:
        raise FormatError(f"not UTF-8 text: {e}", where=path, rule="split-text", fix="save it as UTF-8") from e
    rows = _json_rows(text, path) if text.lstrip()[:1] in ("{", "[") else _table_rows(text, path)
    parts: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for part, name in rows:
        if name is None:
            parts.setdefault(part, [])
            continue
        if not name or not part:
            raise FormatError(
                "a record or a part without a name", where=path, fix="give both a name", rule="split-form"
            )
        if (part, name) in seen:
            fix = "name each record once"
            raise FormatError(f"{name!r} is twice in part {part!r}", where=path, fix=fix, rule="split-twice")
        seen.add((part, name))
        parts.setdefault(part, []).append(name)
    if not seen:
        raise FormatError("the split names no record", where=path, fix="name a record in each part", rule="split-empty")
    return Split(scheme, {part: tuple(names) for part, names in parts.items()})


def by_group(
    records: Mapping[str, str],
    *,
    fractions: Mapping[str, float] = THIRDS,
    seed: int = 0,
    strata: Mapping[str, str] | None = None,
    scheme: str = "ours",
) -> Split:
    """A split that never parts a group, as near to the fractions as whole groups allow.

    What is guaranteed: every record is in exactly one part, and all records of a group are in the same; the order of
    `records` does not matter; no part is empty; no exchange of two groups, and no move of one, brings the sizes
    nearer to their targets. With ten groups or more, of at most five records each, the sizes were within two of the
    target in every trial. Another seed gives another split, where groups of a size leave a choice.

    Parameters
    ----------
    records
        The group of each record, by its full name: ``Record.group("well")``.
    fractions
        The share of records that each part should get, in proportion; they need not add up to 1.
    strata
        A class per record (a treatment, a count of objects), whose shares are levelled over the parts as a second aim.

    Raises SettingsError for fewer groups than parts, or fractions that are not positive.

    >>> by_group({"a1": "a", "a2": "a", "b1": "b", "c1": "c"}, fractions={"train": 2, "test": 2}).sizes
    {'train': 2, 'test': 2}
    """
    share = _shares(fractions)
    groups = _grouped(records)
    if len(groups) < len(share):
        raise SettingsError(
            f"{len(share)} parts cannot be made of {len(groups)} groups",
            fix="split by a narrower group, or ask for fewer parts",
            rule="split-groups",
        )
    classes = sorted({(strata or {}).get(name, "") for name in records})
    column = {c: i + 1 for i, c in enumerate(classes)}
    sizes = np.zeros((len(groups), len(classes) + 1))
    for i, names in enumerate(groups.values()):
        sizes[i, 0] = len(names)
        for name in names:
            sizes[i, column[(strata or {}).get(name, "")]] += 1
    total = sizes.sum(axis=0)
    target = np.outer(list(share.values()), total)
    target[:, 0] = _rounded(target[:, 0])
    where = balance(sizes, target, np.argsort(np.array([_draw(seed, g) for g in groups], np.uint64), kind="stable"))
    parts: dict[str, list[str]] = {part: [] for part in share}
    for i, names in zip(where.tolist(), groups.values(), strict=True):
        parts[list(share)[i]] += names
    return Split(scheme, {part: tuple(sorted(names)) for part, names in parts.items()})


def stable(
    records: Mapping[str, str], *, fractions: Mapping[str, float] = THIRDS, seed: int = 0, scheme: str = "ours-stable"
) -> Split:
    """A split that never parts a group and in which a group never moves, whatever is added or taken away later.

    Each group draws its part by a hash of seed and name, so the sizes meet the fractions on average only: use
    `by_group` for a data set that is complete, this one for a data set that grows.
    """
    share = _shares(fractions)
    edges = np.cumsum(list(share.values()))
    parts: dict[str, list[str]] = {part: [] for part in share}
    for group, names in _grouped(records).items():
        drawn = int(np.searchsorted(edges, _draw(seed, group) / 2**64, side="right"))
        parts[list(share)[min(drawn, len(share) - 1)]] += names
    return Split(scheme, {part: tuple(sorted(names)) for part, names in parts.items()})


def folds(
    records: Mapping[str, str],
    k: int = 5,
    *,
    seed: int = 0,
    strata: Mapping[str, str] | None = None,
    scheme: str = "ours",
) -> tuple[Split, ...]:
    """Cross-validation by group: k splits into train and test, each record in test exactly once.

    >>> [f.sizes for f in folds({"a": "1", "b": "1", "c": "2"}, 2)]
    [{'train': 1, 'test': 2}, {'train': 2, 'test': 1}]
    """
    if k < 2:
        raise SettingsError(f"{k} folds: it takes two at least", fix="ask for two or more", rule="split-folds")
    level = by_group(records, fractions={str(i): 1 for i in range(k)}, seed=seed, strata=strata)
    made = []
    for held in level.parts:
        rest = sorted(n for part, names in level.parts.items() if part != held for n in names)
        made.append(Split(f"{scheme}-fold{int(held) + 1}of{k}", {"train": tuple(rest), "test": level.parts[held]}))
    return tuple(made)


def parted(split: Split, records: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The groups that a split cuts, each with the parts that it lies in; records unknown to it are left out.

    >>> parted(Split("s", {"train": ("a1",), "test": ("a2", "b1")}), {"a1": "a", "a2": "a", "b1": "b"})
    {'a': ('train', 'test')}
    """
    found: dict[str, dict[str, None]] = {}
    for part, names in split.parts.items():
        for name in names:
            if name in records:
                found.setdefault(records[name], {})[part] = None
    return {group: tuple(parts) for group, parts in sorted(found.items()) if len(parts) > 1}


def _json_rows(text: str, path: Path) -> list[tuple[str, str | None]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [k for k, n in Counter(k for k, _ in pairs).items() if n > 1]
        if twice:
            raise FormatError(
                f"the key {twice[0]!r} is there twice", where=path, fix="give each key once", rule="split-twice"
            )
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as e:
        if isinstance(e, FormatError):
            raise
        raise FormatError(f"not JSON: {e}", where=path, fix="mend the file", rule="split-form") from e
    if isinstance(data, dict) and data and all(isinstance(v, str) for v in data.values()):
        return [(part, name) for name, part in data.items()]
    if not isinstance(data, dict) or not all(
        isinstance(v, list) and all(isinstance(n, str) for n in v) for v in data.values()
    ):
        fix = 'write {"train": ["name", ...], "test": [...]}'
        raise FormatError("not a mapping of parts to lists of names", where=path, fix=fix, rule="split-form")
    # A part with no names is still a part.
    return [(part, n) for part, names in data.items() for n in (names or [None])]


def _table_rows(text: str, path: Path) -> list[tuple[str, str | None]]:
    first = text.lstrip().partition("\n")[0]
    rows = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter="\t" if "\t" in first else ",")
    try:
        head = [c.strip().lower() for c in next(rows, [])]
        at_name = next((head.index(c) for c in NAME_COLUMNS if c in head), None)
        at_part = next((head.index(c) for c in PART_COLUMNS if c in head), None)
        if not first.strip():
            raise FormatError(
                "the split names no record", where=path, fix="name a record in each part", rule="split-empty"
            )
        if at_name is None or at_part is None:
            raise FormatError(
                f"neither JSON nor a table with a name and a part column, but columns {head[:8]}",
                where=path,
                fix="give it a first line 'name,part'",
                rule="split-form",
            )
        found: list[tuple[str, str | None]] = []
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) <= max(at_name, at_part):
                raise FormatError(
                    f"line {rows.line_num} has {len(row)} columns", where=path, fix="mend the line", rule="split-form"
                )
            found.append((row[at_part].strip(), row[at_name].strip()))
    except csv.Error as e:
        raise FormatError(f"not a table: {e}", where=path, fix="mend the file", rule="split-form") from e
    return found


def _shares(fractions: Mapping[str, float]) -> dict[str, float]:
    if not fractions or not all(0 < f < float("inf") for f in fractions.values()):
        raise SettingsError(
            f"each part has a positive share, not {dict(fractions)}", fix="give it one", rule="split-fractions"
        )
    whole = sum(fractions.values())
    return {part: f / whole for part, f in fractions.items()}


def _grouped(records: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(records):
        groups.setdefault(records[name], []).append(name)
    return dict(sorted(groups.items()))


def _draw(seed: int, group: str) -> int:
    """A number below 2**64 that only seed and name decide, the same on every machine."""
    text = f"{seed}\x00{group}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _rounded(target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers of the same sum, by largest remainder."""
    low = np.floor(target + 1e-9)
    short = round(float(target.sum() - low.sum()))
    low[np.argsort(low - target, kind="stable")[:short]] += 1
    return low
