"""What a reader should know before the numbers: the corpus in a few words, warnings, gaps, how to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpuscle.bench.board import Row
from corpuscle.bench.run import Run
from corpuscle.core import truth_of
from corpuscle.corpus.audit import SEVERITIES, Leak
from corpuscle.corpus.corpus import Corpus
from corpuscle.report.gallery import counts
from corpuscle.report.headline import boards, cell, chosen, different, headline, published
from corpuscle.report.survey import Survey

LISTED = 20


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the overview, with its name and where it comes from."""

    value: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Best:
    """The best guess at a task, as it was chosen in the split `among`.

    `cells` has its score in each split of `Overview.splits`, '' where it has none.
    """

    task: str
    guess: str
    among: str
    of: int
    score: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The corpus in a few numbers, and the best guess at each task."""

    tiles: tuple[Tile, ...]
    splits: tuple[str, ...]
    best: tuple[Best, ...]


def overview(corpus: Corpus, looked: Survey, run: Run) -> Overview:
    """The numbers at the head of the page; of splits, those parts that nothing should be trained on."""
    objects = counts(run, looked)
    n_records, n_plates = len(looked.acquired), len(looked.wells)
    n_wells, total = sum(len(w) for w in looked.wells.values()), sum(objects.values())
    guesses = sorted({r.guess for r in run.rows})
    known = sum(n for size, n in looked.pixels.items() if size != "unknown")
    tiles = [Tile(f"{n_records:,}", _many(n_records, "record"), "records with something from the raw files")]
    if n_plates:
        tiles.append(Tile(f"{n_plates:,}", _many(n_plates, "plate"), "groups of the records"))
        tiles.append(Tile(f"{n_wells:,}", _many(n_wells, "well"), "groups of the records"))
    tiles.append(Tile(f"{total:,}", _many(total, "object"), f"in the truth of {len(objects)} records"))
    tiles.append(Tile(str(len(guesses)), "guess" if len(guesses) == 1 else "guesses", ", ".join(guesses)))
    told = f"{known} of {sum(looked.pixels.values())}"
    tiles.append(Tile(told, "pixel sizes known", "the own image of each record that was looked into"))
    found = boards(run.rows)
    by_task = {t: different({s: rows for (u, s), rows in found.items() if u == t}) for t, _ in found}
    splits = [s for s in dict.fromkeys(s for shown in by_task.values() for s in shown) if not s.endswith("/train")]
    splits.sort(key=lambda s: (s != "all", published(s), s != published(s)))
    return Overview(tuple(tiles), tuple(splits), tuple(_best(t, shown, splits) for t, shown in by_task.items()))


def _best(task: str, shown: Mapping[str, list[Row]], splits: Sequence[str]) -> Best:
    guess, among = chosen(shown)
    first = shown[among]
    head = headline(first)
    own = {s: r for s, rows in shown.items() for r in rows if r.guess == guess}
    cells = tuple(cell(own[s].score(head.by)) if s in own else "" for s in splits)
    return Best(task, guess, among, len(first), dict(head.columns).get(head.by, head.by), cells)


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
    if not run.rows:
        out.append("Nothing was scored: no record has both a truth and a guess at it.")
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
        bare = [n for n in looked.acquired if truth not in corpus.entries[n].layers]
        if bare:
            few = f"{len(bare)} of {len(looked.acquired)} records"
            out.append(f"{few} have no {truth}, {bare[0]!r} among them, and were not scored.")
    gaps = {n: e.facts["missing_channels"].value for n, e in corpus.entries.items() if "missing_channels" in e.facts}
    out += _listed([f"{n}: channels {c} are missing." for n, c in gaps.items()], "more records lack channels")
    overlaps = {n: e.facts["overlapping_pixels"].value for n, e in corpus.entries.items()
                if "overlapping_pixels" in e.facts and e.facts["overlapping_pixels"].value}  # fmt: skip
    told = [f"{n}: {v} pixel(s) claimed by two masks; the first keeps them." for n, v in overlaps.items()]
    out += _listed(told, "more records have masks that overlap")
    if unknown := looked.pixels.get("unknown"):
        out.append(f"The pixel size of {unknown} images is unknown; their lengths are in pixels.")
    if len(looked.looked) < len(looked.acquired):
        few = f"{len(looked.looked)} of {len(looked.acquired)} records"
        out.append(f"Sizes and brightness are from {few}, evenly spaced.")
    if computed := [n for n in corpus.entries if n not in set(looked.acquired)]:
        out += _listed([f"{n} holds what was computed of the whole group." for n in computed], "more hold the same")
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
