"""One record with all its layers: what a worker is given to check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpuscle.core import Table
from corpuscle.corpus import entry as entries
from corpuscle.corpus.entry import KINDS, Entry, LayerEntry
from corpuscle.corpus.layout import FORMAT, RECORD, Layout
from corpuscle.corpus.rules import picture, table
from corpuscle.corpus.rules.place import inside
from corpuscle.corpus.rules.problem import Problem
from corpuscle.errors import CorpuscleError, FormatError
from corpuscle.formats import vetted
from corpuscle.formats.pyramids import group

_OF_FILE = frozenset({"layer-differs", "layer-kind", "layer-missing", "label-orphan", "path-outside", "slug-mismatch"})
_PICTURES = ("image", "labels")


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one record.

    Parameters
    ----------
    folder
        The record's folder within the corpus.
    entry
        What its file says; None where it cannot be read.
    problems
        All that is wrong.
    away
        Paths of layers that should lie on a plate and are not there: the plate's own check says why.
    columns
        The columns of each table, by layer.
    astray
        Whether it lies on another plate, well or field than its groups say.
    """

    folder: str
    entry: Entry | None = None
    problems: tuple[Problem, ...] = ()
    away: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    astray: bool = False

    @property
    def sealed(self) -> bool:
        """Whether the record file is what was written, so that what is derived from it can be held against it."""
        return (
            self.entry is not None
            and not self.astray
            and not any(p.rule in _OF_FILE or p.place.endswith(f"/{RECORD}") for p in self.problems)
        )


def check(layout: Layout, folder: str) -> Report:
    """Check one record; its folder is within the corpus."""
    place = f"{folder}/{RECORD}"
    path = layout.root / place
    if inside(layout, place) is None:
        return Report(folder, problems=(_outside(place, "a link leads out of the corpus"),))
    try:
        body = vetted.load(path)
    except FormatError as e:
        rule = "file-missing" if e.rule == "json-missing" else "json-torn"
        return Report(folder, problems=(Problem(rule, place, e.message),))
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        told = body.get("format") if isinstance(body, dict) else body
        said = f"format {str(told)[:40]} is not {FORMAT}, the one read here"
        return Report(folder, problems=(Problem("record-format", place, said),))
    if odd := _odd(body):
        return Report(folder, problems=(Problem("record-fields", place, odd),))
    try:
        entry = entries.parse(body, path)
        written = body.get("checksum") == entries.checksum(body) and body.get("digest") == entry.digest
        written = written and path.read_bytes() == _text(body)
    except (CorpuscleError, RecursionError, OverflowError) as e:
        return Report(folder, problems=(Problem("record-fields", place, str(e)[:200]),))
    return _layers(layout, folder, entry, written=written)


def _layers(layout: Layout, folder: str, entry: Entry, *, written: bool) -> Report:
    problems: list[Problem] = []
    away: list[str] = []
    columns: dict[str, tuple[str, ...]] = {}
    home = layout.relative(layout.record(entry.name))
    if not folder == home == f"records/{entry.slug[-8:-6]}/{entry.slug}":
        said = f"is the record {entry.name!r}, whose folder is {home}, not {folder} or {entry.slug}"
        problems.append(Problem("slug-mismatch", f"{folder}/{RECORD}", said))
    there: dict[str, LayerEntry] = {}
    for name, le in entry.layers.items():
        path = inside(layout, le.path)
        if path is None:
            problems.append(
                _outside(f"{folder}/{RECORD}", f"layer {name!r} leads out of the corpus: {le.path[:200]!r}")
            )
        elif le.kind == "labels" and le.labels_of not in entry.layers:
            said = f"layer {name!r} numbers the objects of {le.labels_of!r}, which the record has not"
            problems.append(Problem("label-orphan", f"{folder}/{RECORD}", said))
        elif not path.exists():
            away.append(le.path)
        elif _of_kind(path) not in (le.kind, _family(le.kind)):
            said = f"layer {name!r} is of kind {le.kind}, which {_of_kind(path)} on disk is not"
            problems.append(Problem("layer-kind", le.path, said))
        else:
            there[name] = le
    lost = [p for p in away if not any(p != q and p.startswith(f"{q}/") for q in away)]
    problems += [
        Problem("layer-missing", p, "a layer is not there that its record lists")
        for p in lost
        if not p.startswith("plates/")
    ]
    problems += _pictures(layout, entry, {n: le for n, le in there.items() if le.kind in _PICTURES}, written=written)
    labels = frozenset(n for n, le in entry.layers.items() if le.kind == "labels")
    for name, le in there.items():
        if le.kind in _PICTURES:
            continue
        found, read = table.layer(layout.root / le.path, le.path, le, labels=labels)
        problems += found if written else [p for p in found if p.rule != "file-seal"]
        if isinstance(read, Table):
            columns[name] = tuple(read.columns)
    for name, le in there.items():
        if le.kind == "image":
            problems += _beneath(layout, entry, name, le, set(away))
    if not problems or not any(p.rule in _OF_FILE for p in problems):
        problems += _strays(layout, folder, entry)
    if not written and not any(p.rule in _OF_FILE for p in problems) and not away:
        problems.append(Problem("record-checksum", f"{folder}/{RECORD}", "was changed since it was written"))
    return Report(folder, entry, tuple(problems), tuple(p for p in lost if p.startswith("plates/")), columns)


