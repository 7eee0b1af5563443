"""What is written down of a run when it ends: step by step, with the machine and the versions that it ran on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from corpuscle import __version__
from corpuscle.blocks.fingerprint import versions
from corpuscle.blocks.gauge import Gauge
from corpuscle.blocks.progress import Progress, Receipt, Stage, Watch, unwatched


class Journal:
    """Passes all progress on, with the memory that a gauge has seen, and remembers how each pass ended."""

    def __init__(self, watch: Watch = unwatched, gauge: Gauge | None = None) -> None:
        self._watch = watch
        self._gauge = gauge
        self._ended: dict[tuple[str, str], Stage] = {}
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Hear of one moment of the run."""
        last = self._last
        if last is not None and (last.stage, last.started) != (progress.stage, progress.started):
            self._settle(last)
        self._last = progress
        self._watch(progress if self._gauge is None else replace(progress, peak=self._gauge.peak))

    @property
    def passes(self) -> tuple[Stage, ...]:
        """Every pass so far, in the order in which they began; what one did to many records is added up."""
        if self._last is not None:
            self._settle(self._last)
            self._last = None
        return tuple(self._ended.values())

    @property
    def steps(self) -> tuple[Stage, ...]:
        """The same, all passes of a step added up."""
        out: dict[str, Stage] = {}
        for (step, _), found in zip(self._ended, self.passes, strict=True):
            out[step] = _sum(out[step], found) if step in out else replace(found, step=step, alone=False)
        return tuple(out.values())

    def _settle(self, p: Progress) -> None:
        seconds = p.now - p.started if p.now else 0.0
        step = p.step or p.stage
        # The same pass over another record is the same pass: its name without the record's.
        name = p.stage.partition(": ")[2] if p.step else ""
        found = Stage(f"{step}: {name}" if name else step, p.done, p.skipped, p.failed, p.bytes, seconds, p.alone)
        was = self._ended.get((step, name))
        self._ended[step, name] = found if was is None else _sum(was, found)


def _sum(a: Stage, b: Stage) -> Stage:
    return replace(
        a,
        done=a.done + b.done,
        skipped=a.skipped + b.skipped,
        failed=a.failed + b.failed,
        bytes=a.bytes + b.bytes,
        seconds=a.seconds + b.seconds,
    )


def host() -> dict[str, Any]:
    """The shape of the machine, without its name: system, processor, cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{sys.platform}-{platform.machine()}",
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
    }


def document(kind: str, receipt: Receipt, *, disk: int | None = None, **facts: Any) -> dict[str, Any]:
    """A receipt as JSON: what ran, what became of it, how long it took, what it held, on what.

    `disk` is how many bytes lie on the disk in the end, None where nobody has counted.
    """
    return {
        "kind": kind,
        **facts,
        "done": receipt.done,
        "skipped": receipt.skipped,
        "failed": len(receipt.failures),
        "notes": len(receipt.notes),
        "seconds": round(receipt.seconds, 3),
        "peak_mb": round(receipt.peak / 1e6, 1) if receipt.peak else None,
        "disk_mb": None if disk is None else round(disk / 1e6, 3),
        "steps": [_stage(s) for s in receipt.stages],
        "failures": [{"where": e.where, "rule": e.rule, "reason": e.message} for e in receipt.failures[:1000]],
        "versions": {"corpuscle": __version__, "python": platform.python_version(), **versions()},
        "host": host(),
    }


def _stage(s: Stage) -> Mapping[str, Any]:
    return {
        "step": s.step,
        "done": s.done,
        "skipped": s.skipped,
        "failed": s.failed,
        "seconds": round(s.seconds, 3),
        "mb_per_s": round(s.bandwidth / 1e6, 2),
    }
