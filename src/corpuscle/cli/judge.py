"""The verbs that judge a corpus: check, audit, split, bench, report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from corpuscle.bench.board import Row
from corpuscle.bench.bootstrap import Score
from corpuscle.bench.kept import latest
from corpuscle.bench.run import Run, benchmark, keep
from corpuscle.blocks.engines.local import Local
from corpuscle.cli import show
from corpuscle.core import Record
from corpuscle.corpus.complete import write_splits
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.leaks import leaks_of, twins, unsplit
from corpuscle.corpus.split import by_group, read_split
from corpuscle.errors import SettingsError
from corpuscle.recipes import load
from corpuscle.report.headline import boards, different, headline
from corpuscle.store.atomic import write_bytes

if TYPE_CHECKING:
    from corpuscle.bench.task import Task


SHORT = {"f1@.50": "F1@.50", "mean_f1": "mean F1", "pq": "PQ", "aji_plus": "AJI+", "dsb_map": "DSB mAP",
         "recall@.50[25-100px]": "R 25-100 px"}  # fmt: skip
"""Scores as a narrow terminal has room for them."""

NO_LEVEL = ("name", "duplicate", "overlap", "adjacent")
"""Kinds of leak that are no level of the groups."""


def run_check(root: Path, *, as_json: bool) -> int:
    """Every problem of a corpus; 1 where there is any."""
    from corpuscle.corpus.check import check

    with Local() as engine:
        problems = check(root, engine=engine)
    for p in problems:
        if as_json:
            show.say_json({"file": str(p.place), "rule": p.rule, "reason": p.message, "fix": p.fix})
    if not as_json:
        if problems:
            show.table(("rule", "where", "problem", "fix"), [(p.rule, p.place, p.message, p.fix) for p in problems])
        print(f"{root}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)} found")
    return 1 if problems else 0


def run_audit(root: Path, split: Path | None, *, as_json: bool) -> int:
    """Every leak between the parts of a split file, or of the corpus's own splits; 1 where there is any."""
    corpus = Corpus.open(root)
    splits = [read_split(split)] if split else list(corpus.splits(absent=True).values()) or [unsplit(corpus)]
    copies = twins(corpus)
    found = 0
    for each in splits:
        leaks = leaks_of(corpus, each, copies=copies)
        found += len(leaks)
        if as_json:
            for leak in leaks:
                level = None if leak.kind in NO_LEVEL else leak.kind
                show.say_json({"scheme": each.scheme, "level": level, **leak.as_json()})
            continue
        absent = sum(n not in corpus for n in each.names)
        parts = ", ".join(f"{part} {n}" for part, n in each.sizes.items())
        print(f"split {each.scheme}: {parts}" + (f"; {absent} absent here, audited by name" if absent else ""))
        if leaks:
            rows = [(k.severity, k.kind, k.message, k.advice) for k in leaks]
            show.table(("severity", "kind", "leak", "advice"), rows)
        print(f"{len(leaks) or 'no'} leak{'s' * (len(leaks) != 1)} found")
    return 1 if found else 0


def run_split(root: Path, *, by: str, scheme: str, parts: str, seed: int, as_json: bool) -> None:
    """A split that cuts no group, kept with the corpus."""
    corpus = Corpus.open(root)
    if scheme == "published" and scheme in corpus.splits():
        raise SettingsError(
            "the published split stays as it was published", fix="choose another --scheme", rule="split-published"
        )
    levels = sorted({level for e in corpus.acquired.values() for level in e.groups})
    if by not in levels:
        raise SettingsError(f"no record has a group {by!r}", fix=f"choose one of {levels}", rule="split-level")
    groups = {n: Record(n, e.groups).group(by) for n, e in corpus.acquired.items()}
    made = by_group(groups, fractions=shares(parts), seed=seed, scheme=scheme)
    write_splits(root, {scheme: made})
    if as_json:
        show.say_json({"scheme": scheme, "by": by, "seed": seed, "sizes": made.sizes})
    else:
        rows = [(part, n, len({groups[x] for x in made.parts[part]})) for part, n in made.sizes.items()]
        show.table(("part", "records", f"{by}s"), rows, title=f"split {scheme}")


def shares(text: str) -> dict[str, float]:
    """Parts and shares as they are typed.

    >>> shares("train=0.8,test=0.2")
    {'train': 0.8, 'test': 0.2}
    """
    out: dict[str, float] = {}
    for piece in text.split(","):
        part, _, share = piece.partition("=")
        try:
            out[part.strip()] = float(share)
        except ValueError:
            out = {}
        if not out or not part.strip():
            fix = "write train=0.8,test=0.2"
            raise SettingsError(f"{piece!r} is no part with a share", fix=fix, rule="split-parts")
    return out


