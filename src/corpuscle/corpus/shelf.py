"""Records of a corpus as steps see them: read lazily, settled old or new."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from corpuscle.blocks.scratch import write_layer
from corpuscle.blocks.shelf import Made
from corpuscle.core import Image, Layer, Record
from corpuscle.core.layers import Opened
from corpuscle.corpus import entry as entries
from corpuscle.corpus.entry import Entry, LayerEntry
from corpuscle.corpus.layout import RECORD, Layout, kind, layer_slug, slug
from corpuscle.errors import CorpuscleError, CorpusError, RecordMissing
from corpuscle.formats import omezarr
from corpuscle.store import digest, geff, parquet
from corpuscle.store.atomic import Staging, publish, remove, sweep_parts
from corpuscle.store.ledger import beside

SMALL = 256 * 2**20


@dataclass(frozen=True, slots=True)
class DiskShelf:
    """The records of the corpus at `root`. It is a path and nothing more, so it crosses to any worker."""

    root: Path

    @property
    def layout(self) -> Layout:
        """Where things lie."""
        return Layout(self.root)

    def names(self) -> list[str]:
        """Every record, by name."""
        return sorted(e.name for e in self.entries())

    def entries(self) -> list[Entry]:
        """Every sound record file; `check` tells of the others."""
        paths = sorted(self.layout.records.glob(f"??/*/{RECORD}"))
        return [e for p in paths if (e := entries.try_read(p)) is not None]

    def entry(self, name: str) -> Entry:
        """The record's own file."""
        path = self.layout.record(name) / RECORD
        if not path.exists():
            raise RecordMissing(f"no record {name!r} here", where=self.root)
        return _entry(path, path.stat().st_mtime_ns)

    def record(self, name: str) -> Record:
        """The record with lazy layers."""
        e = self.entry(name)
        return Record(e.name, e.groups, Opened(tuple(e.layers), partial(self.layer, e)), e.facts, e.frames)

    def layer(self, e: Entry, name: str) -> Layer:
        """One layer of a record, lazily where it is large."""
        le = e.layers[name]
        path = self.layout.inside(le.path)
        if path is None:
            raise CorpusError(f"layer {name!r} leads out of the corpus: {le.path!r}", where=e.name, rule="path-outside")
        match le.kind:
            case "image" | "labels":
                return replace(omezarr.read_image(path), labels_of=le.labels_of)
            case "graph":
                return geff.read(path)
            case "shapes":
                return parquet.read_shapes(path)
            case _:
                return parquet.read_table(path)

    def made(self, name: str) -> Mapping[str, Made]:
        """How each layer of a record came to be."""
        return {n: le.made for n, le in self.entry(name).layers.items()}

    def has(self, name: str) -> bool:
        """Whether there is a sound record of this name."""
        return entries.try_read(self.layout.record(name) / RECORD) is not None

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> None:
        """Settle these layers, then the record file that lists them.

        All of them are made ready first, so a layer that cannot be read or written leaves the old
        record as it was; and a kill in between leaves the old record file.
        """
        home = self.layout.record(record.name)
        old = entries.try_read(home / RECORD)
        known: dict[str, LayerEntry] = dict(old.layers) if old else {}
        ready: list[tuple[Path, Path]] = []
        staging = Staging(self.layout.staging)
        try:
            for name in layers:
                aside = adopt or staging.new()
                known[name] = self._ready(record, name, made, known, aside, written=adopt is not None)
                final = self.root / known[name].path
                if adopt is None or adopt.exists():  # else a run that was killed has moved it already
                    ready.append((aside, final))
            if held := sorted(set(record.layers) - set(known)):
                raise CorpusError(f"layers {held} were never settled", where=record.name)
            for aside, final in ready:
                staging.root.mkdir(parents=True, exist_ok=True)
                publish(aside, final, trash=staging.root)
        finally:
            for aside, _ in ready if adopt is None else ():
                remove(aside)
        order = {n: known[n] for n in record.layers if n in known}
        self._list_labels(order)
        e = Entry(record.name, slug(record.name), dict(record.groups), dict(record.facts), order, record.frames)
        home.mkdir(parents=True, exist_ok=True)
        sweep_parts(home, *(self.root / le.path / "labels" for le in order.values() if le.kind == "image"))
        e.write(home / RECORD)
        if old:
            self._remove_replaced(old, e)

    def drop(self, name: str) -> None:
        """Take a record out of the corpus with its layers; its file goes first, so a kill leaves none half there."""
        e = self.entry(name)
        home = self.layout.record(name)
        remove(home / RECORD)
        for le in e.layers.values():
            if (path := self.layout.inside(le.path)) is not None:
                remove(path)
        remove(home)

    def workplace(self, name: str, layer: str) -> Path:
        """Work in progress lies beside the corpus, not in it."""
        return beside(self.root) / "work" / slug(name) / layer_slug(layer, "")

    def _ready(
        self, record: Record, name: str, made: Made, known: Mapping[str, LayerEntry], aside: Path, *, written: bool
    ) -> LayerEntry:
        """Write a layer aside, unless it is `written` there already, and say where it will lie."""
        layer = record.layers[name]
        labels_of = layer.labels_of if isinstance(layer, Image) else None
        parent = known.get(labels_of) if labels_of else None
        above = self.layout.inside(parent.path) if parent else None
        path = self.layout.place(record, name, made.fingerprint, above)
        try:
            if not written:
                layer = _in_memory(layer)
                write_layer(layer, aside, name, source=None if parent is None else "../../")
            sum_ = made.digest or digest.of_layer(layer if written or _small(layer) else _back(layer, aside))
            seal = _seal(path if written and not aside.exists() else aside)
        except BaseException as e:
            if not written:
                remove(aside)
            if isinstance(e, CorpuscleError) and str(self.layout.staging) in e.where:
                raise type(e)(e.message, where=f"{record.name}/{name}", fix=e.fix, rule=e.rule) from e
            raise
        return LayerEntry(kind(layer), self.layout.relative(path), sum_, labels_of, replace(made, digest=sum_), seal)

    def _list_labels(self, layers: Mapping[str, LayerEntry]) -> None:
        """Keep the list of labels that each image carries, and drop folders that no layer owns any more."""
        for name, le in layers.items():
            if le.kind != "image":
                continue
            folder = self.root / le.path / "labels"
            own = [self.root / x.path for x in layers.values() if x.kind == "labels" and x.labels_of == name]
            listed = sorted(p.name for p in own if p.parent == folder)
            if not listed:
                remove(folder)
                continue
            for left in folder.iterdir():
                if left.is_dir() and left.name not in listed:
                    shutil.rmtree(left, ignore_errors=True)
            omezarr.list_labels(self.root / le.path)

    def _remove_replaced(self, old: Entry, new: Entry) -> None:
        kept = {le.path for le in new.layers.values()}
        for le in old.layers.values():
            path = self.layout.inside(le.path)
            if le.path not in kept and path is not None and path.exists():
                remove(path)


@lru_cache(maxsize=64)
def _entry(path: Path, changed: int) -> Entry:
    del changed
    return entries.read(path)


def _small(layer: Layer) -> bool:
    return not isinstance(layer, Image) or layer.nbytes <= SMALL


def _in_memory(layer: Layer) -> Layer:
    """A small image read once, so that writing and digesting do not read its source twice."""
    if isinstance(layer, Image) and _small(layer):
        return replace(layer, array=layer.read())
    return layer


def _back(layer: Layer, path: Path) -> Layer:
    """A large image as it now stands on disk: its digest then also proves that it can be read back."""
    assert isinstance(layer, Image), "only images are large"
    return replace(omezarr.read_image(path), labels_of=layer.labels_of)


def _seal(path: Path) -> dict[str, str]:
    """SHA-256 of the small files of a layer, by path within it; the name of a single file is ''."""
    if path.is_file():
        return {"": hashlib.sha256(path.read_bytes()).hexdigest()}
    files = sorted(p for p in path.rglob("zarr.json") if "labels" not in p.relative_to(path).parts)
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
