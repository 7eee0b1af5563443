"""On what the figures were measured: processor, memory, versions. No names, no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

LIBRARIES = ("corpuscle", "numpy", "scipy", "scikit-image", "numba", "tensorstore", "zarr", "tifffile")


def description() -> str:
    """The machine in a sentence or two."""
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    kept = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    busy = (
        f"Other programs were at work: the load before the start was {load:.1f}." if load > 0.5 else "Nothing else ran."
    )
    return (
        f"{cores} cores of {_processor()}, {memory:.0f} GiB of memory, {platform.system()}, "
        f"Python {platform.python_version()}; {kept}. {busy}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
