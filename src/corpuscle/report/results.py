"""What was measured: leaderboards, plots, the records from worst to best, and the objects behind the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpuscle.bench.board import Row
from corpuscle.bench.run import Run
from corpuscle.corpus.corpus import Corpus
from corpuscle.report import overlays, plots, worst
from corpuscle.report.gallery import Plot
from corpuscle.report.headline import Headline, audited, boards, different, headline, published
from corpuscle.report.overlays import Overlay

ALL = "all"
RECORDS = 500
"""The table of records shows the worst of them, up to this many."""


@dataclass(frozen=True, slots=True)
class Board:
    """One leaderboard as a table."""

    split: str
    head: Headline
    n_records: int
    n_groups: int
    note: str


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Everything measured for one task; boards come in pairs where an audited split stands beside its published one."""

    name: str
    metric: str
    boards: tuple[tuple[Board, ...], ...]
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record in the table of records: its groups, its objects, and a few scores of each guess."""

    name: str
    groups: str
    n_truth: int | None
    cells: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """All of it; `best` is the guess whose pictures are shown."""

    tasks: tuple[TaskResult, ...]
    best: str | None
    colours: Mapping[str, str]
    pictures: tuple[Overlay, ...]
    faults: tuple[tuple[worst.Kind, str, tuple[Overlay, ...]], ...]
    guesses: tuple[str, ...]
    columns: tuple[str, ...]
    records: tuple[RecordRow, ...]
    of_records: int


def results(corpus: Corpus, run: Run) -> Results:
    """Tables and plots of a run, and pictures of what its best guess got wrong."""
    by = boards(run.rows)
    order = _order(by)
    colour = plots.colours(order)
    found = tuple(_task(task, {s: rows for (t, s), rows in by.items() if t == task}, colour) for task in _tasks(run))
    objects = _objects_task(run)
    best = _best(by, objects)
    scores = run.records.get((objects, best), {}) if objects and best else {}
    pictures = overlays.whole(corpus, _examples(scores), best) if best and scores else []
    faults = overlays.crops(corpus, scores, best) if best and scores else {}
    columns, records = _records(corpus, run, objects, order)
    return Results(
        found,
        best,
        colour,
        tuple(pictures),
        tuple((kind, worst.KINDS[kind], tuple(some)) for kind, some in faults.items()),
        tuple(order),
        columns,
        records[:RECORDS],
        len(records),
    )


def _tasks(run: Run) -> list[str]:
    return list(dict.fromkeys(r.task for r in run.rows))


def _objects_task(run: Run) -> str | None:
    """The first task that scores object by object."""
    return next((r.task for r in run.rows if any(s.metric == "mean_f1" for s in r.scores)), None)


def _order(by: Mapping[tuple[str, str], Sequence[Row]]) -> list[str]:
    """The guesses, best first by the first board there is; the others as they come."""
    order: dict[str, None] = {}
    for rows in by.values():
        order |= dict.fromkeys(r.guess for _, r in headline(rows).places)
    return list(order)


def _best(by: Mapping[tuple[str, str], Sequence[Row]], task: str | None) -> str | None:
    rows = next((rows for (t, _), rows in by.items() if t == task), None)
    return headline(rows).places[0][1].guess if rows else None


def _task(task: str, by_split: Mapping[str, list[Row]], colour: Mapping[str, str]) -> TaskResult:
    pairs = []
    for split in by_split:
        if published(split) in by_split and published(split) != split:
            continue
        twin = audited(split)
        pairs.append(tuple(_board(s, by_split[s]) for s in (split, twin) if s in by_split))
    return TaskResult(task, next(iter(by_split.values()))[0].metric, tuple(pairs), tuple(_plots(by_split, colour)))


def _board(split: str, rows: Sequence[Row]) -> Board:
    head = headline(rows)
    first = head.places[0][1]
    score = first.score(head.by)
    flags = "; ".join(f"{r.guess}: {flag}" for r in rows for flag in r.flags)
    return Board(split, head, first.n_records, score.n_groups, flags or score.note)


def _plots(by_split: Mapping[str, list[Row]], colour: Mapping[str, str]) -> list[Plot]:
    first = next(iter(by_split.values()))
    head = headline(first)
    shown = {s: [r for _, r in headline(rows).places] for s, rows in different(by_split).items()}
    out = []
    for metric, label in head.columns[:2]:
        svg = plots.scores(shown, metric, name=label, colour=colour)
        out.append(Plot(label, svg, "micro average; groups drawn whole 1000 times for the intervals"))
    if any(s.metric == "mean_f1" for s in first[0].scores):
        ranked = [r for _, r in head.places]
        where = f"all {ranked[0].n_records} records" if ranked[0].split == ALL else ranked[0].split
        out.append(Plot("F1 by how strictly outlines must agree", plots.curves(ranked, colour=colour), where))
        out.append(Plot("Recall by size of object", plots.sizes(ranked, colour=colour), f"at IoU 0.5, {where}"))
    return out


def _examples(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """The worst record, the one in the middle and the best, with what to say of each."""
    order = overlays.ranked(scores)
    chosen: dict[str, str] = {}
    for at, said in ((0, "worst"), (len(order) // 4, "lower quarter"), (len(order) // 2, "middle"), (-1, "best")):
        if order and order[at] not in chosen:
            chosen[order[at]] = said
    return [
        (n, f"{said}: F1 at IoU 0.5 is {scores[n].get('f1@.50', math.nan):.3f}, mean F1 {scores[n]['mean_f1']:.3f}")
        for n, said in chosen.items()
    ]


def _records(
    corpus: Corpus, run: Run, task: str | None, guesses: Sequence[str]
) -> tuple[tuple[str, ...], tuple[RecordRow, ...]]:
    """Column names, and a row per scored record, by the mean F1 of the best guess, the worst first."""
    if task is None:
        return (), ()
    shown = [g for g in guesses if (task, g) in run.records]
    columns = [f"{label} {g}" for g in shown for label in ("F1@0.5", "mean F1")]
    names = dict.fromkeys(n for g in shown for n in run.records[task, g])
    rows = []
    for name in names:
        cells, n_truth = [], None
        for guess in shown:
            scores = run.records[task, guess].get(name, {})
            cells += [scores.get("f1@.50", math.nan), scores.get("mean_f1", math.nan)]
            if "n_truth" in scores:
                n_truth = int(scores["n_truth"])
        groups = corpus.entries[name].groups if name in corpus else {}
        rows.append(RecordRow(name, " / ".join(groups.values()), n_truth, tuple(cells)))
    rows.sort(key=lambda r: (math.isnan(r.cells[1]), r.cells[1], r.name))
    return tuple(columns), tuple(rows)
