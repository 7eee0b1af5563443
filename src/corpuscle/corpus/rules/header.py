"""corpus.json and what is derived beside it: index, splits, card, digests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpuscle.core import Study, Table
from corpuscle.corpus.complete import card, index
from corpuscle.corpus.corpus import Corpus, corpus_digest, study_from
from corpuscle.corpus.entry import Entry, checksum
from corpuscle.corpus.layout import CORPUS, FORMAT, INDEX, README, SPLITS, Layout
from corpuscle.corpus.rules import study as studies
from corpuscle.corpus.rules.place import inside, sha256
from corpuscle.corpus.rules.problem import Problem
from corpuscle.errors import CorpuscleError, CorpusError, FormatError
from corpuscle.formats import vetted
from corpuscle.store import digest, parquet

_AGAIN = "build again: it is computed anew from the records"


@dataclass(slots=True)
class Header:
    """What corpus.json says, as far as it can be relied on.

    Parameters
    ----------
    body
        All of it; empty where it cannot be read.
    problems
        What is wrong with it alone.
    written
        Whether it is byte for byte what was written.
    """

    body: Mapping[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    written: bool = False
    study: Study | None = None

    @property
    def foreign(self) -> bool:
        """Whether it is of another format, so that nothing else can be said."""
        return any(p.rule == "corpus-format" for p in self.problems)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of each sealed file, by its path; none where they cannot be relied on."""
        told = self.body.get("files", {})
        return {str(k): str(v) for k, v in told.items()} if self.written and isinstance(told, dict) else {}


def read(layout: Layout) -> Header:
    """Read corpus.json."""
    try:
        body = vetted.load(layout.corpus)
    except FormatError as e:
        return Header(problems=[Problem("json-torn", CORPUS, e.message)])
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        told = body.get("format") if isinstance(body, dict) else body
        said = f"format {str(told)[:40]} is not {FORMAT}, the one read here"
        return Header(problems=[Problem("corpus-format", CORPUS, said, "use the release that wrote it")])
    try:
        text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        written = body.get("checksum") == checksum(body)
        written = written and text.encode("utf-8", "backslashreplace") == layout.corpus.read_bytes()
    except RecursionError:
        return Header(problems=[Problem("json-torn", CORPUS, "is nested too deep")])
    out = Header(body, written=written)
    if not body.get("digest"):
        out.problems.append(Problem("corpus-unfinished", CORPUS, "it has no digest yet", "build again: it goes on"))
    return out


