"""Records that lie anywhere, worked on in a folder: for a notebook, a benchmark, a conversion, one big file."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from corpuscle.blocks.shelf import Made
from corpuscle.core import Graph, Image, Layer, Record, Shapes, Table
from corpuscle.core.layers import Opened
from corpuscle.errors import RecordMissing, StoreError
from corpuscle.formats import omezarr
from corpuscle.store import geff, parquet
from corpuscle.store.atomic import Staging, publish, read_json, write_bytes, write_json
from corpuscle.store.digest import of_bytes, of_layer

SUFFIX: Mapping[type[Any], str] = {Image: ".zarr", Graph: ".geff", Shapes: ".shapes.parquet", Table: ".parquet"}


@dataclass(frozen=True, slots=True)
class Scratch:
    """A shelf over one folder, which holds what steps make; what they begin with stays where it lies.

    It is a path and nothing more, so it crosses to any worker. Make one with `Scratch.of`.
    """

    folder: Path

    @classmethod
    def of(cls, folder: Path, *records: Record, digests: Mapping[str, str] | None = None) -> Scratch:
        """A shelf for these records, whose layers can be pickled: lazy images of files, or of a formula.

        `digests` says by ``record/layer`` what a layer's content is called, where reading all of it to take its
        digest is not worth the time. What was made here before from the same is left alone.
        """
        shelf = cls(folder)
        for record in records:
            home = shelf._home(record.name)
            home.mkdir(parents=True, exist_ok=True)
            known = {}
            for name, layer in record.layers.items():
                told = (digests or {}).get(f"{record.name}/{name}")
                known[name] = of_bytes(told.encode()) if told is not None else of_layer(layer)
            held = replace(record, layers=dict(record.layers))
            write_bytes(home / "source.pickle", pickle.dumps((held, known), protocol=5))
        return shelf

    def names(self) -> Sequence[str]:
        """Every record, by name."""
        return sorted(self._source(p)[0].name for p in self.folder.glob("*/source.pickle"))

    def record(self, name: str) -> Record:
        """The record, with the layers that were made here."""
        source, _ = self._source(self._home(name) / "source.pickle")
        made = self._made(name)
        names = (*source.layers, *(n for n in made if n not in source.layers))

        return replace(source, layers=Opened(names, partial(self._open, name, made, source.layers)))

    def made(self, name: str) -> Mapping[str, Made]:
        """How each layer came to be."""
        _, known = self._source(self._home(name) / "source.pickle")
        made = {n: Made(m["fingerprint"], m["inputs"], m["digest"]) for n, m in self._made(name).items()}
        return {n: Made("", {}, d) for n, d in known.items()} | made

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> None:
        """Settle layers of a record, then the note that lists them."""
        home, notes = self._home(record.name), self._made(record.name)
        staging = Staging(home / "staging")
        for n in layers:
            layer = record[n]
            final = home / (_safe(n) + SUFFIX[type(layer)])
            if adopt is not None:
                if adopt.exists() or not final.exists():  # else a run that was killed has moved it already
                    publish(adopt, final, trash=home / "staging")
            else:
                with staging.place(final) as aside:
                    write_layer(layer, aside, n)
            digest = made.digest or of_layer(layer)
            labels_of = layer.labels_of if isinstance(layer, Image) else None
            notes[n] = {
                "fingerprint": made.fingerprint,
                "inputs": dict(made.inputs),
                "digest": digest,
                "file": final.name,
                "labels_of": labels_of,
            }
        staging.sweep()
        if not (home / "source.pickle").exists():  # the record of a group, which no source brought
            bare = replace(record, layers={})
            write_bytes(home / "source.pickle", pickle.dumps((bare, {}), protocol=5))
        write_json(home / "made.json", notes)

    def workplace(self, name: str, layer: str) -> Path:
        """Under the record's own folder."""
        return self._home(name) / "work" / _safe(layer)

    def path(self, name: str, layer: str) -> Path:
        """Where a layer that was made here lies."""
        return self._home(name) / str(self._made(name)[layer]["file"])

    def _home(self, name: str) -> Path:
        return self.folder / _safe(name)

    def _made(self, name: str) -> dict[str, dict[str, Any]]:
        notes = self._home(name) / "made.json"
        return read_json(notes) if notes.exists() else {}

    def _source(self, path: Path) -> tuple[Record, dict[str, str]]:
        if not path.exists():
            raise RecordMissing(f"no record lies in {path.parent.name!r} here", where=self.folder)
        # Written by `of` on this machine: the folder is as much this program's own as its memory is.
        try:
            record, known = pickle.loads(path.read_bytes())
        except (AttributeError, ImportError) as e:
            fix = "run the program that made it, or import the module that its images are of"
            raise StoreError(f"what the record is read by is not here: {e}", where=path, fix=fix) from e
        return record, known

    def _open(self, name: str, made: Mapping[str, Mapping[str, Any]], source: Mapping[str, Layer], layer: str) -> Layer:
        if layer not in made:
            return source[layer]
        note = made[layer]
        path = self._home(name) / str(note["file"])
        match path.suffixes:
            case [*_, ".zarr"]:
                return replace(omezarr.read_image(path), labels_of=note["labels_of"])
            case [*_, ".geff"]:
                return geff.read(path)
            case [*_, ".shapes", ".parquet"]:
                return parquet.read_shapes(path)
            case _:
                return parquet.read_table(path)


def write_layer(layer: Layer, path: Path, name: str, *, source: str | None = None) -> None:
    """A layer in the format of its kind; `source` leads from labels to the image that they lie beneath."""
    match layer:
        case Image():
            omezarr.write(layer, path, name=name, source=source)
        case Graph():
            geff.write(layer, path)
        case Shapes():
            parquet.write_shapes(layer, path)
        case Table():
            parquet.write_table(layer, path)


def _safe(name: str) -> str:
    """A name as a file's: as it is where that is safe, and with a digest of it behind where it is not."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "@-_") else "_" for c in name)[:80]
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
