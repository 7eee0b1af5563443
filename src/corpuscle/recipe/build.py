"""From raw files to a corpus: ingest, steps, completion; resumed by itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.fingerprint import describe
from corpuscle.blocks.gauge import Gauge, used
from corpuscle.blocks.progress import Receipt, Watch, unwatched
from corpuscle.blocks.receipts import Journal, document
from corpuscle.blocks.run import each, run
from corpuscle.blocks.shelf import Made
from corpuscle.blocks.whole import Did
from corpuscle.core import Fact, Image, Record, Study
from corpuscle.corpus.complete import complete
from corpuscle.corpus.corpus import Corpus, study_from, study_to, write_header
from corpuscle.corpus.layout import Layout
from corpuscle.corpus.shelf import SMALL, DiskShelf
from corpuscle.corpus.split import Split
from corpuscle.errors import CorpuscleError, FormatError, SettingsError
from corpuscle.recipe.recipe import Found, Recipe
from corpuscle.store.atomic import Staging, read_json, remove, write_json
from corpuscle.store.digest import of_json
from corpuscle.store.ledger import Ledger, beside


def build(
    recipe: Recipe,
    raw: Path,
    root: Path,
    *,
    engine: Engine | None = None,
    watch: Watch = unwatched,
    tell: Callable[[CorpuscleError], None] = lambda _: None,
) -> Receipt:
    """Build, or go on building, the corpus of a recipe from raw files.

    What is done is not done again; what failed is tried again; what changed, in the raw files or
    the settings, is made anew with everything that hangs on it. `tell` hears of every bad file as
    soon as it is met; the good ones are built all the same.
    """
    if not raw.exists():
        raise SettingsError(
            "there is nothing to build from", where=raw, fix="name a folder that exists", rule="raw-missing"
        )
    problems: list[CorpuscleError] = []
    try:
        study = study_of(recipe, raw)
    except CorpuscleError as e:  # the images are good all the same
        study = recipe.study
        problems.append(e)
    layout = Layout(root)
    fresh = not layout.corpus.exists()
    _claim(layout, recipe)
    start = time.perf_counter()
    with Ledger(beside(root)) as ledger, Gauge() as gauge:
        Staging(layout.staging).sweep()
        journal = Journal(watch, gauge)
        conditions = Conditions(engine or Local(), ledger, journal)
        try:
            receipt = _ingest(recipe, raw, DiskShelf(root), conditions, tell)
        except SettingsError:
            if fresh and not layout.records.exists():
                remove(root)
                remove(ledger.folder)
            raise
        shelf = DiskShelf(root)
        made = run(recipe.steps, shelf, conditions)
        splits = []
        for found in recipe.splits(raw):
            if isinstance(found, Split):
                splits.append(found)
            else:
                problems.append(found)
        sources = {e.name: raw / str(e.facts["source"].value) for e in shelf.entries() if "source" in e.facts}
        problems += [_of_file(e, sources) for e in made.failures]
        for problem in problems:
            tell(problem)
        conditions.engine.rest()
        complete(root, recipe.name, study, splits)
        Staging(layout.staging).sweep()
    whole = receipt + replace(made, failures=tuple(problems))
    seconds = time.perf_counter() - start
    whole = replace(whole, seconds=seconds, stages=journal.steps, peak=gauge.peak)
    if whole.done:
        keep(whole, layout, recipe.name, raw=raw, workers=conditions.engine.workers)
    return whole


def keep(receipt: Receipt, layout: Layout, recipe: str, *, raw: Path, workers: int) -> Path:
    """Write a receipt under ``runs/`` of the corpus, its own digest in its name: ``build-<digest>.json``.

    Files are told by their path within the raw folder.
    """
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    corpus = Corpus.open(layout.root).digest
    body = document(
        "build", receipt, disk=used(layout.root), recipe=recipe, ended=ended, workers=workers, corpus=corpus
    )
    for failure in body["failures"]:
        failure["where"] = failure["where"].removeprefix(f"{raw}/")
    path = layout.runs / f"build-{of_json(body)[:16]}.json"
    layout.runs.mkdir(exist_ok=True)
    write_json(path, body)
    return path


def _of_file(error: CorpuscleError, sources: Mapping[str, Path]) -> CorpuscleError:
    """What went wrong with a record, told of the file that it came from."""
    if error.where not in sources:
        return error
    return type(error)(error.message, where=sources[error.where], fix=error.fix, rule=error.rule)


def study_of(recipe: Recipe, raw: Path) -> Study:
    """The recipe's study, with what a ``study.json`` at the top of the raw folder says in its place.

    It may hold any field of `Study`: title, authors, licences per part, ...; a CorpusError names one it cannot.
    """
    path = raw / "study.json"
    if not path.is_file():
        return recipe.study
    told = read_json(path)
    known = {f.name for f in fields(Study)}
    strange = sorted(set(told) - known) if isinstance(told, dict) else ["a JSON value that is no object"]
    if strange or not isinstance(told.get("licences", {}), dict):
        what = f"a study has no {strange[0]!r}" if strange else "licences are given per part, as an object"
        raise SettingsError(what, where=path, fix=f"use {sorted(known)}", rule="study-fields")
    return study_from(study_to(recipe.study) | told, path)


def _claim(layout: Layout, recipe: Recipe) -> None:
    """Make the folder a corpus of this recipe; refuse one that is something else already."""
    root = layout.root
    if layout.corpus.exists():
        have = Corpus.open(root).recipe
        if have != recipe.name:
            raise _occupied(root, f"a corpus of the recipe {have!r} is here")
        return
    if root.exists() and not root.is_dir():
        raise _occupied(root, "that is a file, and a corpus is a folder")
    if root.exists() and any(p.name != layout.staging.name for p in root.iterdir()):
        raise _occupied(root, "the folder holds something else")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _occupied(root, f"no folder can be made here: {e.strerror or e}") from e
    write_header(layout, recipe.name, recipe.study)


def _occupied(root: Path, why: str) -> SettingsError:
    return SettingsError(why, where=root, fix="choose a new or empty folder", rule="corpus-other")


def _ingest(
    recipe: Recipe, raw: Path, shelf: DiskShelf, conditions: Conditions, tell: Callable[[CorpuscleError], None]
) -> Receipt:
    mark = of_json({"ingest": describe(recipe.ingest)})
    problems: list[CorpuscleError] = []
    notes: list[CorpuscleError] = []
    sources: dict[str, Path] = {}
    stamps: dict[str, list[Any]] = {}
    skipped = 0

    def wanted() -> Iterator[Found]:
        nonlocal skipped
        for item in recipe.ingest(raw):
            if isinstance(item, FormatError):
                problems.append(item)
                tell(item)
                continue
            notes.extend(item.notes)
            name = item.record.name
            if name in stamps:
                twice = FormatError(
                    f"makes the record {name!r}, as {sources[name]} does already",
                    where=item.files[0],
                    fix="rename one of them",
                    rule="record-duplicate",
                )
                problems.append(twice)
                tell(twice)
                continue
            sources[name] = item.files[0]
            stamps[name] = [[_within(p, raw), *_stamp(p)] for p in item.files]
            done = conditions.ledger.done(mark, name)
            if done is not None and done.get("files") == stamps[name] and shelf.has(name):
                skipped += 1
                continue
            yield item

    receipt = each(
        partial(settle, shelf, raw),
        wanted(),
        "ingest",
        None,
        conditions,
        settled=lambda found: conditions.ledger.note(mark, found.record.name, files=stamps[found.record.name]),
    )
    if not stamps and not problems and not receipt.failures:
        raise SettingsError(
            "there is nothing here that the recipe knows", where=raw, fix=f"it takes {recipe.needs}", rule="raw-empty"
        )
    notes += _gone(shelf, stamps, raw)
    for failure in receipt.failures:
        tell(failure)
    for note in [*notes, *receipt.notes]:
        tell(note)
    return receipt + Receipt(skipped=skipped, failures=tuple(problems), notes=tuple(notes))


def _gone(shelf: DiskShelf, stamps: Mapping[str, Any], raw: Path) -> list[CorpuscleError]:
    """Take out the records whose source is no longer in the raw folder, and say so.

    Where that would be most of them, the folder is likely another one, and nothing is touched.
    """
    known = [e.name for e in shelf.entries() if e.acquired]
    gone = sorted(set(known) - set(stamps))
    if len(gone) > 1 and 2 * len(gone) > len(known):
        raise SettingsError(
            f"{len(gone)} of the {len(known)} records of this corpus have no source here",
            where=raw,
            fix="name the folder that the corpus was built from, or build into a new one",
            rule="raw-other",
        )
    for name in gone:
        shelf.drop(name)
    return [FormatError("its source is gone, so the record is too", where=name, rule="record-gone") for name in gone]


def settle(shelf: DiskShelf, raw: Path, found: Found) -> Did:
    """Write a found record with all its layers and where it came from: the work of one unit."""
    errors: list[CorpuscleError] = []
    record, files, late = found.record, found.files, found.late
    while True:
        try:
            told, notes = late(record) if late else (record, ())
            told = _read(told)  # before the files are hashed: a reader refuses a monster sooner than a hash ends
            told = told.with_facts(
                source=Fact(_within(files[0], raw)), source_sha256=Fact(_hash_of(files), None, "computed")
            )
            shelf.put(told, list(told.layers), Made("", {}))
            size = sum(p.stat().st_size for p in files)
            return Did(made=1, bytes=size, errors=tuple(errors), notes=notes)
        except CorpuscleError as e:
            if e.where in ("", found.record.name) or e.where.startswith(f"{found.record.name}/"):
                e = type(e)(e.message, where=files[0], fix=e.fix, rule=e.rule)
            bad = next((p for p in files if e.where == str(p) or e.where.startswith(f"{p}/")), None)
            if isinstance(e, FormatError) and bad is not None and bad == found.annotation:
                # The picture is good all the same; it goes in without the annotation.
                late, files = None, tuple(p for p in files if p != bad)
            elif isinstance(e, FormatError) and found.again and bad is not None and (rest := found.again(bad)):
                record, files = rest, tuple(p for p in files if p != bad)
            else:
                raise e from None
            errors.append(e)


def _read(record: Record) -> Record:
    """The record with small images in memory, read once for writing and digesting."""
    for name, layer in record.layers.items():
        if isinstance(layer, Image) and layer.nbytes <= SMALL:
            record = record.with_layer(name, replace(layer, array=layer.read()))
    return record


def _within(path: Path, raw: Path) -> str:
    """A source's path as it is written into the record."""
    return path.name if path == raw else path.relative_to(raw).as_posix()


def _stamp(path: Path) -> tuple[int, int]:
    """What tells, without reading it, that a file has changed."""
    s = path.stat()
    return s.st_size, s.st_mtime_ns


def _hash_of(files: tuple[Path, ...]) -> str:
    """SHA-256 of a file; of several, of their digests in order."""
    each_ = [_file_hash(p, *_stamp(p)) for p in files]
    return each_[0] if len(each_) == 1 else hashlib.sha256("".join(each_).encode()).hexdigest()


@lru_cache(maxsize=8)
def _file_hash(path: Path, size: int, changed: int) -> str:
    del size, changed
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
