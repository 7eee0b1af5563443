"""The verbs that make something: build, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpuscle.blocks.engines.dask import Dask
from corpuscle.blocks.engines.local import Local, cores
from corpuscle.cli import show
from corpuscle.cli.app import setting
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError, SettingsError
from corpuscle.recipe import build, configured
from corpuscle.recipes import load


def run_build(
    name: str,
    raw: Path,
    root: Path,
    *,
    workers: int | None,
    settings: Sequence[str],
    as_json: bool,
    cluster: str | None = None,
    memory: int | None = None,
) -> int:
    """Build a corpus; 1 where some files failed. With a bound of memory, a few records are tried first."""
    recipe = configured(load(name), dict(setting(s) for s in settings))
    if memory is not None and raw.exists():
        from corpuscle.recipe.forecast import forecast

        forecast(recipe, raw, workers=cores() if workers is None else workers, memory=memory, folder=root)

    def tell(problem: CorpuscleError) -> None:
        show.complain(problem, as_json=as_json, note=problem.rule in NOTES)

    with engine_for(workers, cluster, share=root.absolute().parent) as engine:
        done = build(recipe, raw, root, engine=engine, watch=show.watcher(as_json=as_json), tell=tell)
    show.receipt(done, as_json=as_json, what=f"build {name}")
    corpus = Corpus.open(root)
    if as_json:
        show.say_json({"corpus": str(root), "records": len(corpus), "digest": corpus.digest})
    else:
        print(f"{len(corpus)} records under {root}, digest {corpus.digest}")
    return 0 if done.ok else 1


def engine_for(workers: int | None, cluster: str | None, *, share: Path) -> Local | Dask:
    """This machine, or a Dask cluster, of which every worker must see the folder `share`."""
    if cluster is None:
        return Local(workers)
    if workers is not None:
        raise SettingsError("a cluster has workers of its own", fix="give --workers or --cluster", rule="engine-twice")
    return Dask(cluster, share=share)


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
