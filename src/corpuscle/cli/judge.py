"""The verbs that judge a corpus: check, audit, split, bench, report."""

from __future__ import annotations

import math
import re
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
from corpuscle.errors import CorpusError, SettingsError
from corpuscle.recipes import load
from corpuscle.report.headline import boards, different, headline
from corpuscle.store.atomic import write_bytes

if TYPE_CHECKING:
    from corpuscle.bench.task import Task


SHORT = {"f1@.50": "F1@.50", "mean_f1": "mean F1", "pq": "PQ", "aji_plus": "AJI+", "dsb_map": "DSB mAP",
         "recall@.50[25-100px]": "R 25-100 px"}  # fmt: skip
"""Scores as a narrow terminal has room for them."""

DOUBT = "*"
"""Marks a score whose note is to be read."""

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""How a scheme or a part may be called: it becomes half of a path-like name, ``ours/test``."""

NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE | re.ASCII)

NO_LEVEL = ("name", "duplicate", "overlap", "adjacent")
"""Kinds of leak that are no level of the groups."""


def opened(root: Path) -> Corpus:
    """The corpus in a folder.

    Raises CorpusError: exit code 2 where there is none, because that is a slip of who asks, and 1 where it is broken.
    """
    if not (root / "corpus.json").is_file():
        what = "that is a file" if root.is_file() else "there is no corpus here" if root.exists() else "no such folder"
        fix = "name a folder that holds corpus.json"
        raise CorpusError(what, where=root, fix=fix, rule="corpus-missing", asked=True)
    return Corpus.open(root)


def run_check(root: Path, *, as_json: bool) -> int:
    """Every problem of a corpus; 1 where there is any."""
    from corpuscle.corpus.check import check

    opened(root)
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
    corpus = opened(root)
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
    corpus = opened(root)
    if not WORD.fullmatch(scheme):
        raise SettingsError(
            f"{scheme!r} is no name of a split", fix="use letters, digits, - _ and . only", rule="split-scheme"
        )
    if seed < 0:
        raise SettingsError(f"a seed is 0 or more, not {seed}", fix="give another --seed", rule="split-seed")
    fractions = shares(parts)
    if scheme == "published" and scheme in corpus.splits():
        raise SettingsError(
            "the published split stays as it was published", fix="choose another --scheme", rule="split-published"
        )
    levels = sorted({level for e in corpus.acquired.values() for level in e.groups})
    if by not in levels:
        raise SettingsError(f"no record has a group {by!r}", fix=f"choose one of {levels}", rule="split-level")
    groups = {n: Record(n, e.groups).group(by) for n, e in corpus.acquired.items()}
    made = by_group(groups, fractions=fractions, seed=seed, scheme=scheme)
    write_splits(root, {scheme: made})
    if as_json:
        show.say_json({"scheme": scheme, "by": by, "seed": seed, "sizes": made.sizes})
    else:
        rows = [(part, n, len({groups[x] for x in made.parts[part]})) for part, n in made.sizes.items()]
        show.table(("part", "records", f"{by}s"), rows, title=f"split {scheme}")


def shares(text: str) -> dict[str, float]:
    """Parts and shares as they are typed.

    Raises SettingsError [split-parts] for anything but names, each once, with a share above 0 each.

    >>> shares("train=0.8,test=0.2")
    {'train': 0.8, 'test': 0.2}
    """
    out: dict[str, float] = {}
    for piece in text.split(","):
        part, _, share = (x.strip() for x in piece.partition("="))
        value = float(share) if NUMBER.fullmatch(share) else math.nan
        wrong = (
            f"{piece!r} is no part with a share" if math.isnan(value) or not WORD.fullmatch(part)
            else f"the share of {part} is above 0, not {share}" if not 0 < value < math.inf
            else f"the part {part} is there twice" if part in out
            else ""
        )  # fmt: skip
        if wrong:
            raise SettingsError(wrong, fix="write train=0.8,test=0.2", rule="split-parts")
        out[part] = value
    return out


def run_bench(root: Path, guesses: Sequence[str], tasks: Sequence[str], *, workers: int | None, as_json: bool) -> int:
    """Score, keep, show; 1 where some records could not be scored."""
    run = bench_and_keep(opened(root), guesses, tasks, workers=workers, as_json=as_json)
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
            where=corpus.place,
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
    """The leaderboard, best first: of the first task in all splits, of other tasks over all records.

    Audited parts that lost nothing are left out. A score whose interval is doubtful has a mark, and a note below.
    """
    found = boards(run.rows)
    tasks = list(dict.fromkeys(t for t, _ in found))
    doubts: dict[str, dict[str, None]] = {}
    for task in tasks:
        shown = different({s: rows for (t, s), rows in found.items() if t == task})
        for split, some in shown.items():
            if task != tasks[0] and split != next(iter(shown)):
                continue
            head = headline(some)
            most = max(r.n_records for r in some)
            rows = [(place or "-", _name(row, most), *(_cell(row.score(m)) for m, _ in head.columns))
                    for place, row in head.places]  # fmt: skip
            for note in (s.note for r in some for m, _ in head.columns if _doubtful(s := r.score(m))):
                doubts.setdefault(note, {})[split] = None
            columns = ("", "guess", *(SHORT.get(metric, metric) for metric, _ in head.columns))
            title = f"{task}, {split}: {most} record{'s' * (most != 1)} ({some[0].metric})"
            show.table(columns, rows, title=title)
    if doubts:
        said = "; ".join(f"{note} ({', '.join(splits)})" for note, splits in doubts.items())
        print(f"{DOUBT} {said}")
    if len(tasks) > 1:
        print(
            f"the parts of splits are shown for {tasks[0]} alone; `bench --task` shows those of another, `report` all"
        )
    for warning in dict.fromkeys(f"{row.guess}: {flag}" for row in run.rows for flag in row.flags):
        print(f"warning: {warning}")


def _name(row: Row, most: int) -> str:
    return row.guess if row.n_records == most else f"{row.guess} ({row.n_records} only)"


def _doubtful(score: Score) -> bool:
    return bool(score.note) and not math.isnan(score.value)


def _cell(score: Score) -> str:
    """A score and its interval in as little room as it takes."""
    low, high = (f"{v:.3f}".removeprefix("0") for v in (score.low, score.high))
    interval = "" if math.isnan(score.low) else f" [{low} {high}]"
    return f"{score.value:.3f}{interval}{DOUBT if _doubtful(score) else ''}"


def run_report(root: Path, html: Path, *, workers: int | None) -> None:
    """Write the report of a corpus."""
    corpus = opened(root)
    write_report(corpus, html, workers=workers)
    print(f"wrote {html} ({html.stat().st_size / 1e6:.1f} MB)")


def write_report(corpus: Corpus, html: Path, *, workers: int | None) -> None:
    """Write the report, from the last whole benchmark of this very corpus where there is one, else from a new one."""
    from corpuscle.report.page import render

    refuse_target(corpus.layout.root, html)
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


def refuse_target(root: Path, html: Path) -> None:
    """SettingsError [report-target] where the page would fall into the corpus, or take the place of something else."""
    wrong = ""
    try:
        if html.is_dir():
            wrong = "that is a folder"
        elif html.resolve().is_relative_to(root.resolve()):
            wrong = "a page inside the corpus would be no part of it"
        elif not html.parent.is_dir():
            wrong = "there is no folder to write it into"
        elif html.exists():
            with open(html, "rb") as file:
                start = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
            if start and not start.startswith((b"<!doctype html", b"<html")):
                wrong = "something is here already, and it is no HTML page"
    except OSError as e:
        wrong = f"no page can be written there: {e.strerror or e}"
    if wrong:
        fix = "name a new file outside the corpus, in a folder that is there"
        raise SettingsError(wrong, where=html, fix=fix, rule="report-target")


def tasks_of(corpus: Corpus, names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of the recipe that built a corpus; all, or those named."""
    tasks = load(corpus.recipe).tasks
    known = [t.name for t in tasks]
    if unknown := [n for n in names if n not in known]:
        raise SettingsError(f"no task {unknown[0]!r}", fix=f"choose among {', '.join(known)}", rule="task-unknown")
    return tuple(t for t in tasks if not names or t.name in names)
