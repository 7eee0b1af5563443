"""Records of a corpus behind a URL: found by its index, read lazily, never written."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

from corpuscle.blocks.shelf import Made
from corpuscle.core import Layer, Record, Table
from corpuscle.core.layers import Opened
from corpuscle.corpus import entry as records
from corpuscle.corpus.entry import Entry, LayerEntry
from corpuscle.corpus.layout import INDEX, RECORD, Layout
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.errors import CorpuscleError, CorpusError, RecordMissing, StoreError
from corpuscle.formats import omezarr, storage, vetted
from corpuscle.formats.place import Url
from corpuscle.store import geff, parquet

T = TypeVar("T")
CHUNKS = 1 << 16
_HERE = Layout(Path())


@dataclass(frozen=True, slots=True)
class FarShelf:
    """The records of the corpus behind `root`. It is a text and nothing more, so it crosses to any worker."""

    root: Url

    def names(self) -> list[str]:
        """Every record that the index lists, by name."""
        return list(_names(self.root))

    def entries(self, names: Sequence[str] | None = None) -> list[Entry]:
        """The record files, or some of them, many asked for at a time."""
        urls = [self._file(n) for n in (self.names() if names is None else names)]
        return [_entry(data, url) for data, url in zip(storage.fetch_all(urls), urls, strict=True)]

    def entry(self, name: str) -> Entry:
        """The record's own file."""
        if name not in _names(self.root):
            raise RecordMissing(f"no record {name!r} here", where=self.root)
        return self.entries([name])[0]

    def record(self, name: str) -> Record:
        """The record with lazy layers."""
        e = self.entry(name)
        return Record(e.name, e.groups, Opened(tuple(e.layers), partial(self.layer, e)), e.facts, e.frames)

    def layer(self, e: Entry, name: str) -> Layer:
        """One layer of a record: an image is read chunk by chunk when it is asked for pixels, all else at once."""
        le = e.layers[name]
        url = self.root / vetted.inner_path(le.path, e.name)
        match le.kind:
            case "image" | "labels":
                return replace(omezarr.read_image(url), labels_of=le.labels_of)
            case "graph":
                return _here(url, le, geff.read, _graph_files)
            case "shapes":
                return _here(url, le, parquet.read_shapes, _one_file)
            case _:
                return _here(url, le, parquet.read_table, _one_file)

    def made(self, name: str) -> Mapping[str, Made]:
        """How each layer of a record came to be."""
        return {n: le.made for n, le in self.entry(name).layers.items()}

    def has(self, name: str) -> bool:
        """Whether the index lists a record of this name."""
        return name in _names(self.root)

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> NoReturn:
        """Nothing is written behind a URL: a CorpusError."""
        read_only(self.root)

    def _file(self, name: str) -> Url:
        return self.root / _HERE.relative(_HERE.record(name) / RECORD)


AnyShelf: TypeAlias = DiskShelf | FarShelf


class FarEntries(Mapping[str, Entry]):
    """The record files by record, each fetched when it is asked for; all that lack at once when all are."""

    def __init__(self, shelf: FarShelf) -> None:
        self._shelf = shelf
        self._names = tuple(sorted(shelf.names()))
        self._held: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        if name not in self._held:
            if name not in self:
                raise KeyError(name)
            self._held[name] = self._shelf.entry(name)
        return self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in _names(self._shelf.root)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def values(self) -> ValuesView[Entry]:
        """Every record file."""
        self._fetch()
        return super().values()

    def items(self) -> ItemsView[str, Entry]:
        """Every record and its file."""
        self._fetch()
        return super().items()

    def _fetch(self) -> None:
        lacking = [n for n in self._names if n not in self._held]
        self._held.update(zip(lacking, self._shelf.entries(lacking), strict=True))


def read_only(root: Url) -> NoReturn:
    """The CorpusError for whatever would write to a corpus behind a URL."""
    raise CorpusError(
        "a corpus behind an address is read only", where=root, fix="copy it to this machine first", rule="url-write"
    )


