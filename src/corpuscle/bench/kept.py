"""Benchmarks that were run before, read back while they still hold."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpuscle.bench.board import Row
from corpuscle.bench.run import Run, parts_of
from corpuscle.bench.task import Task
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError, StoreError
from corpuscle.metrics.tally import metric_id
from corpuscle.store.atomic import read_json
from corpuscle.store.digest import of_json


def latest(corpus: Corpus, tasks: Sequence[Task]) -> Run | None:
    """The last kept run that is whole and still true: None where the bench must run again.

    It holds for the same corpus digest, the same versions of the metrics, the same parts of the same splits, and
    guesses made by the same steps: the digest alone says nothing of guesses.
    """
    wanted = _wanted(corpus, tasks)
    for path in sorted(corpus.layout.runs.glob("bench-*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        run = read(path)
        if run is None or any(r.corpus != corpus.digest for r in run.rows):
            continue
        if {(r.task, r.guess, r.split, r.metric, r.n_records, r.step) for r in run.rows} == wanted:
            return run
    return None


def read(path: Path) -> Run | None:
    """The run in a file that `keep` wrote; None where it holds none."""
    try:
        body = read_json(path)
        if not path.stem.endswith(of_json(body)[:16]):
            return None
        rows = tuple(Row.from_json(json.dumps(r)) for r in body["rows"])
        return Run(rows, {(r.task, r.guess): _records(body["records"][f"{r.task}/{r.guess}"]) for r in rows})
    except (StoreError, CorpuscleError, KeyError, TypeError, AttributeError, ValueError):
        return None


def _records(told: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {n: {k: math.nan if v is None else float(v) for k, v in s.items()} for n, s in told.items()}


def _wanted(corpus: Corpus, tasks: Sequence[Task]) -> set[tuple[str, str, str, str, int, str | None]]:
    """What the rows of a whole run say: task, guess, split, metric, records, step."""
    out = set()
    parts = dict(parts_of(corpus))
    for task in tasks:
        for guess in corpus.guesses(task.truth):
            made = {
                n: e.layers[guess].made.fingerprint
                for n, e in corpus.entries.items()
                if guess in e.layers and task.truth in e.layers
            }
            for label, names in parts.items():
                chosen = [made[n] for n in names if n in made]
                if chosen:
                    mark = chosen[0] if len(set(chosen)) == 1 else None
                    out.add((task.name, guess, label, metric_id(task.metric), len(chosen), mark or None))
    return out