def _pictures(layout: Layout, entry: Entry, layers: Mapping[str, LayerEntry], *, written: bool) -> Iterator[Problem]:
    """Images and labels; where two do not fit, the one that was changed is told of, and of it no more than that."""
    looks = {n: picture.look(layout, le.path, le) for n, le in layers.items()}
    explained: set[str] = set()
    for name, seen in looks.items():
        of = layers[name].labels_of
        above = looks.get(of) if of else None
        if not seen.labels or above is None or (why := picture.same_shape(seen, above)) is None:
            continue
        yield Problem("label-shape", seen.place, why, "number the objects of the image at its own size")
        whole = not seen.broken and not above.broken
        explained |= {n for n, x in ((name, seen), (of, above)) if n and (x.broken or whole)}
    told = entry.facts.get("split_objects")
    split = (
        frozenset(int(v) for v in str(told.value).split(",") if v.strip().isdecimal() and len(v) < 20)
        if told
        else frozenset()
    )
    for name, seen in looks.items():
        if name in explained:
            continue
        truth = seen.labels and "@" not in name and not layers[name].made.fingerprint
        picture.verify(seen, truth=truth, split=split)
        yield from (p for p in seen.problems if written or p.rule != "file-seal")


def _beneath(layout: Layout, entry: Entry, name: str, le: LayerEntry, away: set[str]) -> Iterator[Problem]:
    """The labels that lie beneath an image, and their list."""
    folder = layout.root / le.path / "labels"
    own = {x.path.rpartition("/")[2] for x in entry.layers.values() if x.path.startswith(f"{le.path}/labels/")}
    if not folder.is_dir():
        return
    found = {p.name: p for p in sorted(folder.iterdir()) if p.name != "zarr.json"}
    strange = [p for n, p in found.items() if n not in own]
    for path in strange:
        said = "labels that no layer of the record lists" if path.is_dir() else "belongs to no labels"
        rule = "label-orphan" if path.is_dir() else "file-orphan"
        yield Problem(rule, layout.relative(path), said, "remove it, or list it in the record")
    if strange or any(p.startswith(f"{le.path}/labels/") for p in away):
        return
    place = layout.relative(folder / "zarr.json")
    wanted = group({"ome": {"labels": sorted(own), "version": "0.5"}}, "0.5")["zarr.json"]
    try:
        same = json.loads((folder / "zarr.json").read_bytes()) == json.loads(wanted)
        text = (folder / "zarr.json").read_bytes()
    except OSError:
        yield Problem("file-missing", place, "the list of the labels is not there")
    except (ValueError, RecursionError):
        yield Problem("json-torn", place, "the list of the labels is no JSON")
    else:
        if not same or text != group({"ome": {"version": "0.5", "labels": sorted(own)}}, "0.5")["zarr.json"]:
            said = f"does not list just {', '.join(sorted(own)) or 'nothing'}" if not same else "is spelt otherwise"
            yield Problem("labels-list", place, f"{said}, as {name} has them")


def _strays(layout: Layout, folder: str, entry: Entry) -> Iterator[Problem]:
    own = {le.path for le in entry.layers.values()} | {f"{folder}/{RECORD}"}
    for path in sorted((layout.root / folder).iterdir()):
        place = layout.relative(path)
        if path.is_symlink() and inside(layout, place) is None:
            yield _outside(place, "a link leads out of the corpus")
        elif place not in own:
            yield Problem("file-orphan", place, "belongs to no layer of the record", "remove it")


def _of_kind(path: Path) -> str:
    if path.suffix == ".geff":
        return "graph"
    if path.is_dir():
        return "image"
    return "table"


def _family(kind: str) -> str:
    return {"labels": "image", "shapes": "table"}.get(kind, kind)


def _outside(place: str, message: str) -> Problem:
    return Problem("path-outside", place, message, "keep everything of a corpus in its own folder")


def _text(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _odd(body: Mapping[str, Any]) -> str | None:
    """What a record file lacks or misstates; None where all is of the right kind."""
    match body:
        case {
            "name": str(name),
            "slug": str(),
            "groups": list(groups),
            "facts": dict(facts),
            "layers": dict(layers),
            "frames": list(),
        } if name:
            pass
        case _:
            return "lacks name, slug, groups, facts, layers or frames, or one of them is misstated"
    if not all(isinstance(g, list) and len(g) == 2 and all(isinstance(x, str) for x in g) for g in groups):
        return "groups are pairs of texts"
    for key, fact in facts.items():
        if not isinstance(fact, dict) or fact.keys() != {"value", "unit", "source"}:
            return f"fact {key[:80]!r} is no value, unit and source"
        if isinstance(fact["value"], list | dict) or not isinstance(fact["unit"], str | None):
            return f"fact {key[:80]!r} is misstated"
    paths: set[str] = set()
    for key, layer in layers.items():
        if odd := _odd_layer(layer):
            return f"layer {key[:80]!r}: {odd}"
        if layer["path"] in paths:
            return f"layer {key[:80]!r} lies where another does"
        paths.add(layer["path"])
    return None


def _odd_layer(layer: object) -> str | None:
    match layer:
        case {"kind": str(kind), "path": str(path), "digest": str(), "seal": dict(seal)} if kind in KINDS and path:
            pass
        case _:
            return "lacks kind, path, digest or seal, or one of them is misstated"
    if not all(isinstance(v, str) and ".." not in k.split("/") and not k.startswith("/") for k, v in seal.items()):
        return "its seal is misstated"
    assert isinstance(layer, dict), "only a JSON object matches"
    if not isinstance(layer.get("labels_of"), str if kind == "labels" else str | None):
        return f"a layer of kind {kind} and labels_of {str(layer.get('labels_of'))[:80]!r}"
    history = layer.get("history", {})
    inputs = history.get("inputs", {}) if isinstance(history, dict) else None
    if not isinstance(inputs, dict) or not isinstance(history.get("fingerprint", ""), str):
        return "its history is misstated"
    return None
