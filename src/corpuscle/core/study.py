"""The one metadata record of a data set, from which every archive's form is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Person:
    """An author or contact."""

    name: str
    orcid: str | None = None
    email: str | None = None
    affiliation: str | None = None


@dataclass(frozen=True, slots=True)
class Licence:
    """Under what terms a part may be used: an SPDX id, and where that is stated."""

    spdx: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """What a reader of the published data set should know.

    `licences` names a part (``images``, ``annotations``, ``code``) and its terms; a part that
    nobody has licensed is absent, and `check` says so.

    >>> Study("Nuclei", "Stained nuclei on plates", licences={"images": Licence("CC0-1.0")}).licences["images"].spdx
    'CC0-1.0'
    """

    title: str
    description: str = ""
    authors: tuple[Person, ...] = ()
    contacts: tuple[Person, ...] = ()
    licences: Mapping[str, Licence] = field(default_factory=dict)
    organisms: tuple[str, ...] = ()
    specimen: str = ""
    modality: str = ""
    stains: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    cite: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    known_issues: tuple[str, ...] = ()
