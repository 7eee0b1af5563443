"""What the study must say before anybody relies on it: no placeholder, and a licence that is one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from corpuscle.corpus.rules.problem import Problem

# A selection of the SPDX list: what data sets, annotations and code of research come under.
LICENCES = frozenset(
    {f"CC-BY{kind}-{v}" for kind in ("", "-SA", "-NC", "-ND", "-NC-SA", "-NC-ND") for v in ("2.0", "2.5", "3.0", "4.0")}
    | {f"{n}-{v}" for n in ("GPL", "LGPL", "AGPL") for v in ("2.0-only", "2.0-or-later", "3.0-only", "3.0-or-later")}
    | {"CC0-1.0", "CC-PDDC", "CC-PDM-1.0", "PDDL-1.0", "ODC-By-1.0", "ODbL-1.0", "O-UDA-1.0", "C-UDA-1.0"}
    | {"CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "OGL-UK-2.0", "OGL-UK-3.0", "etalab-2.0"}
    | {"DL-DE-BY-2.0", "DL-DE-ZERO-2.0", "NLOD-2.0", "GFDL-1.3-only", "GFDL-1.3-or-later", "LAL-1.3", "EUPL-1.2"}
    | {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "ISC", "Zlib", "BSL-1.0", "MPL-2.0"}
    | {"Unlicense", "Artistic-2.0", "EPL-2.0", "CECILL-2.1", "CECILL-B", "CECILL-C", "WTFPL", "NCSA"}
)

_WHOLE = re.compile(
    r"x+|\?+|-+|\.+|_+|todo|tbd|tbc|tba|fixme|n/?a|none|null|nil|unknown|untitled|placeholder|example|sample|test|"
    r"foo|bar|baz|asdf|string|title|description|name|author|text|changeme|change me|0000-0000-0000-0000",
    re.IGNORECASE,
)
_WITHIN = re.compile(
    r"\b(?:todo|tbd|tbc|fixme|10\.x{2,}|x{4,}|lorem ipsum|dolor sit amet|placeholder)\b|"
    r"\byour (?:name|title|e-?mail|lab|institution|orcid)\b|"
    r"\b(?:to be (?:determined|announced|added|filled in|completed))\b|\binsert [\w ]{1,40} here\b|"
    r"\bexample\.(?:com|org|net)\b|\b(?:john|jane) doe\b|<[a-z][a-z _-]*>|\{\{.*\}\}|\[(?:insert|your|add)\b",
    re.IGNORECASE,
)
_EXES = re.compile(r"\bX{3,}\b")


def placeholder(text: str) -> bool:
    """Whether a text stands for one that somebody meant to write.

    >>> placeholder("TODO"), placeholder("Stained with XXX"), placeholder("X-ray tomography"), placeholder(" ")
    (True, True, False, True)
    """
    text = text.strip()
    return not text or bool(_WHOLE.fullmatch(text) or _WITHIN.search(text) or _EXES.search(text))


def known(spdx: str, source: str) -> bool:
    """Whether this names a licence: one of `LICENCES`, several joined, or a LicenseRef with its text.

    NOASSERTION, with the reason as its source, is SPDX's way to say that nobody stated one: it is no lack of the
    corpus, though nothing under it can be published.

    >>> known("CC-BY-4.0", ""), known("CC-BY", ""), known("MIT OR Apache-2.0", ""), known("unknown", "assumed")
    (True, False, True, False)
    """
    if spdx == "NOASSERTION":
        return bool(source.strip()) and not placeholder(source)
    terms = re.split(r"\s+(?:AND|OR)\s+", spdx.strip("() "))
    return all(t in LICENCES or (bool(re.fullmatch(r"LicenseRef-[\w.-]+", t)) and bool(source.strip())) for t in terms)


def study(body: Mapping[str, Any], place: str, *, parts: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with a study, as it stands in JSON; `parts` are those of the corpus that need a licence."""
    for where, text in _texts(body, "study"):
        optional = not text.strip() and where != "study.title"
        if not optional and placeholder(text) and not where.endswith(".spdx"):
            said = f"{where} is {text[:80]!r}" if text.strip() else f"{where} is empty"
            yield Problem("study-placeholder", place, said, "say what it is, in the recipe's study, and build again")
    fix = "state the SPDX identifier of the licence in the recipe's study, and build again"
    licences = body.get("licences", {})
    for part, licence in licences.items():
        spdx = licence["spdx"]
        if not known(spdx or "", licence.get("source", "")):
            yield Problem(
                "licence-unknown", place, f"the licence of {part} is {spdx if spdx is None else spdx[:80]!r}", fix
            )
    for part in parts:
        if part not in licences:
            yield Problem("licence-missing", place, f"no licence is stated for {part}", fix)


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for k, v in value.items():
            yield from _texts(v, f"{where}.{k}")
    elif isinstance(value, list | tuple):
        for i, v in enumerate(value):
            yield from _texts(v, f"{where}[{i}]")
