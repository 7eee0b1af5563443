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
from corpuscle.report.headline import Headline, audited, boards, chosen, different, headline, published
from corpuscle.report.overlays import Overlay

ALL = "all"
RATED = ("splits", "merges")
RECORDS = 500
"""The table of records shows the worst of them, up to this many."""


@dataclass(frozen=True, slots=True)
class Board:
    """One leaderboard as a table; `top` has the highest figure of each column, where guesses differ in it."""

    split: str
    head: Headline
    n_records: int
    n_groups: int
    note: str
    top: Mapping[str, str]

    def bold(self, row: Row, metric: str) -> bool:
        """Whether no guess at all these records has a higher score, to the digits that are shown."""
        return row.n_records == self.n_records and f"{row.score(metric).value:.3f}" == self.top.get(metric)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Everything measured for one task; what an audit left of a part stands right after that part.

    `counts` are rows of whole numbers, one for each guess, over all records; empty where the task counts no objects.
    """

    name: str
    metric: str
    boards: tuple[Board, ...]
    counts: tuple[tuple[str, tuple[str, ...]], ...]
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
    """All of it; `best` is the guess whose pictures are shown, chosen in the split `among`."""

    tasks: tuple[TaskResult, ...]
    best: str | None
    among: str
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
    best, among = chosen({s: rows for (t, s), rows in by.items() if t == objects}) if objects else (None, "")
    scores = run.records.get((objects, best), {}) if objects and best else {}
    pictures = overlays.whole(corpus, _examples(scores), best) if best and scores else []
    faults = overlays.crops(corpus, scores, best) if best and scores else {}
    # The table of records is sorted by the guess whose pictures are shown, which need not be first on every board.
    columns, records = _records(corpus, run, objects, sorted(order, key=lambda g: g != best))
    return Results(
        found,
        best,
        among,
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


def _task(task: str, by_split: Mapping[str, list[Row]], colour: Mapping[str, str]) -> TaskResult:
    shown = different(by_split)
    order = [s for first in shown if published(first) == first for s in dict.fromkeys((first, audited(first)))]
    tables = tuple(_board(s, shown[s]) for s in order if s in shown)
    drawn = _plots({s: shown[s] for s in order if s in shown}, colour)
    metric = tables[0].head.places[0][1].metric
    return TaskResult(task, metric, tables, tuple(_counts(tables[0])), tuple(drawn))


def _counts(board: Board) -> list[tuple[str, tuple[str, ...]]]:
    """Objects in truth and guess, splits and merges, and empty records, of each guess."""
    rows = []
    for _, row in board.head.places:
        value = {s.metric: s.value for s in row.scores if s.average == "micro"}
        if not {"n_truth", "splits", "merges"} <= set(value):
            return []
        hundred = value["n_truth"] / 100 or math.nan
        rate = [f"{value[k]:.0f}" + (f" ({value[k] / hundred:.1f})" if hundred == hundred else "") for k in RATED]
        empty = (
            f"{value['empty_correct'] * value['n_empty']:.0f} of {value['n_empty']:.0f}" if value["n_empty"] else "–"
        )
        bias = "–" if math.isnan(value["count_bias"]) else f"{100 * value['count_bias']:+.1f} %".replace("-", "\u2212")
        rows.append((row.guess, (f"{value['n_truth']:.0f}", f"{value['n_guess']:.0f}", bias, *rate, empty)))
    return rows


def _board(split: str, rows: Sequence[Row]) -> Board:
    head = headline(rows)
    first = head.places[0][1]
    score = first.score(head.by)
    return Board(split, head, first.n_records, score.n_groups, score.note, _top(head))


def _top(head: Headline) -> dict[str, str]:
    placed = [row for place, row in head.places if place]
    top = {}
    for metric, _ in head.columns:
        told = [f"{v:.3f}" for row in placed if not math.isnan(v := row.score(metric).value)]
        if len(set(told)) > 1:
            top[metric] = max(told, key=float)
    return top


def _plots(shown: Mapping[str, list[Row]], colour: Mapping[str, str]) -> list[Plot]:
    first = next(iter(shown.values()))
    head = headline(first)
    ranked = {s: [r for _, r in headline(rows).places] for s, rows in shown.items()}
    by_object = any(s.metric == "mean_f1" for s in first[0].scores)
    labels = dict(head.columns)
    out = []
    for metric in ("f1@.50", "mean_f1") if by_object else (head.by,):
        svg = plots.scores(ranked, metric, name=labels[metric], colour=colour)
        out.append(Plot(labels[metric], svg, "Micro averages with 95 % intervals, groups drawn whole 1000 times."))
    if by_object:
        split, rows = next(iter(ranked.items()))
        where = f"All {rows[0].n_records} records" if split == ALL else split
        out.append(Plot("F1 by how strictly outlines must agree", plots.curves(rows, colour=colour), f"{where}."))
        out.append(Plot("Recall by size of object", plots.sizes(rows, colour=colour), f"{where}, at IoU 0.5."))
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
    scored = [(g, "mean_f1") for g in shown]
    scored[:1] = [*scored[:1], *((g, "f1@.50") for g in shown[:1])]
    columns = [f"{'mean F1' if metric == 'mean_f1' else 'F1@0.5'} {guess}" for guess, metric in scored]
    names = dict.fromkeys(n for g in shown for n in run.records[task, g])
    rows = []
    for name in names:
        own = {g: run.records[task, g].get(name, {}) for g in shown}
        n_truth = next((int(s["n_truth"]) for s in own.values() if "n_truth" in s), None)
        groups = corpus.entries[name].groups if name in corpus else {}
        cells = tuple(own[g].get(metric, math.nan) for g, metric in scored)
        rows.append(RecordRow(name, " / ".join(groups.values()), n_truth, cells))
    rows.sort(key=lambda r: (math.isnan(r.cells[0]), r.cells[0], r.name))
    return tuple(columns), tuple(rows)
