"""What a person sees while and after a verb runs; machines get one JSON object a line."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpuscle.blocks.progress import Progress, Receipt, Stage
    from corpuscle.errors import CorpuscleError


def complain(error: CorpuscleError, *, as_json: bool, note: bool = False) -> None:
    """One problem: a JSON line on standard output for machines, a sentence on standard error for people."""
    if as_json:
        line = json.loads(error.as_json()) | ({"level": "note"} if note else {})
        say_json(line)
    else:
        print(f"{'note: ' if note else ''}{error}", file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """One JSON object on one line; nan is null."""
    print(json.dumps(_plain(value), ensure_ascii=True), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Rows as a table on the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    out = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left")
    for i, name in enumerate(columns):
        number = all(isinstance(r[i], (int, float)) for r in rows) and bool(rows)
        out.add_column(name, justify="right" if number else "left", overflow="fold")
    for r in rows:
        out.add_row(*(_cell(x) for x in r))
    Console(width=None if sys.stdout.isatty() else 160).print(out)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def watcher(*, as_json: bool) -> Callable[[Progress], None]:
    """A bar on a terminal, a line a minute in a log, JSON lines a few a minute on request."""
    if as_json:
        return _every(10.0, lambda p: say_json({"progress": _facts(p)}))
    if sys.stderr.isatty():
        return _every(0.1, _bar)
    return _every(60.0, lambda p: print(_line(p), file=sys.stderr, flush=True))


def _every(seconds: float, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
    last = time.monotonic()

    def watch(p: Progress) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= seconds:
            last = now
            show(p)

    return watch


def _facts(p: Progress) -> dict[str, Any]:
    return {
        "stage": p.stage,
        "done": p.done,
        "total": p.total,
        "skipped": p.skipped,
        "failed": p.failed,
        "per_s": None if p.rate is None else round(p.rate, 3),
        "mb_per_s": round(p.bandwidth / 1e6, 2),
        "eta_s": None if p.eta is None else round(p.eta, 1),
        "peak_mb": _peak(p),
    }


def _line(p: Progress) -> str:
    of = f"/{p.total}" if p.total is not None else ""
    return f"{p.stage}: {p.done + p.skipped}{of}{_rest(p)}"


def _rest(p: Progress) -> str:
    """What comes after the count, what matters most first: a terminal may be narrow."""
    bad = f", {p.failed} failed" if p.failed else ""
    eta = f", {span(p.eta)} to go" if p.eta is not None else ""
    rate = f" ({p.rate or 0.0:.1f}/s, {p.bandwidth / 1e6:.1f} MB/s)"
    before = f", {p.skipped} done before" if p.skipped else ""
    return f"{bad}{eta}{rate}, peak {_peak(p)} MB{before}"


def _bar(p: Progress) -> None:
    """One line that is drawn over: how full the bar is, or where it is where nobody knows how much there is to do."""
    width = shutil.get_terminal_size().columns - 1
    if p.total:
        share = min(1.0, (p.done + p.skipped + p.failed) / p.total)
        bar = ("=" * int(20 * share)).ljust(20)
        text = f"{p.stage} [{bar}] {p.done + p.skipped}/{p.total}{_rest(p)}"
    else:
        bar = " " * (p.done % 18) + "<=>"
        text = f"{p.stage} [{bar[:20].ljust(20)}] {p.done}{_rest(p)}"
    print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)


def span(seconds: float | None) -> str:
    """A time as people say it.

    >>> span(59.7), span(3725), span(200000)
    ('0:01:00', '1:02:05', '2 d 7:33:20')
    """
    s = round(seconds or 0)
    days = f"{s // 86400} d " if s >= 86400 else ""
    return f"{days}{s % 86400 // 3600}:{s // 60 % 60:02}:{s % 60:02}"


def size(count: float) -> str:
    """Bytes as people say them.

    >>> size(0), size(2_400_000), size(608.8e9)
    ('0 MB', '2.4 MB', '608.8 GB')
    """
    for unit, least in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count / 1e6:.1f} MB" if count else "0 MB"


def _peak(p: Progress) -> int:
    """The most memory that all processes held, in MB; of this one alone where nobody looked at the others."""
    from corpuscle.blocks.gauge import high_water

    return (p.peak or high_water()) // 1_000_000


def receipt(done: Receipt, *, as_json: bool, what: str) -> None:
    """How a run ended, and what each of its steps took."""
    if as_json:
        say_json(
            {
                "receipt": what,
                "done": done.done,
                "skipped": done.skipped,
                "failed": len(done.failures),
                "notes": len(done.notes),
                "seconds": round(done.seconds, 2),
                "peak_mb": round(done.peak / 1e6, 1) if done.peak else None,
                "steps": [
                    {
                        "step": s.step,
                        "done": s.done,
                        "skipped": s.skipped,
                        "failed": s.failed,
                        "seconds": round(s.seconds, 2),
                        "mb_per_s": round(s.bandwidth / 1e6, 2),
                    }
                    for s in done.stages
                ],
            }
        )
        return
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    peak = f", peak memory {done.peak / 1e6:.0f} MB" if done.peak else ""
    print(
        f"{what}: {done.done} made, {done.skipped} made before, {len(done.failures)} failed, "
        f"in {span(done.seconds)} ({done.seconds:.1f} s){peak}"
    )
    if any(s.done for s in done.stages):
        rows = [(shortened(s.step), s.done, s.skipped, s.failed, round(s.seconds, 1), _rate(s)) for s in done.stages]
        table(("step", "done", "before", "failed", "seconds", "MB/s"), rows)


def shortened(step: str, *, most: int = 48) -> str:
    """The layers that a step writes, in a width that a table has room for.

    >>> shortened("objects, neighbours, " + "nuclei@otsu-watershed, " * 3)
    'objects, neighbours, nuclei@otsu-watershed, ...'
    """
    if len(step) <= most:
        return step
    kept, comma, _ = step[: most - 4].rpartition(",")
    return f"{kept}{comma} ..." if comma else f"{step[: most - 4]} ..."


def _rate(s: Stage) -> str:
    return f"{s.bandwidth / 1e6:.1f}" if s.bytes else "-"
