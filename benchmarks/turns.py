"""Programs that do the same job in turn, round after round, each loaded and warm before its time is taken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.installed import Absent
from benchmarks.process import ONE_THREAD, family, held

PATIENCE = 1200.0
SETTLED = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Someone who takes part: a name, and the program that serves turns (see ``peers/turn.py``).

    `env` is what its environment has beside one thread to each library; `told` goes to the program with each turn.
    One that is slow may take fewer turns than the others, and takes them when they are done.
    """

    name: str
    command: tuple[str | Path, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    turns: int | None = None


@dataclass(frozen=True, slots=True)
class Turns:
    """How someone's turns went: seconds and processor seconds of each, after one that does not count.

    `idle_mb` is what its processes held before their first turn, `peak_mb` the most in any turn, both with shared
    pages counted once in all; `said` is what the program told of its last turn.
    """

    name: str
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    idle_mb: float
    peak_mb: float
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """Seconds of the fastest turn."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Seconds of the turn in the middle."""
        return median(self.seconds)

    @property
    def work(self) -> float:
        """Processor seconds of the turn in the middle."""
        return median(self.cpu)


def faster(a: Turns | None, b: Turns | None, *, least: bool = True) -> float | None:
    """How many times as fast `a` is as `b`, by their medians and by their best turns: the less of the two, or the more.

    A busy neighbour can spoil half of all turns, and seldom the best of them.
    """
    if a is None or b is None:
        return None
    both = b.median / a.median, b.best / a.best
    return min(both) if least else max(both)


def contest(
    entries: Sequence[Entry],
    folder: Path,
    *,
    rounds: int = 3,
    warm: Sequence[Path] = (),
    cold: Sequence[Path] = (),
    after: Callable[[str, Path], None] | None = None,
) -> tuple[list[Turns], list[str]]:
    """Let all take turns: one round that does not count, then `rounds`; the second answer says who could not.

    Each turn is told ``out``, a place that is not there yet and is removed afterwards. Before each, all files under
    `warm` are read, so that they come from memory, or those under `cold` are put out of it. `after` sees what came
    of the first round. Memory is looked at in that round alone, so that looking costs no one time.
    """
    notes: list[str] = []
    times: dict[str, list[float]] = {}
    work: dict[str, list[float]] = {}
    idle: dict[str, float] = {}
    peak: dict[str, float] = {}
    told: dict[str, Mapping[str, Any]] = {}
    with ExitStack() as stack:
        running: dict[str, _Program] = {}
        for entry in entries:
            program = _Program(entry)
            stack.callback(program.end)
            try:
                program.hear()
            except Absent as e:
                notes.append(f"{entry.name} was not measured: {e}.")
            else:
                running[entry.name] = program
        for n, name in _order(entries, rounds):
            if name not in running:
                continue
            program = running[name]
            out = folder / f"out-{n}-{entries.index(program.entry)}"
            into_memory(warm)
            out_of_memory(cold)
            idle.setdefault(name, held(program.pid))
            try:
                with _Watched(program.pid, looking=n == 0) as watched:
                    said = program.turn(out)
            except Absent as e:
                notes.append(f"{name} was not measured: {e}.")
                del running[name]
                times.pop(name, None)
                continue
            print(
                f"  turn {n} of {name}: {said['seconds']:.2f} s, {watched.cpu:.2f} of processors",
                file=sys.stderr,
                flush=True,
            )
            told[name] = said
            times.setdefault(name, [])
            work.setdefault(name, [])
            if n == 0:
                peak[name] = watched.peak
                if after is not None:
                    after(name, out)
            else:
                times[name].append(float(said["seconds"]))
                work[name].append(watched.cpu)
            _remove(out)
    kept = [e.name for e in entries if times.get(e.name)]
    return [Turns(n, tuple(times[n]), tuple(work[n]), idle[n], peak[n], told[n]) for n in kept], notes


def _order(entries: Sequence[Entry], rounds: int) -> Iterator[tuple[int, str]]:
    """Whose turn it is: all in each round; those that take fewer come last, so that they keep no one waiting."""
    for few in (False, True):
        for n in range(rounds + 1):
            for entry in entries:
                if (entry.turns is not None) == few and n <= (rounds if entry.turns is None else entry.turns):
                    yield n, entry.name


class _Program:
    """A served program: its process, and one line at a time to and from it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the program runs
        self.process = subprocess.Popen(
            list(map(str, entry.command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | ONE_THREAD | dict(entry.env),
            start_new_session=True,
        )
        self.pid = self.process.pid

    def turn(self, out: Path) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**self.entry.told, "out": str(out)}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Absent(f"it ended with {self.process.wait()}: {self._complaint()}") from None
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next JSON line; Absent where it failed, ended, or takes too long."""
        assert self.process.stdout is not None
        late = threading.Timer(PATIENCE, self._kill)
        late.start()
        try:
            for line in self.process.stdout:
                if line.startswith("{"):
                    said: dict[str, Any] = json.loads(line)
                    if "failed" in said:
                        raise Absent(str(said["failed"]).strip().splitlines()[-1][:300])
                    return said
        finally:
            late.cancel()
        raise Absent(f"it ended with {self.process.wait()}: {self._complaint()}")

    def end(self) -> None:
        """No more turns: it ends by itself, or is ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(30)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()

    def _complaint(self) -> str:
        self.log.seek(0)
        return (self.log.read().strip() or "it said nothing").splitlines()[-1][:300]

    def _kill(self) -> None:
        try:
            os.killpg(self.pid, 9)
        except ProcessLookupError:
            return


class _Watched:
    """Processor seconds of a program and all its children, and, if asked, the most memory that they hold."""

    def __init__(self, pid: int, *, looking: bool) -> None:
        self.pid, self.looking = pid, looking
        self.peak = self.cpu = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Watched:
        self._before = _cpu(self.pid)
        if self.looking:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self.looking:
            self._thread.join()
        after = _cpu(self.pid)
        self.cpu = sum(v - self._before.get(k, 0.0) for k, v in after.items())

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, held(self.pid))


def _cpu(pid: int) -> dict[int, float]:
    """Processor seconds of each process of a family, and of those it has buried."""
    found = {}
    for one in family(pid):
        try:
            t = psutil.Process(one).cpu_times()
        except psutil.Error:
            continue
        found[one] = t.user + t.system + t.children_user + t.children_system
    return found


def _remove(out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink(missing_ok=True)


def into_memory(paths: Sequence[Path]) -> None:
    for path in paths:
        for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            with file.open("rb", buffering=0) as f:
                while f.read(1 << 22):
                    pass


def out_of_memory(paths: Sequence[Path]) -> None:
    """Put files out of the system's cache, and those of no one else; what is not on disk yet is written first."""
    for path in paths:
        for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
            with file.open("rb") as f:
                os.fdatasync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if paths:
        time.sleep(SETTLED / 10)
