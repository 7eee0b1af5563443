"""Every verb, with what it takes. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from corpuscle.errors import SettingsError

app = typer.Typer(
    name="corpuscle",
    help="Raw microscope files in; a standardized, audited, benchmarked image corpus out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Recipe = Annotated[str, typer.Argument(help="A recipe: see `corpuscle recipes`.")]
Raw = Annotated[Path, typer.Argument(help="The folder of raw files.")]
Dir = Annotated[Path, typer.Argument(help="The folder of the corpus.")]
Workers = Annotated[int | None, typer.Option(help="Processes; by default one per core.")]
Cluster = Annotated[str | None, typer.Option(help="tcp://HOST:PORT, a scheduler file, local:N, slurm:...")]
Memory = Annotated[float | None, typer.Option(help="Refuse what needs more, in GB.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="LAYER.PARAMETER=VALUE, as often as needed.")]


@app.command()
def recipes(json: Json = False) -> None:
    """The recipes, and what each needs."""
    from corpuscle.cli import show
    from corpuscle.recipes import load, names

    rows = [(n, load(n).study.title, load(n).needs) for n in names()]
    if json:
        for n, title, needs in rows:
            show.say_json({"recipe": n, "title": title, "needs": needs})
    else:
        show.table(("recipe", "data set", "raw folder"), rows)


@app.command()
def demo(
    recipe: Annotated[str, typer.Argument(help="A recipe.")] = "nuclei",
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")] = Path("demo"),
    size: Annotated[str, typer.Option(help="How large a world to fake.")] = "small",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Fake, build, bench and report in one go, offline."""
    from corpuscle.cli.verbs import run_demo

    _folder(directory)
    raise typer.Exit(run_demo(recipe, directory, size=size, workers=workers, as_json=json))


@app.command()
def fake(
    recipe: Recipe,
    raw: Raw,
    size: Annotated[str, typer.Option(help="How large a world.")] = "small",
    seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 0,
) -> None:
    """Raw files of a small world in the true layout, the truth beside them."""
    from corpuscle.recipes import load

    _folder(raw)
    load(recipe).fake(raw, size=size, seed=seed)
    print(f"wrote {sum(p.is_file() for p in raw.rglob('*'))} files under {raw}")


@app.command()
def info(
    path: Annotated[str, typer.Argument(help="A file or a corpus, also by its URL.")],
    pixels: Annotated[bool, typer.Option("--pixels", help="Read those of images above 256 MiB too.")] = False,
    json: Json = False,
) -> None:
    """What is in a file, or in a corpus."""
    from corpuscle.cli.inspect import tell
    from corpuscle.formats.place import place

    tell(place(path), as_json=json, pixels=pixels)