def run_bench(root: Path, guesses: Sequence[str], tasks: Sequence[str], *, workers: int | None, as_json: bool) -> int:
    """Score, keep, show; 1 where some records could not be scored."""
    run = bench_and_keep(Corpus.open(root), guesses, tasks, workers=workers, as_json=as_json)
    return 1 if run.failures else 0


def bench_and_keep(
    corpus: Corpus, guesses: Sequence[str], tasks: Sequence[str], *, workers: int | None, as_json: bool
) -> Run:
    """Score guesses (none named: all) at tasks (none named: all), keep the run in the corpus, show what came out."""
    chosen = tasks_of(corpus, tasks)
    with Local(workers) as engine:
        run = benchmark(corpus, chosen, guesses=guesses, engine=engine, watch=show.watcher(as_json=as_json))
    name = keep(corpus, run)
    for failure in run.failures:
        show.complain(failure, as_json=as_json)
    if not run.rows:
        raise SettingsError(
            "there is nothing to score: no record has a guess and its truth",
            where=corpus.root,
            fix="build guesses, or bring annotations",
            rule="bench-nothing",
        )
    if as_json:
        for row in run.rows:
            for score in row.scores:
                said = {k: v for k, v in asdict(score).items() if k != "metric"}
                about = {"task": row.task, "guess": row.guess, "split": row.split, "metric": score.metric}
                bound = {"metric_version": row.metric, "corpus": row.corpus, "flags": row.flags, "run": name}
                show.say_json(about | said | bound)
    else:
        board(run)
        print(f"kept as run {name}; intervals are 95 % over groups drawn whole; corpus digest {corpus.digest}")
    return run


def board(run: Run) -> None:
    """The leaderboard, a table for each task and split, best first; audited parts that lost nothing are left out."""
    found = boards(run.rows)
    for task in dict.fromkeys(t for t, _ in found):
        for split, some in different({s: rows for (t, s), rows in found.items() if t == task}).items():
            head = headline(some)
            most = max(r.n_records for r in some)
            rows = [(place or "-", _name(row, most), *(_cell(row.score(m)) for m, _ in head.columns))
                    for place, row in head.places]  # fmt: skip
            columns = ("", "guess", *(SHORT.get(metric, metric) for metric, _ in head.columns))
            title = f"{task}, {split}: {most} record{'s' * (most != 1)} ({some[0].metric})"
            show.table(columns, rows, title=title)
    for warning in dict.fromkeys(f"{row.guess}: {flag}" for row in run.rows for flag in row.flags):
        print(f"warning: {warning}")


def _name(row: Row, most: int) -> str:
    return row.guess if row.n_records == most else f"{row.guess} ({row.n_records} only)"


def _cell(score: Score) -> str:
    """A score and its interval in as little room as it takes."""
    low, high = (f"{v:.3f}".removeprefix("0") for v in (score.low, score.high))
    return f"{score.value:.3f}" + ("" if math.isnan(score.low) else f" [{low} {high}]")


def run_report(root: Path, html: Path, *, workers: int | None) -> None:
    """Write the report of a corpus."""
    corpus = Corpus.open(root)
    write_report(corpus, html, workers=workers)
    print(f"wrote {html} ({html.stat().st_size / 1e6:.1f} MB)")


def write_report(corpus: Corpus, html: Path, *, workers: int | None) -> None:
    """Write the report, from the last whole benchmark of this very corpus where there is one, else from a new one."""
    from corpuscle.report.page import render

    tasks = tasks_of(corpus, ())
    run = latest(corpus, tasks)
    if run is None:
        with Local(workers) as engine:
            run = benchmark(corpus, tasks, engine=engine, watch=show.watcher(as_json=False))
        if run.rows:
            keep(corpus, run)
    copies = twins(corpus)
    leaks = {scheme: leaks_of(corpus, split, copies=copies) for scheme, split in corpus.splits(absent=True).items()}
    page = render(corpus, run, leaks, tasks, date=datetime.now(UTC).date())
    write_bytes(html, page.encode())


def tasks_of(corpus: Corpus, names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of the recipe that built a corpus; all, or those named."""
    tasks = load(corpus.recipe).tasks
    known = [t.name for t in tasks]
    if unknown := [n for n in names if n not in known]:
        raise SettingsError(f"no task {unknown[0]!r}", fix=f"choose among {', '.join(known)}", rule="task-unknown")
    return tuple(t for t in tasks if not names or t.name in names)
