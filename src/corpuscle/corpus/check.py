"""Every problem of a corpus on disk, found in one go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpuscle.blocks.engines.outcome import Engine, Outcome, attempt
from corpuscle.core import truth_of
from corpuscle.corpus.entry import Entry
from corpuscle.corpus.layout import CORPUS, INDEX, RECORD, SPLITS, Layout
from corpuscle.corpus.rules import header, plate, record, runs, strays
from corpuscle.corpus.rules.problem import RULES, Problem
from corpuscle.corpus.rules.record import Report
from corpuscle.errors import CorpusError

__all__ = ["RULES", "Problem", "check"]


def check(root: Path, *, engine: Engine | None = None) -> tuple[Problem, ...]:
    """Every problem of the corpus in a folder, sorted by place; none for a sound one.

    A fault is told once, by the rule that names it best: a checksum is complained of only where nothing more can be
    said of the file, and what follows from a fault elsewhere is left out. Images are read chunk by chunk.

    Parameters
    ----------
    engine
        What checks the records, one to a unit; left out, this process. The answer is the same.

    Raises
    ------
    CorpusError
        There is no corpus here.
    """
    layout = Layout(Path(root).absolute())
    if not layout.corpus.is_file():
        raise CorpusError("there is no corpus here", where=root, fix="name a folder that holds corpus.json")
    top = header.read(layout)
    if top.foreign:
        return tuple(top.problems)
    folders = sorted(layout.relative(p.parent) for p in layout.records.glob(f"??/*/{RECORD}"))
    reports = _agreeing(_records(layout, folders, engine))
    entries = {r.folder: r.entry for r in reports if r.entry is not None}
    header.judge(top, layout, parts=_parts(entries.values()))
    told = plate.check(layout, entries)
    reports = [_excused(r) if r.folder in told.astray else r for r in reports]
    found = [*top.problems, *told.problems, *(p for r in reports for p in r.problems)]
    for r in reports:
        gone = [p for p in r.away if not told.explains(p)]
        found += [Problem("layer-missing", p, "a layer is not there that its record lists") for p in gone]
    found += [*_derived(layout, top, reports, told), *runs.check(layout)]
    return tuple(sorted(set(found), key=lambda p: p.order))


def _records(layout: Layout, folders: Sequence[str], engine: Engine | None) -> list[Report]:
    work = _Check(layout)
    outcomes: Iterable[Outcome[str]] = (
        engine.map(work, folders) if engine else (attempt(work, folder, tries=1) for folder in folders)
    )
    reports = []
    for done in outcomes:
        if done.error is not None:
            failed = Problem("check-failed", f"{done.unit}/{RECORD}", done.error.message, done.error.fix)
            reports.append(Report(done.unit, problems=(failed,)))
        else:
            reports.append(done.value)
    return sorted(reports, key=lambda r: r.folder)


@dataclass(frozen=True, slots=True)
class _Check:
    """The work of one unit."""

    layout: Layout

    def __call__(self, folder: str) -> Report:
        return record.check(self.layout, folder)


def _agreeing(reports: list[Report]) -> list[Report]:
    """The reports with what only shows beside one another: records of one name, tables that lack a column."""
    names = Counter(r.entry.name for r in reports if r.entry is not None)
    wanted: dict[tuple[str, str], Counter[tuple[str, ...]]] = {}
    for r in reports:
        for layer, columns in r.columns.items():
            wanted.setdefault(_alike(r, layer), Counter())[columns] += 1
    return [_twice(_lacking(r, wanted), names) for r in reports]


def _alike(report: Report, layer: str) -> tuple[str, str]:
    """What tables of the same columns have in common: the name, whichever guess it is about, and the op."""
    assert report.entry is not None, "only a record that was read has tables"
    op = report.entry.layers[layer].made.step.get("op", {})
    return truth_of(layer), str(op.get("name", "")) if isinstance(op, Mapping) else ""


def _twice(report: Report, names: Mapping[str, int]) -> Report:
    entry = report.entry
    if entry is None or names[entry.name] < 2:
        return report
    if not any(p.rule == "slug-mismatch" for p in report.problems):
        return report
    said = f"another record is called {entry.name!r} too"
    twice = Problem("record-duplicate", f"{report.folder}/{RECORD}", said, "remove one of them")
    return Report(report.folder, problems=(twice,))


def _lacking(report: Report, wanted: Mapping[tuple[str, str], Counter[tuple[str, ...]]]) -> Report:
    """A report that says which columns a table lacks that other records' tables of the same step have."""
    problems = list(report.problems)
    for layer, columns in report.columns.items():
        others = wanted[_alike(report, layer)]
        usual = max(others, key=lambda c: (others[c], len(c), c))
        lacking = [c for c in usual if c not in columns]
        if not lacking or report.entry is None:
            continue
        place = report.entry.layers[layer].path
        if not any(p.place == place for p in problems):
            continue
        problems = [p for p in problems if p.place != place]
        said = f"no column {', '.join(lacking)}, as other tables of its kind have"
        problems.append(Problem("column-missing", place, said))
    return replace(report, problems=tuple(problems))


def _excused(report: Report) -> Report:
    """The report of a record whose groups are wrong: that says already that its file was changed."""
    kept = tuple(p for p in report.problems if p.rule != "record-checksum")
    return replace(report, problems=kept, astray=True)


def _parts(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Which parts of the corpus need a licence."""
    kinds = {le.kind for e in entries for le in e.layers.values() if not le.made.fingerprint}
    return tuple(part for part, kind in (("images", "image"), ("annotations", "labels")) if kind in kinds)


def _derived(layout: Layout, top: header.Header, reports: list[Report], told: plate.Told) -> list[Problem]:
    """Problems of what is computed from the records, as far as it does not follow from theirs."""
    entries = {r.entry.name: r.entry for r in reports if r.entry is not None}
    folders = {r.folder for r in reports}
    index, found = header.table(layout, INDEX, ("record", "slug", "layers", "digest"))
    absent = header.missing(index, set(entries), folders) if index is not None else {}
    for folder, name in absent.items():
        found.append(Problem("record-missing", folder, f"the index lists the record {name!r}, which is not there"))
    sound = not absent and all(r.sealed for r in reports)
    if index is not None and sound:
        found += header.stale(index, entries)
    splits, wrong = header.table(layout, SPLITS, ("scheme", "record", "part"))
    found += wrong
    if splits is not None and index is not None:
        found += header.splits(splits, {*entries, *index["record"].tolist()})
    if sound and not top.problems:
        found += header.digests(top, entries)
    if not top.written and top.body and not any(p.place == CORPUS for p in (*top.problems, *found)):
        found.append(Problem("corpus-checksum", CORPUS, "was changed since it was written", "build again"))
    for place in plate.previews(layout):
        wrong = plate.preview(layout, place)
        told.explained |= {place} if wrong else set()
        found += wrong
    places = {p.place for p in found}
    found += header.seals(top, layout, lambda name: name in places or told.explains(name))
    found += strays.top(layout)
    found += strays.records(layout, {*folders, *absent})
    if sound:
        fields = {le.path for e in entries.values() for le in e.layers.values()}
        found += strays.plates(layout, fields, {"/".join(p.place.split("/")[:2]) for p in told.problems})
    if sound and not found and not top.problems and not told.problems:
        found += header.readme(layout)
    return found
