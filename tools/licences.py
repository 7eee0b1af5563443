"""The licence gate: nothing that corpuscle needs to run may be under the GPL or AGPL.

LGPL is allowed where somebody asks for it by an extra, never in the base install. What counts is what a
distribution says of itself: its License-Expression, else its classifiers, else its License field. One that
says nothing clear fails until somebody has looked, and has written the answer into `LOOKED_UP`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: Final = Path(__file__).resolve().parents[1] / "pyproject.toml"
SHIPPED: Final = ("report",)
"""Extras that must be installed for the gate to pass; the others are judged as far as they are."""

LOOKED_UP: Final[Mapping[str, tuple[str, str]]] = {}
"""What a person found out about distributions whose metadata does not say it, and where."""


class Kind(IntEnum):
    """How much a licence asks of whoever passes the work on; higher asks more."""

    PERMISSIVE = 0
    LIBRARY = 1
    UNCLEAR = 2
    STRONG = 3


PERMISSIVE: Final = re.compile(
    r"(0BSD|AFL-.+|Apache-.+|Artistic-2\.0|BlueOak-.+|BSD-.+|BSL-1\.0|bzip2-.+|CC0-.+|CDDL-.+|CNRI-.+|curl|FTL|FreeBSD|"
    r"HPND.*|IJG|ISC|libpng.*|libtiff|MIT(-.+)?|MPL-2\.0|NCSA|OFL-.+|PSF-.+|Python-.+|Unicode-.+|Unlicense|Zlib|ZPL-.+)",
    re.IGNORECASE,
)
LENIENT: Final = re.compile(
    r"(GCC|Classpath|Bootloader|Autoconf|Bison|LLVM|Font|Libtool|Linux-syscall|u-boot)-.*", re.IGNORECASE
)
"""Exceptions that let a work link, or be made with, the excepted one under any terms."""

NAMES: Final = (
    (r"affero|\bagpl", Kind.STRONG),
    (r"lesser general public|library general public|\blgpl", Kind.LIBRARY),
    (r"general public licen[cs]e|\bgpl", Kind.STRONG),
    (r"\bmit\b|\bbsd\b|apache|\bisc\b|python software foundation|\bpsf\b|mozilla public|\bmpl\b|zlib|public domain|"
     r"unlicense|historical permission|\bzpl\b|boost software", Kind.PERMISSIVE),
)  # fmt: skip
"""Words in the order in which they decide: an LGPL names the GPL too."""

GRANTS: Final = re.compile(
    r"redistribution and use in source and binary forms|permission is hereby granted, free of charge", re.IGNORECASE
)
GPL: Final = re.compile(r"gnu (affero )?general public licen[cs]e|\ba?gpl-?v?[23]", re.IGNORECASE)
EXCEPTED: Final = re.compile(r"gcc[ -](runtime library )?exception|gcc runtime library", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A distribution that the gate does not let pass."""

    name: str
    said: str
    kind: Kind
    because: str

    def __str__(self) -> str:
        return f"{self.name}: {self.said!r} is {self.kind.name.lower()}, needed by {self.because}"


def expression(text: str) -> Kind:
    """The kind of an SPDX expression: of OR the easier side, of AND the harder, an exception taken into account.

    >>> expression("GPL-3.0-or-later WITH GCC-exception-3.1"), expression("MIT OR GPL-2.0-only")
    (<Kind.PERMISSIVE: 0>, <Kind.PERMISSIVE: 0>)
    >>> expression("BSD-3-Clause AND (LGPL-2.1-only OR AGPL-3.0-only)")
    <Kind.LIBRARY: 1>
    """
    tokens = re.findall(r"\(|\)|[^\s()]+", text)

    def either() -> Kind:
        kind = both()
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            kind = min(kind, both())
        return kind

    def both() -> Kind:
        kind = one()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            kind = max(kind, one())
        return kind

    def one() -> Kind:
        word = tokens.pop(0) if tokens else ""
        if word == "(":
            kind = either()
            if tokens[:1] == [")"]:
                tokens.pop(0)
            return kind
        kind = _identifier(word)
        if len(tokens) > 1 and tokens[0].upper() == "WITH":
            exception = tokens[1]
            del tokens[:2]
            return Kind.PERMISSIVE if LENIENT.fullmatch(exception) and kind != Kind.UNCLEAR else kind
        return kind

    kind = either()
    return Kind.UNCLEAR if tokens and kind < Kind.UNCLEAR else kind


def _identifier(word: str) -> Kind:
    if re.match(r"(A?GPL)-", word, re.IGNORECASE):
        return Kind.PERMISSIVE if re.search(r"with-GCC-exception", word, re.IGNORECASE) else Kind.STRONG
    if re.match(r"LGPL-", word, re.IGNORECASE):
        return Kind.LIBRARY
    return Kind.PERMISSIVE if PERMISSIVE.fullmatch(word) else Kind.UNCLEAR


