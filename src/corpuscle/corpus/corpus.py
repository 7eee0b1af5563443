"""A corpus on disk, as a person holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from corpuscle.blocks.shelf import Made
from corpuscle.core import Image, Layer, Licence, Person, Record, Study, Table, truth_of
from corpuscle.corpus.afar import AnyShelf, FarEntries, FarShelf, read_only, table
from corpuscle.corpus.entry import Entry, checksum
from corpuscle.corpus.layout import CORPUS, FORMAT, SPLITS, Layout
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.corpus.split import Split
from corpuscle.errors import CorpusError, RecordMissing, SettingsError, StoreError, extra_missing
from corpuscle.formats import vetted
from corpuscle.formats.place import Place, Url, place
from corpuscle.store import parquet
from corpuscle.store.atomic import read_json, write_json
from corpuscle.store.digest import of_json, of_layer


class Item(Record):
    """A record of a corpus: layers by name, a table when printed, a window when asked."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [self.name, *(f"  {k}: {v}" for k, v in self.groups.items())]
        width = max((len(n) for n in self.layers), default=0)
        lines += [f"  {n:<{width}}  {x!r}" for n, x in self.layers.items()]
        return "\n".join(lines)

    def to_napari(self) -> Any:
        """A napari viewer with every image and label layer, at scale and with its pyramid.

        Raises `ExtraMissing` where napari is not installed.
        """
        try:
            import napari
        except ImportError as e:
            raise extra_missing("view", "the viewer") from e
        viewer = napari.Viewer(title=self.name)
        for name, layer in self.layers.items():
            if isinstance(layer, Image):
                pyramid = [layer.array, *(x.array for x in layer.levels)]
                scale = layer.space.spacing
                if layer.is_labels:
                    viewer.add_labels(pyramid, name=name, scale=scale)
                else:
                    c = layer.space.axes.index("c") if "c" in layer.space.axes else None
                    viewer.add_image(pyramid, name=name, scale=scale, channel_axis=c)
        return viewer


