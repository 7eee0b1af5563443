"""What a reader should know before the numbers: the corpus in a few words, warnings, gaps, how to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpuscle.bench.run import Run
from corpuscle.core import truth_of
from corpuscle.corpus.audit import SEVERITIES, Leak
from corpuscle.corpus.corpus import Corpus
from corpuscle.report.gallery import counts
from corpuscle.report.headline import boards, cell, different, headline
from corpuscle.report.survey import Survey

LISTED = 20


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the overview, with its name and where it comes from."""

    value: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The corpus in a few numbers, and the result in a sentence or two."""

    tiles: tuple[Tile, ...]
    sentences: tuple[str, ...]


def overview(corpus: Corpus, looked: Survey, run: Run) -> Overview:
    """The numbers at the head of the page."""
    objects = counts(run, looked)
    n_wells = sum(len(w) for w in looked.wells.values())
    n_truth = sum("@" not in row.name and row.kind == "labels" for row in looked.layers)
    tiles = [Tile(f"{len(corpus):,}", _many(len(corpus), "record"), "record files of the corpus")]
    if looked.wells:
        plates = len(looked.wells)
        tiles.append(Tile(f"{plates:,}", _many(plates, "plate"), "groups of the records"))
        tiles.append(Tile(f"{n_wells:,}", _many(n_wells, "well"), "groups of the records"))
    if objects:
        total = sum(objects.values())
        tiles.append(Tile(f"{total:,}", _many(total, "object"), f"in the truth of {len(objects)} records"))
    guesses = sorted({r.guess for r in run.rows})
    tiles.append(Tile(str(len(guesses)), "guess" if len(guesses) == 1 else "guesses", ", ".join(guesses)))
    known = sum(n for size, n in looked.pixels.items() if size != "unknown")
    looked_at = sum(looked.pixels.values())
    tiles.append(Tile(f"{known} of {looked_at}", "pixel sizes known", "images as they were read"))
    sentences = [] if n_truth else ["No record is annotated, so nothing could be scored."]
    sentences += _sentences(run)
    return Overview(tuple(tiles), tuple(sentences))


def _sentences(run: Run) -> list[str]:
    """For each task which guess is best, and how it fares on what no part of a split may train on."""
    out = []
    found = boards(run.rows)
    for task in dict.fromkeys(t for t, _ in found):
        shown = different({s: rows for (t, s), rows in found.items() if t == task})
        first = next(iter(shown.values()))
        head = headline(first)
        best, label = head.places[0][1], dict(head.columns).get(head.by, head.by)
        said = f"{task}: {best.guess} is best of {len(first)}, with a {label} of {cell(best.score(head.by))}"
        said += f" over {best.n_records} {_many(best.n_records, 'record')}"
        for split, rows in shown.items():
            own = next((r for r in rows if r.guess == best.guess), None)
            if own is not None and own is not best and not split.endswith("/train"):
                said += f"; {split} {cell(own.score(head.by))}"
        out.append(f"{said}.")
    return out


def warnings(corpus: Corpus, run: Run, leaks: Mapping[str, Sequence[Leak]]) -> list[str]:
    """What makes figures on this page less than they seem, each in a sentence."""
    out = []
    flagged = dict.fromkeys(f"{r.guess}: {flag}" for r in run.rows for flag in r.flags)
    out += list(flagged)
    for scheme, found in leaks.items():
        by = Counter(k.severity for k in found)
        if by["critical"] or by["serious"]:
            told = ", ".join(f"{by[s]} {s}" for s in SEVERITIES if by[s])
            out.append(
                f"The split {scheme} leaks ({told}): read its scores beside those of {scheme}-audited, "
                "from which the leaking records are left out."
            )
    if run.failures:
        out.append(f"{len(run.failures)} {_many(len(run.failures), 'record')} could not be scored; see the notes.")
    if any("identical" in f for f in flagged):
        out.append("A guess that equals its truth to the pixel was made from it, and its score means nothing.")
    if not corpus.digest:
        out.append("The corpus was never completed, so it has no digest: figures are bound to nothing.")
    return out


def notes(corpus: Corpus, run: Run, looked: Survey) -> list[str]:
    """Gaps and oddities, one line each."""
    out = [f"Known issue: {x}" for x in corpus.study.known_issues]
    out += _listed([str(f) for f in run.failures], "more records could not be scored")
    guesses = {g: truth_of(g) for g in dict.fromkeys(r.guess for r in run.rows)}
    for guess, truth in guesses.items():
        lacking = [n for n, e in corpus.entries.items() if truth in e.layers and guess not in e.layers]
        if lacking:
            out.append(f"{guess} is missing in {len(lacking)} annotated records, {lacking[0]!r} among them.")
    for truth in dict.fromkeys(guesses.values()):
        bare = [n for n, e in corpus.entries.items() if truth not in e.layers]
        if bare:
            out.append(f"{len(bare)} of {len(corpus)} records have no {truth}, {bare[0]!r} among them: none is scored.")
    gaps = {n: e.facts["missing_channels"].value for n, e in corpus.entries.items() if "missing_channels" in e.facts}
    out += _listed([f"{n}: channels {c} are missing." for n, c in gaps.items()], "more records lack channels")
    overlaps = {n: e.facts["overlapping_pixels"].value for n, e in corpus.entries.items()
                if "overlapping_pixels" in e.facts and e.facts["overlapping_pixels"].value}  # fmt: skip
    told = [f"{n}: {v} pixel(s) claimed by two masks; the first keeps them." for n, v in overlaps.items()]
    out += _listed(told, "more records have masks that overlap")
    if unknown := looked.pixels.get("unknown"):
        out.append(f"The pixel size of {unknown} images is unknown; their lengths are in pixels.")
    if len(looked.looked) < len(corpus):
        out.append(f"Sizes and brightness are from {len(looked.looked)} of {len(corpus)} records, evenly spaced.")
    out += _listed([f"{n}: {why}" for n, why in looked.unread.items()], "more records could not be read")
    return out


def commands(corpus: Corpus) -> list[tuple[str, str]]:
    """What to type to get this page again, and what each does."""
    return [
        (f"corpuscle build {corpus.recipe} RAW CORPUS", "the corpus, from the raw files; same digest, same pixels"),
        ("corpuscle check CORPUS", "every problem of the files; none is expected"),
        ("corpuscle audit CORPUS", "the leaks of the splits"),
        ("corpuscle bench CORPUS --json", "every score on this page, one JSON object a line"),
        ("corpuscle report CORPUS report.html", "this page"),
    ]


def _listed(lines: list[str], more: str) -> list[str]:
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"{len(lines) - LISTED} {more}."]


def _many(n: int, word: str) -> str:
    return word if n == 1 else f"{word}s"