@app.command()
def convert(
    src: Annotated[str, typer.Argument(help="Any known format, or the URL of an OME-Zarr.")],
    dst: Annotated[Path, typer.Argument(help=".zarr, .ome.tiff, .png, .npy, .C01")],
    scene: Annotated[str | None, typer.Option(help="Which image, where there are several.")] = None,
    ome_version: Annotated[str, typer.Option(help="OME-Zarr 0.5, or 0.4.")] = "0.5",
    normalise: Annotated[bool, typer.Option(help="To 8 bits between percentiles 0.1 and 99.9.")] = False,
    axes: Annotated[str | None, typer.Option(help="What the axes are, where the source is silent: zyx.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="At the end compare every pixel with the source.")] = False,
    workers: Workers = None,
    cluster: Cluster = None,
    json: Json = False,
) -> None:
    """One format to another, with a report of what was lost."""
    from corpuscle.cli.convert import run_convert
    from corpuscle.formats.place import place

    raise typer.Exit(
        run_convert(
            place(src),
            dst,
            scene=scene,
            version=ome_version,
            normalise=normalise,
            axes=axes,
            verify=verify,
            workers=workers,
            cluster=cluster,
            as_json=json,
        )
    )


@app.command()
def plan(
    what: Annotated[str, typer.Argument(help="A recipe; or convert, filter, components.")],
    src: Annotated[str, typer.Argument(help="Raw folder; file; ZxYxX:float32.")],
    memory: Memory = None,
    workers: Workers = None,
    block: Annotated[int | None, typer.Option(help="Side of a block.")] = None,
    count: Annotated[int, typer.Option(help="So many volumes like it.")] = 1,
    nodes: Annotated[int | None, typer.Option(help="Machines of a cluster.")] = None,
    node_memory: Annotated[float, typer.Option(help="GB in each.")] = 64,
    node_cores: Annotated[int, typer.Option(help="Cores in each.")] = 16,
    price: Annotated[float | None, typer.Option(help="Of each, an hour.")] = None,
    bandwidth: Annotated[float | None, typer.Option(help="MB/s of their storage.")] = None,
    rates: Annotated[Path | None, typer.Option(help="File of rates: used, or written.")] = None,
    json: Json = False,
) -> None:
    """Memory, disk and time before anything runs, here or on a cluster."""
    from corpuscle.cli.plan import cluster, run_plan

    limit = _limit(memory)
    many = None if nodes is None else cluster(nodes, node_memory, node_cores, price, bandwidth)
    run_plan(what, src, memory=limit, workers=workers, block=block, count=count, nodes=many, as_json=json, rates=rates)


@app.command()
def build(
    recipe: Recipe,
    raw: Raw,
    corpus: Dir,
    workers: Workers = None,
    cluster: Cluster = None,
    memory: Memory = None,
    set_: Setting = None,
    json: Json = False,
) -> None:
    """A corpus from raw files. Resumes by itself."""
    from corpuscle.cli.verbs import run_build

    _folder(corpus)
    limit, settings = _limit(memory), set_ or []
    raise typer.Exit(
        run_build(recipe, raw, corpus, workers=workers, cluster=cluster, memory=limit, settings=settings, as_json=json)
    )


@app.command()
def check(corpus: Dir, json: Json = False) -> None:
    """Every problem, each with a rule id, a place and a fix."""
    from corpuscle.cli.judge import run_check

    raise typer.Exit(run_check(corpus, as_json=json))


@app.command()
def audit(
    corpus: Dir,
    split: Annotated[Path | None, typer.Option(help="A split file; else the corpus's own splits.")] = None,
    json: Json = False,
) -> None:
    """Leaks between the parts of a split: plate, well, animal, overlap, near-duplicate."""
    from corpuscle.cli.judge import run_audit

    raise typer.Exit(run_audit(corpus, split, as_json=json))


@app.command()
def split(
    corpus: Dir,
    by: Annotated[str, typer.Option(help="The group that no part may cut.")] = "well",
    scheme: Annotated[str, typer.Option(help="What to call it.")] = "ours",
    parts: Annotated[str, typer.Option(help="Parts and shares.")] = "train=0.6,dev=0.2,test=0.2",
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    json: Json = False,
) -> None:
    """A split of our own, by group."""
    from corpuscle.cli.judge import run_split

    run_split(corpus, by=by, scheme=scheme, parts=parts, seed=seed, as_json=json)


@app.command()
def bench(
    corpus: Dir,
    guess: Annotated[list[str] | None, typer.Option(help="A guess layer, as often as needed; else all.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="A task, as often as needed; else all.")] = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Scores with intervals, and the leaderboard."""
    from corpuscle.cli.judge import run_bench

    raise typer.Exit(run_bench(corpus, guess or [], task or [], workers=workers, as_json=json))


@app.command()
def report(
    corpus: Dir,
    html: Annotated[Path, typer.Argument(help="The page to write.")],
    workers: Workers = None,
) -> None:
    """One self-contained page: pictures, plots, tables."""
    from corpuscle.cli.judge import run_report

    run_report(corpus, html, workers=workers)


def _limit(memory: float | None) -> int | None:
    """Bytes, of gigabytes."""
    if memory is not None and not 0 < memory < float("inf"):
        raise SettingsError(f"nothing fits in {memory:g} GB", fix="give --memory a number above 0", rule="plan-memory")
    return None if memory is None else int(memory * 1e9)


def _folder(path: Path) -> None:
    """SettingsError where something is to be written into `path`, and that is a file or lies under one."""
    there = next((p for p in (path, *path.parents) if p.exists()), path)
    if there.exists() and not there.is_dir():
        raise SettingsError("that is a file", where=there, fix="name a folder", rule="folder")


def setting(text: str) -> tuple[str, Any]:
    """``name=value`` as a name and a number, truth value or string.

    >>> setting("nuclei@local.low=0.6"), setting("a.b=true"), setting("a.b=x")
    (('nuclei@local.low', 0.6), ('a.b', True), ('a.b', 'x'))
    """
    import json

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"{text!r} is no setting", fix="write NAME=VALUE", rule="setting-form")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
