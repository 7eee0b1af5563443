"""The verbs that make something: build, demo, plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpuscle.blocks.engines.local import Local
from corpuscle.cli import show
from corpuscle.cli.app import setting
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError
from corpuscle.recipe import build, configured
from corpuscle.recipes import load


def run_build(name: str, raw: Path, root: Path, *, workers: int | None, settings: Sequence[str], as_json: bool) -> int:
    """Build a corpus; 1 where some files failed."""
    recipe = configured(load(name), dict(setting(s) for s in settings))

    def tell(problem: CorpuscleError) -> None:
        show.complain(problem, as_json=as_json, note=problem.rule in NOTES)

    with Local(workers) as engine:
        done = build(recipe, raw, root, engine=engine, watch=show.watcher(as_json=as_json), tell=tell)
    show.receipt(done, as_json=as_json, what=f"build {name}")
    corpus = Corpus.open(root)
    if as_json:
        show.say_json({"corpus": str(root), "records": len(corpus), "digest": corpus.digest})
    else:
        print(f"{len(corpus)} records under {root}, digest {corpus.digest}")
    return 0 if done.ok else 1


NOTES = frozenset({"channel-missing", "mask-overlap"})


def run_demo(name: str, directory: Path, *, size: str, workers: int | None, as_json: bool) -> int:
    """Fake, build, bench, report."""
    from corpuscle.cli.judge import bench_and_keep, write_report

    recipe = load(name)
    raw, root, page = directory / "raw", directory / "corpus", directory / "report.html"
    if not raw.exists():
        recipe.fake(raw, size=size)
    code = run_build(name, raw, root, workers=workers, settings=(), as_json=as_json)
    corpus = Corpus.open(root)
    bench_and_keep(corpus, (), (), workers=workers, as_json=as_json)
    write_report(corpus, page, workers=workers)
    if as_json:
        show.say_json({"report": str(page)})
    else:
        print(f"the report is {page}")
    return code


def run_plan(name: str, raw: Path, *, memory: float | None, workers: int | None, as_json: bool) -> None:
    """Say what a build would take; a PlanError where it cannot fit."""
    from corpuscle.recipe.forecast import forecast

    recipe = load(name)
    with Local(workers) as engine:
        told = forecast(recipe, raw, workers=engine.workers, memory=None if memory is None else int(memory * 1e9))
    if as_json:
        for row in told.rows:
            show.say_json({"stage": row.stage, "units": row.units, "seconds": row.seconds, "disk_mb": row.disk / 1e6})
        show.say_json({"peak_mb": told.peak / 1e6, "disk_mb": told.disk / 1e6, "seconds": told.seconds})
        return
    rows = [(r.stage, r.units, f"{r.disk / 1e6:.0f} MB", f"{r.seconds:.0f} s") for r in told.rows]
    show.table(("stage", "units", "disk", "time"), rows)
    print(
        f"{told.records} records, {told.files} files, {told.read / 1e6:.0f} MB to read; "
        f"peak memory about {told.peak / 1e6:.0f} MB, disk {told.disk / 1e6:.0f} MB, time {told.seconds:.0f} s"
    )