def judge(out: Header, layout: Layout, *, parts: tuple[str, ...]) -> None:
    """Judge the study; `parts` are those of the corpus that need a licence."""
    told = out.body.get("study", {})
    if not out.body:
        return
    if not isinstance(told, dict):
        out.problems.append(Problem("study-fields", CORPUS, "the study is no JSON object"))
        return
    try:
        out.study = study_from(told, layout.corpus)
        licences = [told.get("licences", {}), *told.get("licences", {}).values()]
        texts = [t for x in licences[1:] for t in (x["spdx"] or "", x.get("source", ""))]
        if not isinstance(told.get("title"), str) or not all(isinstance(t, str) for t in texts):
            raise CorpusError("title and licences are texts")
        digest.of_json(told)
        out.problems += studies.study(told, CORPUS, parts=parts)
    except (CorpuscleError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as e:
        out.study = None
        out.problems.append(Problem("study-fields", CORPUS, getattr(e, "message", str(e))[:200]))


def digests(out: Header, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Hold the digests against the records; to be asked only where study and record files are sound."""
    if not out.body or out.study is None or not out.body.get("digest"):
        return
    told = {"digest": corpus_digest(out.study, entries), "records": len(entries)}
    for key, value in told.items():
        if out.body.get(key) != value:
            said = f"{key} is not that of the {len(entries)} records and the study"
            yield Problem("corpus-digest", CORPUS, said, _AGAIN)
            return


def table(layout: Layout, name: str, columns: Sequence[str]) -> tuple[Table | None, list[Problem]]:
    """A table at the root of the corpus that has these columns of text, and what is wrong with it."""
    path = layout.root / name
    if inside(layout, name) is None:
        return None, [Problem("path-outside", name, "a link leads out of the corpus", "put the file itself there")]
    if not path.is_file():
        return None, []
    try:
        found = parquet.read_table(path)
    except CorpuscleError as e:
        rule = "column-missing" if e.rule == "column-missing" else "table-corrupt"
        return None, [Problem(rule, name, e.message, _AGAIN)]
    if lacking := [c for c in columns if c not in found.columns]:
        said = f"no column {', '.join(lacking)} among {list(found.columns)[:20]}"
        return None, [Problem("column-missing", name, said, _AGAIN)]
    if odd := [c for c in columns if not all(isinstance(v, str) for v in found[c].tolist())]:
        return None, [Problem("table-corrupt", name, f"column {odd[0]} holds what is no text", _AGAIN)]
    return found, []


def missing(found: Table, names: set[str], folders: set[str]) -> dict[str, str]:
    """Folder and name of each record of the index that is not there; one that cannot be read is there all the same."""
    rows = zip(found["record"].tolist(), found["slug"].tolist(), strict=True)
    places = {f"records/{s[-8:-6]}/{s}": n for n, s in rows if n not in names}
    return {place: name for place, name in places.items() if place not in folders}


def stale(found: Table, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Hold the index against the records; to be asked only where record files are sound."""
    wanted = index(entries)
    names = Counter(found["record"].tolist())
    if twice := sorted(n for n, k in names.items() if k > 1):
        yield Problem("id-duplicate", INDEX, f"lists {twice[0]!r} {names[twice[0]]} times", _AGAIN)
        return
    if lacking := sorted(set(wanted.columns) - set(found.columns)):
        yield Problem("column-missing", INDEX, f"no column {', '.join(lacking)}", _AGAIN)
    elif digest.of_table(found) != digest.of_table(wanted):
        yield Problem("index-stale", INDEX, "is not what the record files say", _AGAIN)


def splits(found: Table, known: set[str]) -> Iterator[Problem]:
    """Hold the splits against the names of records."""
    seen: set[tuple[str, str]] = set()
    absent: dict[str, list[str]] = {}
    twice: dict[str, list[str]] = {}
    for scheme, record in zip(found["scheme"].tolist(), found["record"].tolist(), strict=True):
        if record not in known:
            absent.setdefault(scheme, []).append(record)
        elif (scheme, record) in seen:
            twice.setdefault(scheme, []).append(record)
        seen.add((scheme, record))
    fix = "make the split anew: names that a published split has and the corpus lacks are kept apart"
    for rule, by, what in (("split-absent", absent, "no record"), ("split-duplicate", twice, "more than once")):
        for scheme, names in sorted(by.items()):
            shown = ", ".join(repr(n) for n in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield Problem(rule, SPLITS, f"split {scheme!r} names {shown}: {what}", fix)


def seals(out: Header, layout: Layout, explains: Callable[[str], bool]) -> Iterator[Problem]:
    """Hold the derived files against their seals, but for those of which something else is told already."""
    for name, sha in sorted(out.files.items()):
        if explains(name):
            continue
        path = inside(layout, name)
        if path is None:
            yield Problem("path-outside", name, "a sealed file leads out of the corpus")
        elif not path.is_file():
            yield Problem("file-missing", name, "a file is missing that the corpus seals", _AGAIN)
        elif sha256(path) != sha:
            yield Problem("file-seal", name, "was changed since it was written", _AGAIN)


def readme(layout: Layout) -> Iterator[Problem]:
    """Hold the card against what is computed; to be asked only where all that it tells of is sound."""
    path = layout.root / README
    try:
        same = path.read_bytes() == card(Corpus(layout.root)).encode()
    except OSError:
        yield Problem("file-missing", README, "the card is not there", _AGAIN)
    else:
        if not same:
            yield Problem("card-stale", README, "is not the card of this corpus", _AGAIN)
