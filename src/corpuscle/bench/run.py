"""Score the guesses of a corpus, split by split, and keep what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from corpuscle.bench.board import Row, environment, flags
from corpuscle.bench.bootstrap import scores
from corpuscle.bench.task import Task, score_record
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.progress import Progress, Watch, unwatched
from corpuscle.core import Record
from corpuscle.corpus.afar import AnyShelf
from corpuscle.corpus.audit import clean
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.leaks import leaks_of
from corpuscle.corpus.split import Split
from corpuscle.errors import CorpuscleError, SettingsError
from corpuscle.metrics.tally import Tally, metric_id
from corpuscle.store.atomic import write_json
from corpuscle.store.digest import of_json


@dataclass(frozen=True, slots=True)
class Run:
    """What a benchmark found.

    `records` holds, for each (task, guess), the scores of each record by name: the report shows
    the worst of them.
    """

    rows: tuple[Row, ...]
    records: Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]]
    failures: tuple[CorpuscleError, ...] = ()


def benchmark(
    corpus: Corpus,
    tasks: Sequence[Task],
    *,
    guesses: Sequence[str] = (),
    engine: Engine,
    watch: Watch = unwatched,
) -> Run:
    """Every guess at every task, over all records, over each part of each split, and over what the audit leaves of it.

    Raises SettingsError for a guess that no record has. A record that cannot be scored is told of in `failures`.
    """
    known = corpus.guesses()
    if absent := [g for g in guesses if g not in known]:
        raise SettingsError(f"no record has the guess {absent[0]!r}", fix=f"choose among {known}", rule="guess-unknown")
    rows: list[Row] = []
    by_record: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    failures: list[CorpuscleError] = []
    parts = dict(parts_of(corpus))
    for task in tasks:
        for guess in [g for g in corpus.guesses(task.truth) if not guesses or g in guesses]:
            names = [n for n, e in corpus.entries.items() if task.truth in e.layers]
            answered = [n for n in names if guess in corpus.entries[n].layers]
            for lacking in sorted(set(names) - set(answered)):
                failures.append(SettingsError(f"no {guess} here to score", where=lacking, rule="guess-missing"))
            tallies, bad = _tallies(corpus, task, guess, answered, engine, watch)
            failures += bad
            by_record[task.name, guess] = {n: t.scores() for n, t in tallies.items()}
            groups = {n: Record(n, corpus.entries[n].groups).group(task.group) for n in tallies}
            for label, members in parts.items():
                chosen = {n: tallies[n] for n in members if n in tallies}
                if chosen:
                    rows.append(_row(corpus, task, guess, label, chosen, groups))
    return Run(tuple(rows), by_record, tuple(failures))


def parts_of(corpus: Corpus) -> Iterable[tuple[str, tuple[str, ...]]]:
    """What is scored: all records, each part of each split, and of each split that leaks, what the audit leaves."""
    yield "all", tuple(corpus.entries)
    for scheme, split in corpus.splits().items():
        yield from _labelled(split)
        leaks = leaks_of(corpus, split)
        if leaks:
            yield from _labelled(replace(clean(split, leaks), scheme=f"{scheme}-audited"))


def _labelled(split: Split) -> Iterable[tuple[str, tuple[str, ...]]]:
    for part, names in split.parts.items():
        yield f"{split.scheme}/{part}", names


def _tallies(
    corpus: Corpus, task: Task, guess: str, names: Sequence[str], engine: Engine, watch: Watch
) -> tuple[dict[str, Tally], list[CorpuscleError]]:
    found: dict[str, Tally] = {}
    bad: list[CorpuscleError] = []
    progress = Progress(f"{task.name}: {guess}", total=len(names))
    for outcome in engine.map(partial(_score, corpus.shelf, task, guess), names):
        if outcome.error is None:
            found[outcome.unit] = outcome.value
            progress = progress.tick(done=1)
        else:
            bad.append(outcome.error)
            progress = progress.tick(failed=1)
        watch(progress)
    return {n: found[n] for n in sorted(found)}, bad


def _score(shelf: AnyShelf, task: Task, guess: str, name: str) -> Tally:
    return score_record(task, shelf.record(name), guess)


def _row(
    corpus: Corpus, task: Task, guess: str, label: str, tallies: Mapping[str, Tally], groups: Mapping[str, str]
) -> Row:
    marks = {corpus.entries[n].layers[guess].made.fingerprint for n in tallies}
    mark = marks.pop() if len(marks) == 1 else None
    return Row(
        task=task.name,
        guess=guess,
        split=label,
        metric=metric_id(task.metric),
        corpus=corpus.digest,
        step=mark or None,
        n_records=len(tallies),
        scores=tuple(scores(tallies, {n: groups[n] for n in tallies})),
        environment=environment(),
        flags=flags(tallies),
    )


def keep(corpus: Corpus, run: Run) -> str:
    """Write the run under ``runs/`` of the corpus; its id is its own digest, so the same figures are one file."""
    rows = [json.loads(r.to_json()) for r in run.rows]
    records = {f"{t}/{g}": {n: dict(s) for n, s in by.items()} for (t, g), by in run.records.items()}
    body = {"kind": "bench", "corpus": corpus.digest, "rows": rows, "records": _no_nan(records)}
    name = of_json(body)[:16]
    corpus.layout.runs.mkdir(exist_ok=True)
    write_json(corpus.layout.runs / f"bench-{name}.json", body)
    return name


def _no_nan(value: object) -> object:
    if isinstance(value, dict):
        return {k: _no_nan(v) for k, v in value.items()}
    return None if isinstance(value, float) and value != value else value
