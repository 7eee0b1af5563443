"""Tables, drawn shapes and graphs: that they can be read, say what they must, and are what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from corpuscle.core import Layer, Table
from corpuscle.corpus.entry import LayerEntry
from corpuscle.corpus.rules.place import sha256
from corpuscle.corpus.rules.problem import Problem
from corpuscle.errors import CorpuscleError, StoreError
from corpuscle.store import digest, geff, parquet

_GRAPH = {"geff-edge": "edge-dangling", "edge-dangling": "edge-dangling", "zarr-corrupt": "chunk-checksum"}
_GRAPH |= {"zarr-missing": "shard-missing", "json-torn": "json-torn", "json-missing": "file-missing"}


def changed(root: Path, seal: Mapping[str, str]) -> list[str]:
    """The sealed files that are gone or are not what was written, by name."""
    return [n for n, sha in sorted(seal.items()) if sha256(root / n if n else root) != sha]


def layer(path: Path, place: str, entry: LayerEntry, *, labels: frozenset[str]) -> tuple[list[Problem], Layer | None]:
    """The problems of a table, shapes or graph of a record, and what could be read of it.

    `labels` are the label layers of the record: a table about one of them has a row per label.
    """
    try:
        read: Layer
        if entry.kind == "graph":
            read = geff.read(path)
        elif entry.kind == "shapes":
            read = parquet.read_shapes(path)
        else:
            read = parquet.read_table(path)
    except CorpuscleError as e:
        return [_unread(e, place, path, graph=entry.kind == "graph")], None
    broken = changed(path, entry.seal)
    found = list(_columns(read, place, labels, changed=bool(broken))) if isinstance(read, Table) else []
    if not found and broken:
        name = f"{place}/{broken[0]}" if broken[0] else place
        sealed = entry.kind == "graph" or digest.of_layer(read) == entry.digest
        rule = "file-seal" if sealed else "layer-differs"
        said = "was changed since it was written" if sealed else "it is not what the record says was written"
        found.append(Problem(rule, name, said))
    elif not found and digest.of_layer(read) != entry.digest:
        found.append(Problem("layer-differs", place, "it is not what the record says was written"))
    if entry.kind == "graph" and not found:
        found += _strays(path, place, entry)
    return found, read


def _unread(e: CorpuscleError, place: str, path: Path, *, graph: bool) -> Problem:
    where = Path(e.where)
    if where.is_absolute() and where.is_relative_to(path.absolute()):
        inner = where.relative_to(path.absolute()).as_posix()
        place = place if inner == "." else f"{place}/{inner}"
    if not graph:
        rule = {"column-missing": "column-missing", "parquet-kind": "layer-kind"}.get(e.rule, "table-corrupt")
        return Problem(rule, place, e.message)
    if e.rule == "geff-ids" and "twice" in e.message:
        return Problem("id-duplicate", place, e.message)
    default = "table-corrupt" if isinstance(e, StoreError) else "metadata-wrong"
    if e.rule == "column-missing":
        default = "column-missing"
    return Problem(_GRAPH.get(e.rule, default), place, e.message)


def _columns(read: Table, place: str, labels: frozenset[str], *, changed: bool) -> Iterator[Problem]:
    # What another program wrote anew may have lost what the table is about.
    if read.about not in labels and not (changed and read.about is None and "label" in read.columns):
        return
    if "label" not in read.columns:
        told = f"no column 'label' among {list(read.columns)[:20]}, so its rows are about nothing"
        yield Problem("column-missing", place, told)
        return
    keys = [np.asarray(read[k]).astype(str) for k in ("label", "t") if k in read.columns]
    rows = np.stack(keys, 1) if len(read) else np.empty((0, len(keys)), str)
    names, counts = np.unique(rows, axis=0, return_counts=True)
    if (twice := names[counts > 1]).size:
        yield Problem("id-duplicate", place, f"object {' at t '.join(twice[0])} has {counts.max()} rows")


def _strays(path: Path, place: str, entry: LayerEntry) -> Iterator[Problem]:
    arrays = {n.removesuffix("zarr.json") for n in entry.seal}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        folder, chunk, _ = name.partition("/c/")
        if name not in entry.seal and not (chunk and f"{folder}/" in arrays):
            yield Problem("file-orphan", f"{place}/{name}", "belongs to no column of the graph", "remove it")