def table(url: Url) -> Table:
    """The table in a Parquet file behind a URL; a CorpusError where there is none."""
    return _here(url, LayerEntry("table", "", ""), parquet.read_table, _one_file)


def _names(root: Url) -> Mapping[str, None]:
    """Every record that the index lists."""
    return _index(root, storage.age())


@lru_cache(maxsize=8)
def _index(root: Url, _age: int) -> Mapping[str, None]:
    listed = table(root / INDEX)
    if "record" not in listed.columns:
        raise CorpusError("has no column 'record'", where=root / INDEX, rule="column-missing")
    return dict.fromkeys(str(n) for n in listed["record"])


def _entry(data: bytes | None, url: Url) -> Entry:
    if data is None:
        raise CorpusError("is listed, and not there", where=url, fix="tell its owner", rule="record-missing")
    return records.vet(vetted.parsed(data, url), url)


def _here(
    url: Url, le: LayerEntry, read: Callable[[Path], T], files: Callable[[Url, LayerEntry], dict[str, bytes]]
) -> T:
    """What a reader of local files makes of a layer, brought here for as long as it reads."""
    with tempfile.TemporaryDirectory(prefix="corpuscle-") as folder:
        top = Path(folder) / url.name
        for inner, data in files(url, le).items():
            path = top / inner if inner else top
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            return read(top)
        except CorpuscleError as e:
            said, where = (told.replace(str(top), url) for told in (e.message, e.where))
            raise type(e)(said, where=where, fix=e.fix, rule=e.rule) from e


def _one_file(url: Url, le: LayerEntry) -> dict[str, bytes]:
    return {"": _sealed(storage.fetch(url), url, le.seal.get(""))}


def _graph_files(url: Url, le: LayerEntry) -> dict[str, bytes]:
    """All files of a graph. Its record lists the metadata, which says which chunks there may be."""
    names = [vetted.inner_path(n, url) for n in le.seal]
    urls = [url / n for n in names]
    out = {n: _sealed(data, u, le.seal[n]) for n, u, data in zip(names, urls, storage.fetch_all(urls), strict=True)}
    chunks = [f"{n.rpartition('/')[0]}/{key}" for n, data in out.items() for key in _chunk_keys(data, url / n)]
    got = storage.fetch_all([url / c for c in chunks])
    return out | {c: data for c, data in zip(chunks, got, strict=True) if data is not None}


def _chunk_keys(data: bytes, url: Url) -> Iterator[str]:
    """Where the chunks of an array lie beneath it, by its metadata; none for a group."""
    meta = vetted.mapping(vetted.parsed(data, url), "its metadata", url)
    if meta.get("node_type") != "array":
        return
    shape = vetted.sizes(meta.get("shape"), "shape", url, least=0)
    grid = vetted.mapping(vetted.mapping(meta.get("chunk_grid"), "chunk_grid", url).get("configuration"), "grid", url)
    chunk = vetted.sizes(grid.get("chunk_shape"), "chunk_shape", url)
    counts = [-(-n // c) for n, c in zip(shape, chunk, strict=False)]
    if len(shape) != len(chunk) or math.prod(counts) > CHUNKS:
        raise StoreError(
            f"a column of {math.prod(counts)} chunks", where=url, fix="download it first", rule="url-large"
        )
    for index in product(*map(range, counts)):
        yield "/".join(["c", *map(str, index)])


def _sealed(data: bytes | None, url: Url, seal: str | None) -> bytes:
    """The bytes of a file, if they are there and what the record says."""
    if data is None:
        raise CorpusError("is not there", where=url, fix="check the address", rule="url-missing")
    if seal is not None and hashlib.sha256(data).hexdigest() != seal:
        raise StoreError("is not what the record says", where=url, fix="tell its owner", rule="seal")
    return data
