"""The JSON of one record: what it is called, what is known of it, where its layers lie, how they were made."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from corpuscle.blocks.shelf import Made
from corpuscle.core import Affine, Fact, Transform
from corpuscle.corpus.layout import FORMAT
from corpuscle.errors import CorpusError, StoreError
from corpuscle.formats.place import Place
from corpuscle.store.atomic import read_json, write_json
from corpuscle.store.digest import of_json

PROVENANCE = ("source", "source_sha256")
KINDS = ("image", "labels", "graph", "shapes", "table")


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One layer on disk.

    `seal` holds the SHA-256 of the small files (metadata, tables) that no chunk checksum guards,
    by path within the layer.
    """

    kind: str
    path: str
    digest: str
    labels_of: str | None = None
    made: Made = field(default_factory=lambda: Made("", {}))
    seal: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record on disk."""

    name: str
    slug: str
    groups: Mapping[str, str]
    facts: Mapping[str, Fact]
    layers: Mapping[str, LayerEntry]
    frames: tuple[Transform, ...] = ()

    @property
    def acquired(self) -> bool:
        """Whether something of it came from raw files; a group's record holds only what steps made of others."""
        return any(not x.made.fingerprint for x in self.layers.values())

    @property
    def digest(self) -> str:
        """Over name, groups, facts and the ingested layers: what was put in, not what was made of it.

        From which file it came is no part of it, so a folder and a zip of the same images are one corpus.
        """
        return of_json(
            {
                "name": self.name,
                "groups": list(self.groups.items()),
                "facts": {k: asdict(v) for k, v in self.facts.items() if k not in PROVENANCE},
                "layers": {k: v.digest for k, v in self.layers.items() if not v.made.fingerprint},
                "frames": [_frame(f) for f in self.frames],
            }
        )

    def write(self, path: Path) -> None:
        """Put it under `path`, old or new, with a checksum over itself."""
        body = {
            "format": FORMAT,
            "name": self.name,
            "slug": self.slug,
            "groups": list(self.groups.items()),
            "facts": {k: asdict(v) for k, v in self.facts.items()},
            "layers": {k: _layer(v) for k, v in self.layers.items()},
            "frames": [_frame(f) for f in self.frames],
            "digest": self.digest,
        }
        write_json(path, body | {"checksum": checksum(body)})


def checksum(body: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON value, keys sorted, without its own checksum."""
    rest = {k: v for k, v in body.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def read(path: Path) -> Entry:
    """The entry in a record file; a CorpusError that says what is wrong with it."""
    return vet(read_json(path), path)


def vet(body: object, path: Place) -> Entry:
    """The entry in what a record file holds, its checksum held against it; a CorpusError where it is not sound."""
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise CorpusError("is not a record of this format", where=path, rule="record-format")
    if body.get("checksum") != checksum(body):
        raise CorpusError("was changed since it was written", where=path, rule="record-checksum", fix="build again")
    return parse(body, path)


def parse(body: Mapping[str, Any], path: Place) -> Entry:
    """The entry in a parsed record file, whatever its checksum says."""
    try:
        return Entry(
            str(body["name"]),
            str(body["slug"]),
            {str(k): str(v) for k, v in body["groups"]},
            {k: Fact(**v) for k, v in body["facts"].items()},
            {k: _entry(v) for k, v in body["layers"].items()},
            tuple(Affine(f["source"], f["target"], f["matrix"]) for f in body["frames"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise CorpusError(f"lacks or misstates {e}", where=path, rule="record-fields") from e


def try_read(path: Path) -> Entry | None:
    """The entry, or None where there is no sound one: then the record is made anew."""
    try:
        return read(path)
    except (CorpusError, StoreError):
        return None


def _layer(entry: LayerEntry) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": entry.kind, "path": entry.path, "digest": entry.digest, "seal": dict(entry.seal)}
    if entry.labels_of is not None:
        out["labels_of"] = entry.labels_of
    if entry.made.fingerprint:
        m = entry.made
        out["history"] = {"fingerprint": m.fingerprint, "inputs": dict(m.inputs), **m.step}
    return out


def _entry(body: Mapping[str, Any]) -> LayerEntry:
    if body["kind"] not in KINDS:
        raise ValueError(f"kind {body['kind']!r}")
    h = dict(body.get("history", {}))
    digest = str(body["digest"])
    made = Made(h.pop("fingerprint", ""), h.pop("inputs", {}), digest, _step(json.dumps(h)))
    seal = {sys.intern(str(k)): str(v) for k, v in body["seal"].items()}
    return LayerEntry(sys.intern(body["kind"]), str(body["path"]), digest, body.get("labels_of"), made, seal)


@lru_cache(maxsize=256)
def _step(text: str) -> Mapping[str, Any]:
    """The history that many records share, held once."""
    step: Mapping[str, Any] = json.loads(text)
    return step


def _frame(transform: Transform) -> dict[str, Any]:
    if not isinstance(transform, Affine):
        raise CorpusError("a displacement is kept as a layer, and named by an affine", rule="frame-kind")
    return {"source": transform.source, "target": transform.target, "matrix": transform.matrix.tolist()}
