"""Where records live while steps run over them: on disk as a corpus, or in memory for a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from corpuscle.core import Record


@dataclass(frozen=True, slots=True)
class Made:
    """How a layer came to be: the fingerprint of its step, the digests of what it was made from, its own digest."""

    fingerprint: str
    inputs: Mapping[str, str]
    digest: str = ""
    step: Mapping[str, Any] = field(default_factory=dict)


class Shelf(Protocol):
    """Records by name. It crosses to worker processes, so it is small, can be hashed and can be pickled."""

    def __hash__(self) -> int: ...

    def names(self) -> Sequence[str]:
        """Every record, in one order that does not depend on how they came."""
        ...

    def record(self, name: str) -> Record:
        """The record with lazy layers."""
        ...

    def made(self, name: str) -> Mapping[str, Made]:
        """How each layer of a record came to be; a layer that was ingested has an empty fingerprint."""
        ...

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> None:
        """Settle these layers of the record, old or new; `adopt` is a finished store to move rather than copy.

        One that is not there was moved by a run that was killed before it could say so, and is where it belongs.

        Where `made` knows the digest of what it made already, nothing is read again to take it.
        """
        ...

    def workplace(self, name: str, layer: str) -> Path:
        """A folder for work in progress on a layer, which outlives a kill, on the same disk."""
        ...