def words(text: str) -> Kind:
    """The kind of a licence called by name, as classifiers and License fields do it.

    >>> words("GNU Lesser General Public License v3 (LGPLv3)"), words("BSD License"), words("see LICENSE")
    (<Kind.LIBRARY: 1>, <Kind.PERMISSIVE: 0>, <Kind.UNCLEAR: 2>)
    """
    low = text.lower()
    return next((kind for pattern, kind in NAMES if re.search(pattern, low)), Kind.UNCLEAR)


def page(text: str, *, named: bool) -> Kind:
    """The kind of a License field that holds whole licence texts.

    The first of them is the package's own, unless it is `named` elsewhere. Wheels of numpy and scipy carry
    libgfortran, whose GPL has the GCC runtime exception: a GPL further down is unclear unless that exception
    stands there too.
    """
    own = Kind.PERMISSIVE if named or GRANTS.search(text[:2000]) else words(text[:400])
    bundled = Kind.UNCLEAR if GPL.search(text) and not EXCEPTED.search(text) else Kind.PERMISSIVE
    return max(own, bundled)


def judge(found: Distribution) -> tuple[Kind, str]:
    """What a distribution is under, and where it says so."""
    name = canonicalize_name(found.metadata["Name"])
    if name in LOOKED_UP:
        said, _ = LOOKED_UP[name]
        return expression(said), said
    if said := _field(found, "License-Expression"):
        return expression(said), said
    classifiers = [c.rsplit("::", 1)[-1].strip() for c in found.metadata.get_all("Classifier") or []
                   if c.startswith("License ::")]  # fmt: skip
    classifiers = [c for c in classifiers if c != "OSI Approved"]
    text = _field(found, "License").strip()
    long = len(text) > 120 or "\n" in text
    kinds = [words(c) for c in classifiers]
    if long:
        kinds.append(page(text, named=bool(classifiers)))
    elif not classifiers:
        kinds.append(expression(text) if expression(text) != Kind.UNCLEAR else words(text))
    said = ", ".join(classifiers) or " ".join(text[:60].split()) or "nothing"
    return max(kinds, default=Kind.UNCLEAR), said


def _field(found: Distribution, name: str) -> str:
    return str((found.metadata.get_all(name) or [""])[0])


def closure(requirements: Iterable[str], *, because: str) -> Iterator[tuple[Distribution, str]]:
    """Every installed distribution that these requirements lead to, with what asked for it first.

    Markers are evaluated for this interpreter. Raises PackageNotFoundError for one that should be here and is not.
    """
    todo = [(Requirement(r), because) for r in requirements]
    seen: set[tuple[str, str]] = set()
    told: set[str] = set()
    while todo:
        wanted, asker = todo.pop(0)
        name = canonicalize_name(wanted.name)
        extras = {"", *wanted.extras}
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        fresh = {e for e in extras if (name, e) not in seen}
        if not fresh:
            continue
        seen |= {(name, e) for e in fresh}
        found = distribution(name)
        if name not in told:
            told.add(name)
            yield found, asker
        for line in found.requires or []:
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in fresh):
                below.marker = None
                todo.append((below, name))


def findings(base: Iterable[str], extras: Mapping[str, Iterable[str]]) -> list[Finding]:
    """What does not pass: in the base anything but permissive, in an extra anything harder than the LGPL."""
    bad = []
    for found, asker in closure(base, because="the base install"):
        kind, said = judge(found)
        if kind > Kind.PERMISSIVE:
            bad.append(Finding(found.metadata["Name"], said, kind, asker))
    for extra, wanted in extras.items():
        for found, asker in closure(wanted, because=f"the extra {extra}"):
            kind, said = judge(found)
            if kind > Kind.LIBRARY:
                bad.append(Finding(found.metadata["Name"], said, kind, asker))
    return list(dict.fromkeys(bad))


def ours() -> tuple[list[str], dict[str, list[str]]]:
    """Base and extras as pyproject.toml has them; extras that are neither shipped nor installed are left out."""
    with PROJECT.open("rb") as f:
        project = tomllib.load(f)["project"]
    extras = {
        name: wanted
        for name, wanted in project["optional-dependencies"].items()
        if name in SHIPPED or (name != "all" and _installed(wanted))
    }
    return project["dependencies"], extras


def _installed(wanted: Iterable[str]) -> bool:
    for line in wanted:
        try:
            distribution(Requirement(line).name)
        except PackageNotFoundError:
            return False
    return True


def main() -> int:
    """Say what does not pass; 1 where anything does not."""
    base, extras = ours()
    bad = findings(base, extras)
    for finding in bad:
        sys.stderr.write(f"{finding}\n")
    total = len({f.metadata["Name"] for f, _ in closure([*base, *(r for x in extras.values() for r in x)], because="")})
    sys.stdout.write(f"licences: {total} distributions looked at, {len(bad)} not allowed\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
