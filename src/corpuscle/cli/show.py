"""What a person sees while and after a verb runs; machines get one JSON object a line."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpuscle.blocks.progress import Progress, Receipt
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
        "mb_per_s": round(p.bytes / 1e6 / p.seconds, 2),
        "eta_s": None if p.eta is None else round(p.eta, 1),
        "peak_mb": peak_mb(),
    }


def _line(p: Progress) -> str:
    of = f"/{p.total}" if p.total is not None else ""
    eta = f", {_time(p.eta)} to go" if p.eta is not None else ""
    rest = f", {p.skipped} done before" if p.skipped else ""
    bad = f", {p.failed} failed" if p.failed else ""
    rate = f"{p.done / p.seconds:.1f}/s, {p.bytes / 1e6 / p.seconds:.1f} MB/s"
    return f"{p.stage}: {p.done}{of} ({rate}){eta}{rest}{bad}, peak {peak_mb()} MB"


def _bar(p: Progress) -> None:
    print(f"\r\x1b[K{_line(p)[:150]}", end="", file=sys.stderr, flush=True)


def _time(seconds: float | None) -> str:
    s = int(seconds or 0)
    return f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}"


def peak_mb() -> int:
    """The most memory this process has held, in MB; its workers not counted."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def receipt(done: Receipt, *, as_json: bool, what: str) -> None:
    """How a run ended."""
    if as_json:
        say_json(
            {
                "receipt": what,
                "done": done.done,
                "skipped": done.skipped,
                "failed": len(done.failures),
                "notes": len(done.notes),
                "seconds": round(done.seconds, 2),
            }
        )
        return
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(
        f"{what}: {done.done} made, {done.skipped} made before, {len(done.failures)} failed, "
        f"in {_time(done.seconds)} ({done.seconds:.1f} s)"
    )
