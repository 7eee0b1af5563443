"""Run the benchmarks, all or those named, and write docs/benchmarks.md when all were run.

python -m benchmarks [NAME ...]       SIZE=full for the large sizes
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from benchmarks.finding import Finding, full, show
from benchmarks.machine import description

NAMES = (
    "c01",
    "write_images",
    "plate_build",
    "preview_requests",
    "metrics",
    "independent",
    "symmetry",
    "audit_duplicates",
    "engine_filter",
    "engine_components",
    "engine_convert",
    "shard_reads",
    "engine_scale",
    "engine_forecast",
)
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD = """# Speed and memory

    make bench

runs the benchmarks one after the other, less than half an hour on two cores, and writes this page; the large sizes of
`make bench SIZE=full` take some hours and 40 GB of disk. One alone:

    .venv/bin/python -m benchmarks.c01

Peers are installed, each in an environment of its own, in a folder outside the repository (`CORPUSCLE_BENCH_CACHE`
says where), and run as programs; one that cannot be installed is left out, and the page says so. All images are
simulated, save where a table says real; `CORPUSCLE_TEST_DATA` says where real ones are.

"Times ours" is how much longer the other takes for the same: above 1, ours is the faster. Where neighbours were at
work, the processor seconds tell more than the seconds.

What a build of your own data would take is told before it runs:

    corpuscle plan nuclei my_plate

It reads a few of the records, builds them in a temporary folder, and scales up: seconds and disk for each stage, the
peak of memory. `--memory 4` refuses what would need more than 4 GB.

"""


def main(names: list[str]) -> int:
    """Run, print, and write the page where nothing was left out."""
    if unknown := [n for n in names if n not in NAMES]:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    machine = description()
    findings: list[Finding] = []
    began = time.perf_counter()
    for name in names or NAMES:
        found = importlib.import_module(f"benchmarks.{name}").measure()
        show(found)
        findings += found
    minutes = (time.perf_counter() - began) / 60
    if not names:
        size = "The large sizes" if full() else "The small sizes"
        told = f"Measured on {machine} {size}; all of it took {minutes:.0f} minutes.\n\n"
        text = HEAD + told + "\n".join(f.markdown() for f in findings)
        PAGE.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
