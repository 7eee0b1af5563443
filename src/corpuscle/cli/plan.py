"""What a run would take, before it runs: on this machine, or on many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from corpuscle.cli import show
from corpuscle.errors import SettingsError

if TYPE_CHECKING:
    from corpuscle.blocks.cluster import Nodes, Spread
    from corpuscle.blocks.forecast import Forecast
    from corpuscle.recipe.subjects import Kind

KINDS = ("convert", "filter", "components")


def cluster(count: int, memory: float, cores: int, price: float | None, bandwidth: float | None) -> Nodes:
    """Nodes, from gigabytes and megabytes a second."""
    from corpuscle.blocks.cluster import Nodes

    rate = None if bandwidth is None else bandwidth * 1e6
    return Nodes(count, memory=int(memory * 1e9), cores=cores, price=price, bandwidth=rate)


def run_plan(
    what: str,
    src: str,
    *,
    memory: int | None,
    workers: int | None,
    block: int | None,
    count: int,
    nodes: Nodes | None,
    as_json: bool,
    rates: Path | None = None,
) -> None:
    """Say what it would take; a PlanError where it cannot fit.

    `rates` is a file of what was measured before; where it is not there yet, it is written.
    """
    from corpuscle.blocks.engines.local import cores
    from corpuscle.blocks.forecast import refuse, times

    number = cores() if workers is None else workers
    if number < 1 or count < 1 or (block is not None and block < 1):
        raise SettingsError(
            "nothing is done by none", fix="give --workers, --count and --block at least 1", rule="plan-number"
        )
    if what in KINDS:
        from corpuscle.recipe.subjects import plan, subject

        of = subject(src, side=block)
        image = of.image
        about: dict[str, Any] = {"what": what, "dtype": image.dtype.name, "voxels": image.box.size}
        if rates is not None and rates.exists():
            from corpuscle.recipe.rates import recall

            told = recall(rates, workers=number, **about)
        else:
            size = None if block is None else (block,) * len(image.space.spatial)
            told = plan(cast("Kind", what), of, workers=number, block=size)
            if rates is not None:
                from corpuscle.recipe.rates import keep

                keep(rates, told, **about)
        told = times(told, count)
        head = f"{show.size(count * image.nbytes)} of pixels to read"
    else:
        from corpuscle.recipe.forecast import forecast
        from corpuscle.recipes import load

        build = forecast(load(what), Path(src), workers=number)
        told = build.told
        head = f"{build.records} records, {build.files} files, {show.size(build.read)} to read"
    if nodes is None:
        if as_json:
            _say_here(told)
        else:
            _show_here(told, head)
        here = Path(src).resolve().parent if Path(src).exists() else Path.cwd()
        refuse(told, memory=memory, folder=here, where=src)
        return
    from corpuscle.blocks.cluster import spread

    found = spread(told, nodes)
    if as_json:
        _say_nodes(found, told)
    else:
        _show_nodes(found, told, head)


def _show_here(told: Forecast, head: str) -> None:
    rows = [
        (
            show.shortened(r.step),
            r.units,
            show.size(told.peak_of(r)),
            show.size(r.stays),
            show.size(r.most),
            show.span(told.seconds_of(r)),
        )
        for r in told.rows
    ]
    show.table(("step", "blocks", "memory", "disk", "on the way", "time"), rows)
    print(
        f"{head}; with {told.workers} workers: peak memory about {show.size(told.peak)}, "
        f"disk {show.size(told.disk)} (at most {show.size(told.most)}), time {show.span(told.seconds)}; "
        f"told from {told.sampled} blocks"
    )


def _say_here(told: Forecast) -> None:
    for r in told.rows:
        show.say_json(
            {
                "step": r.step,
                "blocks": r.units,
                "peak_mb": round(told.peak_of(r) / 1e6, 1),
                "disk_mb": round(r.stays / 1e6, 3),
                "most_disk_mb": round(r.most / 1e6, 3),
                "seconds": round(told.seconds_of(r), 2),
            }
        )
    show.say_json(
        {
            "workers": told.workers,
            "peak_mb": round(told.peak / 1e6, 1),
            "disk_mb": round(told.disk / 1e6, 3),
            "most_disk_mb": round(told.most / 1e6, 3),
            "seconds": round(told.seconds, 2),
            "sampled": told.sampled,
        }
    )


def _show_nodes(found: Spread, told: Forecast, head: str) -> None:
    rows = [
        (show.shortened(s.step), s.units, s.workers, show.size(r.memory), show.span(s.seconds), s.limit)
        for s, r in zip(found.shares, told.rows, strict=True)
    ]
    show.table(("step", "blocks", "workers", "memory of each", "time", "held up by"), rows)
    cost = "" if found.cost is None else f", cost {found.cost:.2f}"
    print(
        f"{head}; on {found.nodes.count} nodes: {found.seconds / 3600:.2f} hours{cost}, "
        f"disk {show.size(told.disk)} (at most {show.size(told.most)}); told from {told.sampled} blocks"
    )


def _say_nodes(found: Spread, told: Forecast) -> None:
    for s, r in zip(found.shares, told.rows, strict=True):
        show.say_json(
            {
                "step": s.step,
                "blocks": s.units,
                "workers": s.workers,
                "worker_mb": round(r.memory / 1e6, 1),
                "seconds": round(s.seconds, 1),
                "limit": s.limit,
            }
        )
    show.say_json(
        {
            "nodes": found.nodes.count,
            "hours": round(found.seconds / 3600, 4),
            "cost": None if found.cost is None else round(found.cost, 2),
            "disk_mb": round(told.disk / 1e6, 1),
            "most_disk_mb": round(told.most / 1e6, 1),
            "sampled": told.sampled,
        }
    )
