"""What is derived from the records when all of them are there: plates, index, splits, digest, card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from corpuscle.core import Study, Table
from corpuscle.core.plate import parse
from corpuscle.corpus.corpus import Corpus, corpus_digest, write_header
from corpuscle.corpus.entry import Entry
from corpuscle.corpus.layout import INDEX, README, SPLITS, Layout
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.corpus.split import Split
from corpuscle.formats import plates, preview
from corpuscle.store import parquet
from corpuscle.store.atomic import Staging, sweep_parts, write_bytes


def complete(root: Path, recipe: str, study: Study, splits: Iterable[Split] = ()) -> Corpus:
    """Write everything that is computed from the record files, each file old or new; last of all the digest."""
    layout = Layout(root)
    entries = {e.name: e for e in sorted(DiskShelf(root).entries(), key=lambda e: e.name)}
    groups = (layout.plates.glob(pattern) for pattern in ("*.zarr", "*.zarr/*", "*.zarr/*/*"))
    sweep_parts(root, *(p for found in groups for p in found if p.is_dir()))
    write_plates(layout, entries)
    if entries:
        write_table(layout, INDEX, index(entries))
    found = {s.scheme: resolved(s, entries) for s in splits}
    absent = {**absent_of(root), **{k: _absent(s, entries) for k, s in found.items()}}
    if found:
        _put_splits(layout, Corpus(root).splits() | {k: _present(s, entries) for k, s in found.items()})
    write_header(
        layout,
        recipe,
        study,
        digest=corpus_digest(study, entries),
        records=len(entries),
        absent={k: v for k, v in absent.items() if v},
        files=sealed(layout),
    )
    corpus = Corpus.open(root)
    corpus.__dict__["entries"] = entries  # read once: with many records that is most of the time this takes
    write_bytes(root / README, card(corpus).encode())
    return corpus


def write_splits(root: Path, splits: Mapping[str, Split]) -> None:
    """Add splits to those that the corpus carries; one of the same scheme takes its place.

    Names that have no record here are kept apart, in corpus.json, for an audit by name.
    """
    layout, corpus = Layout(root), Corpus.open(root)
    _put_splits(layout, corpus.splits() | {k: _present(s, corpus.entries) for k, s in splits.items()})
    absent = absent_of(root) | {k: _absent(s, corpus.entries) for k, s in splits.items()}
    body = {k: v for k, v in corpus.header.items() if k not in ("format", "recipe", "study", "checksum")}
    body |= {"files": sealed(layout), "absent": {k: v for k, v in absent.items() if v}}
    write_header(layout, corpus.recipe, corpus.study, **body)
    write_bytes(root / README, card(Corpus.open(root)).encode())


def resolved(split: Split, entries: Mapping[str, Entry]) -> Split:
    """The split with each name that is a file's of one channel given as that of its field, where that is the record.

    ``p1_B03f02d0`` in a published list is the record ``p1_B03f02`` of a plate read from its camera files.
    """

    def record(name: str) -> str:
        told = None if name in entries else parse(name)
        return told.site if told and told.site in entries else name

    return Split(split.scheme, {p: tuple(record(n) for n in names) for p, names in split.parts.items()})


def absent_of(root: Path) -> dict[str, dict[str, list[str]]]:
    """Per scheme and part, the names of imported splits that have no record here."""
    told = Corpus(root).header.get("absent", {}) if Layout(root).corpus.exists() else {}
    return dict(told) if isinstance(told, Mapping) else {}


def sealed(layout: Layout) -> dict[str, str]:
    """SHA-256 of the derived files that nothing else guards: tables and the metadata of plates and wells."""
    plates_ = layout.plates.glob("*.zarr/zarr.json"), layout.plates.glob("*.zarr/*/zarr.json")
    wells = layout.plates.glob("*.zarr/*/*/zarr.json")
    own = (layout.root / n for n in (INDEX, SPLITS) if (layout.root / n).exists())
    files = sorted({*own, *plates_[0], *plates_[1], *wells})
    return {layout.relative(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _present(split: Split, entries: Mapping[str, Entry]) -> Split:
    return Split(split.scheme, {p: tuple(n for n in names if n in entries) for p, names in split.parts.items()})


def _absent(split: Split, entries: Mapping[str, Entry]) -> dict[str, list[str]]:
    lacking = {p: [n for n in names if n not in entries] for p, names in split.parts.items()}
    return {p: names for p, names in lacking.items() if names}


def _put_splits(layout: Layout, splits: Mapping[str, Split]) -> None:
    rows = [(s.scheme, name, part) for s in splits.values() for part, names in s.parts.items() for name in names]
    columns = ("scheme", "record", "part")
    table = Table({c: np.array([r[i] for r in rows], object) for i, c in enumerate(columns)})
    write_table(layout, SPLITS, table)


def write_table(layout: Layout, name: str, table: Table) -> None:
    """A table at the corpus's root, old or new."""
    with Staging(layout.staging).place(layout.root / name) as aside:
        parquet.write_table(table, aside)


def index(entries: Mapping[str, Entry]) -> Table:
    """One row per record: name, folder, groups, layers other than guesses, digest."""
    names = sorted(entries)
    groups = list(dict.fromkeys(g for n in names for g in entries[n].groups))
    columns = {
        "record": [entries[n].name for n in names],
        "slug": [entries[n].slug for n in names],
        **{g: [entries[n].groups.get(g) for n in names] for g in groups if g not in ("record", "slug", "layers")},
        # Guesses come and go, also by hand; what is listed here is what a build leaves.
        "layers": [" ".join(x for x in entries[n].layers if "@" not in x) for n in names],
        "digest": [entries[n].digest for n in names],
    }
    return Table({k: np.array(v, object) for k, v in columns.items()})


def write_plates(layout: Layout, entries: Mapping[str, Entry]) -> None:
    """The metadata of every plate and well, from the fields that are there, and a preview mosaic each."""
    found: dict[str, dict[str, list[str]]] = {}
    for e in entries.values():
        field = layout.field(e.groups)
        if field is not None and any(le.path == layout.relative(field) for le in e.layers.values()):
            found.setdefault(e.groups["plate"], {}).setdefault("/".join(field.parts[-3:-1]), []).append(field.name)
    for plate, wells in sorted(found.items()):
        plates.write_plate(layout.plate(plate), {w: sorted(f) for w, f in sorted(wells.items())}, name=plate)
        preview.write_preview(layout.plate(plate))


def card(corpus: Corpus) -> str:
    """The README of a corpus, computed: what it is, what is in it, under what terms."""
    s = corpus.study
    layers: dict[str, int] = {}
    for e in corpus.entries.values():
        for n in e.layers:
            if "@" not in n:
                layers[n] = layers.get(n, 0) + 1
    lines = [f"# {s.title}", "", s.description, ""]
    lines += [f"- {len(corpus)} records, corpus digest `{corpus.digest}`, recipe `{corpus.recipe}`"]
    lines += [f"- layer `{n}`: {k} records" for n, k in layers.items()]
    lines += [
        f"- licence of {part}: {lic.spdx}" + (f" ({lic.source})" if lic.source else "")
        for part, lic in s.licences.items()
    ]
    for scheme, split in corpus.splits().items():
        lines.append(f"- split `{scheme}`: " + ", ".join(f"{p} {len(n)}" for p, n in split.parts.items()))
    lines += [f"- known issue: {x}" for x in s.known_issues]
    lines += ["", *(f"Cite: {c}" for c in s.cite)]
    lines += ["", "Images open in any OME-Zarr viewer; tables are Parquet; graphs are GEFF; the rest is JSON.", ""]
    return "\n".join(lines)