@dataclass(frozen=True)
class Corpus:
    """The corpus in a folder, or behind a URL, where it is read only. Nothing is read before it is asked for.

    ``corpus["name"]["layer"].read(box, level=1)`` gives pixels.
    """

    place: Place

    @classmethod
    def open(cls, root: Place | str) -> Corpus:
        """The corpus at `root`; a CorpusError where there is none, or one of another format.

        An address like ``https://host/corpus`` or ``s3://bucket/corpus`` is read from where it is: pixels chunk by
        chunk, tables and graphs whole. A StoreError where the server does not give it.
        """
        corpus = cls(place(root))
        there = corpus.header if isinstance(corpus.place, Url) else corpus.layout.corpus.is_file()
        if not there:
            raise CorpusError("there is no corpus here", where=root, fix="name a folder that holds corpus.json")
        if corpus.header.get("format") != FORMAT:
            told = corpus.header.get("format")
            raise CorpusError(f"format {told!r} is not {FORMAT}, the one read here", where=root, rule="corpus-format")
        return corpus

    @property
    def root(self) -> Path:
        """The folder on this machine; a CorpusError for a corpus behind a URL, where nothing is written."""
        return read_only(self.place) if isinstance(self.place, Url) else self.place

    @property
    def layout(self) -> Layout:
        """Where things lie on this machine; a CorpusError for a corpus behind a URL."""
        return Layout(self.root)

    @property
    def shelf(self) -> AnyShelf:
        """The records, as steps see them."""
        return FarShelf(self.place) if isinstance(self.place, Url) else DiskShelf(self.place)

    @cached_property
    def header(self) -> Mapping[str, Any]:
        """What corpus.json says."""
        path = self.place / CORPUS
        if isinstance(path, Url):
            _, body = vetted.first(self.place, [CORPUS]) or ("", {})
        else:
            body = read_json(path)
        if not isinstance(body, dict):
            raise CorpusError("is no corpus header", where=path)
        return body

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """The record files by record, in the order of names."""
        if isinstance(self.place, Url):
            return FarEntries(FarShelf(self.place))
        return {e.name: e for e in sorted(self.shelf.entries(), key=lambda e: e.name)}

    @property
    def acquired(self) -> dict[str, Entry]:
        """The records that came from raw files: those that a split deals out and an audit looks at."""
        return {n: e for n, e in self.entries.items() if e.acquired}

    @cached_property
    def study(self) -> Study:
        """The metadata of the data set."""
        return study_from(self.header.get("study", {}), self.place / CORPUS)

    @property
    def digest(self) -> str:
        """The digest of inputs, truth and study, as it was when the corpus was last completed; '' before."""
        return str(self.header.get("digest", ""))

    @property
    def recipe(self) -> str:
        """The recipe that built it."""
        return str(self.header.get("recipe", ""))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Item:
        if name not in self.entries:
            near = [n for n in self.entries if name.lower() in n.lower()][:3]
            hint = f"do you mean one of {near}?" if near else f"there are {len(self)} records; list(corpus) names them"
            raise RecordMissing(f"no record {name!r}", where=self.place, fix=hint)
        r = self.shelf.record(name)
        return Item(r.name, r.groups, r.layers, r.facts, r.frames)

    def put(self, name: str, layer: str, value: Layer) -> None:
        """Add a guess of your own to a record, or another in its place: ``corpus.put("r1", "nuclei@mine", labels)``.

        Truth and raw pixels come from a recipe and are never written over; a SettingsError says so.
        The guess carries the digest of what it holds for a fingerprint.
        """
        truth = truth_of(layer)
        if truth == layer:
            raise SettingsError(f"{layer!r} is no guess", where=name, fix=f"call it {layer}@mine", rule="put-truth")
        record = self[name]
        if isinstance(value, Image) and truth in record.layers and value.shape != record.image(truth).shape:
            why = f"{value.shape} where {truth} is {record.image(truth).shape}"
            raise SettingsError(why, where=f"{name}/{layer}", rule="put-shape")
        mark = Made(of_json({"put": of_layer(value)}), {}, step={"op": {"name": "put by hand"}})
        self.shelf.put(record.with_layer(layer, value), [layer], mark)
        self.__dict__.pop("entries", None)

    def splits(self, *, absent: bool = False) -> dict[str, Split]:
        """The splits that the corpus carries, by scheme; with `absent`, also names that only the imported list has."""
        listed = self._table(SPLITS)
        if listed is None:
            return {}
        parts: dict[str, dict[str, list[str]]] = {}
        for scheme, record, part in zip(listed["scheme"], listed["record"], listed["part"], strict=True):
            parts.setdefault(str(scheme), {}).setdefault(str(part), []).append(str(record))
        told = self.header.get("absent", {}) if absent else {}
        for scheme, by in told.items() if isinstance(told, Mapping) else ():
            for part, names in by.items():
                parts.setdefault(scheme, {}).setdefault(part, []).extend(names)
        return {s: Split(s, {p: tuple(n) for p, n in by.items()}) for s, by in parts.items()}

    def guesses(self, truth: str | None = None) -> list[str]:
        """The guesses that any record has, by name; at one truth, or at all."""
        found = {n for e in self.entries.values() for n in e.layers if "@" in n}
        return sorted(n for n in found if truth is None or n.split("@")[0] == truth)

    def _table(self, name: str) -> Table | None:
        """A table at the root; None where there is none."""
        path = self.place / name
        if isinstance(path, Path):
            return parquet.read_table(path) if path.exists() else None
        try:
            return table(path)
        except (CorpusError, StoreError) as e:
            if e.rule not in ("url-missing", "url-denied"):
                raise
            return None

    def __repr__(self) -> str:
        told = f"<corpus {self.study.title!r}: {len(self)} records, digest {self.digest[:12] or 'none yet'}>"
        rows = [
            (e.name if e.name.isprintable() else repr(e.name), ", ".join(e.layers))
            for e in list(self.entries.values())[:8]
        ]
        width = max((len(n) for n, _ in rows), default=0)
        more = [f"  ... and {len(self) - 8} more"] if len(self) > 8 else []
        return "\n".join([told, *(f"  {n:<{width}}  {layers}" for n, layers in rows), *more])


def study_to(study: Study) -> dict[str, Any]:
    """A study as JSON."""
    return asdict(study)


def study_from(body: Mapping[str, Any], where: Place) -> Study:
    """A study from JSON; a CorpusError where it is none."""
    known = {f.name for f in fields(Study)}
    try:
        rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in body.items() if k in known}
        rest["authors"] = tuple(Person(**p) for p in body.get("authors", ()))
        rest["contacts"] = tuple(Person(**p) for p in body.get("contacts", ()))
        rest["licences"] = {k: Licence(**v) for k, v in body.get("licences", {}).items()}
        return Study(**rest)
    except (TypeError, AttributeError) as e:
        raise CorpusError(f"the study is misstated: {e}", where=where, rule="study-fields") from e


def corpus_digest(study: Study, entries: Mapping[str, Entry]) -> str:
    """The Merkle root over the study and the own digest of every record that came from raw files."""
    records = [[n, entries[n].digest] for n in sorted(entries) if entries[n].acquired]
    return of_json({"study": study_to(study), "records": records})


def write_header(layout: Layout, recipe: str, study: Study, **more: Any) -> None:
    """Write corpus.json, old or new."""
    body = {"format": FORMAT, "recipe": recipe, "study": study_to(study), **more}
    write_json(layout.corpus, body | {"checksum": checksum(body)})
