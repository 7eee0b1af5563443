"""What a forecast says of a filter, of components and of a conversion, beside what the run then takes.

python -m benchmarks.engine_forecast          768^3 and 512 MiB; SIZE=full: 1536^3 and 4 GiB
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import volumes
from benchmarks.bars import verdict
from benchmarks.finding import Cell, Finding, full, show
from benchmarks.formula import LEVEL, Formula
from benchmarks.installed import cache
from benchmarks.process import peak_of, run, start

WORKERS = 2
KINDS = ("filter", "components", "convert")


def measure() -> list[Finding]:
    """A forecast and a run, each in a process of its own, in turn."""
    size = {"filter": 1536, "components": 1536, "convert": 4096} if full() else dict.fromkeys(KINDS, 768)
    size["convert"] = 4096 if full() else 512
    rounds = 1 if full() else 3
    volumes.stack(size["convert"])
    rows: list[tuple[Cell, ...]] = []
    met: list[str] = []
    for kind in KINDS:
        told, took = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=cache()) as held:
                told.append(_told(kind, size[kind], Path(held)))
                took.append(_took(kind, size[kind], Path(held)))
        seconds, really = (median(x["seconds"] for x in some) for some in (told, took))
        peak, held_mb = (median(x["peak_mb"] for x in some) for some in (told, took))
        disk, lies = (median(x["disk"] for x in some) / 1e6 for some in (told, took))
        share = 100 * told[0]["sampled"] / told[0]["blocks"]
        rows.append(
            (
                kind,
                told[0]["blocks"],
                share,
                seconds,
                really,
                seconds / really,
                peak,
                held_mb,
                peak / held_mb,
                disk,
                lies,
            )
        )
        met += [
            verdict(f"{kind}, time off by %", 100 * abs(seconds / really - 1), most=40),
            verdict("memory off by %", 100 * abs(peak / held_mb - 1), most=25),
        ]
    return [
        Finding(
            "Forecasts",
            (
                "what",
                "blocks",
                "% tried",
                "s told",
                "s taken",
                "told over taken",
                "peak MB told",
                "peak MB held",
                "told over held",
                "MB on disk told",
                "MB on disk",
            ),
            tuple(rows),
            f"A Gaussian of sigma 2 over {size['filter']}^3 voxels, components of 26 neighbours of the same volume "
            f"above a level, and a TIFF stack of {size['convert']} MiB to OME-Zarr; {WORKERS} workers. The forecast "
            "does two blocks or one in a hundred. A forecast and a run by turns, each in a new process; the median of "
            f"{rounds}. Memory is that of all processes, shared pages counted once.",
            (" ".join(met),),
        )
    ]


def _command(verb: str, kind: str, size: int, folder: Path) -> list[str | Path]:
    return [sys.executable, "-m", "benchmarks.engine_forecast", verb, kind, str(size), folder]


def _told(kind: str, size: int, folder: Path) -> dict[str, float]:
    ran = run(_command("--plan", kind, size, folder))
    if ran.code:
        raise RuntimeError(f"no forecast of {kind}: {ran.err[-500:]}")
    return ran.lines()[-1]


def _took(kind: str, size: int, folder: Path) -> dict[str, float]:
    child = start(_command("--run", kind, size, folder))
    peak, out, err = peak_of(child, every=0.1)
    if child.returncode:
        raise RuntimeError(f"no run of {kind}: {err[-500:]}")
    said: dict[str, float] = json.loads(out.splitlines()[-1])
    return said | {"peak_mb": peak.pss}


def _steps(kind: str) -> list[Any]:
    from corpuscle.blocks.merge import Stitch
    from corpuscle.blocks.step import Blockwise
    from corpuscle.core import px
    from corpuscle.ops.smooth import gaussian, reach
    from corpuscle.recipe.subjects import objects_above

    if kind == "filter":
        return [Blockwise(partial(gaussian, sigma=2.0, spacing=None), "raw", "smooth", halo=px(reach(2.0)))]
    op = partial(objects_above, level=LEVEL, connectivity=26)
    return [Blockwise(op, "raw", "objects", halo=px(1), merge=Stitch(), labels_of="raw")]


def _record(side: int) -> Any:
    from corpuscle.core import Image, Record, Space

    return Record("volume", layers={"raw": Image(Formula((side, side, side)), Space("zyx", scale=(0.012,) * 3))})


def planned(kind: str, size: int, folder: Path) -> None:
    """Print what the forecast says."""
    from corpuscle import formats
    from corpuscle.blocks.conversion import forecast_conversion
    from corpuscle.blocks.rehearsal import forecast
    from corpuscle.core import Image

    if kind == "convert":
        layers = formats.read(volumes.stack(size)).layers.values()
        image = next(x for x in layers if isinstance(x, Image))
        told = forecast_conversion(image, workers=WORKERS, folder=folder)
    else:
        told = forecast(_steps(kind), [_record(size)], workers=WORKERS, folder=folder)
    blocks = sum(r.units for r in told.rows)
    _say(seconds=told.seconds, peak_mb=told.peak / 1e6, disk=told.disk, blocks=blocks, sampled=told.sampled)


def ours(kind: str, size: int, folder: Path) -> None:
    """Do it, and print the seconds from the call to the last byte, and the bytes that stay."""
    begun = time.perf_counter()
    if kind == "convert":
        from corpuscle.blocks.engines.local import Local
        from corpuscle.cli.convert import Means, convert

        means = Means(lambda: Local(WORKERS), asked=True)
        done = convert(volumes.stack(size), folder / "converted.zarr", means=means).receipt
        failed = done is None or bool(done.failures)
    else:
        from corpuscle.blocks.conditions import Conditions
        from corpuscle.blocks.engines.local import Local
        from corpuscle.blocks.run import run as carry_out
        from corpuscle.blocks.scratch import Scratch
        from corpuscle.store.ledger import Ledger

        shelf = Scratch.of(folder / "work", _record(size), digests={"volume/raw": f"v1 {size}"})
        with Local(WORKERS) as engine, Ledger(folder / "ledger") as ledger:
            failed = bool(carry_out(_steps(kind), shelf, Conditions(engine, ledger)).failures)
    if failed:
        raise RuntimeError(f"{kind} failed")
    seconds = time.perf_counter() - begun
    _say(seconds=seconds, disk=sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file()))


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--plan", kind, size, folder]:
            planned(kind, int(size), Path(folder))
        case ["--run", kind, size, folder]:
            ours(kind, int(size), Path(folder))
        case _:
            show(measure())
