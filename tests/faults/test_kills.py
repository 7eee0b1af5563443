"""Killed at any moment, by whatever, a run goes on where it was, to the same bytes, and leaves nothing behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import psutil
import pytest

from tests.faults.world import CASES, ENVIRONMENT, PATIENCE, Run, told, tree, workers_of

FLYING = 2 * 2
"""Units in the hands of two workers, each with one more in line."""
Wholes: TypeAlias = Callable[[str], tuple[Path, str, dict[str, str], float]]
KINDS = ("coordinator", "worker", "workers")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    """Each case undisturbed: where, the digest, the bytes, and the seconds from its first block to its end."""
    found: dict[str, tuple[Path, str, dict[str, str], float]] = {}

    def of(case: str) -> tuple[Path, str, dict[str, str], float]:
        if case not in found:
            folder = tmp_path_factory.mktemp(case)
            run = Run(case, folder / "whole")
            process = run.start()
            begin = _working(process, run)
            done = told(process)
            assert done["code"] == 0, done
            assert run.calls == CASES[case].blocks
            found[case] = folder, done["digest"], tree(run.folder), time.monotonic() - begin
        return found[case]

    return of


def _working(process: subprocess.Popen[str], run: Run, calls: int = 1) -> float:
    """Wait until the op is called so often, or the run is over; when that was."""
    end = time.monotonic() + PATIENCE
    while run.calls < calls and process.poll() is None:
        assert time.monotonic() < end, "the run hangs"
        time.sleep(0.005)
    return time.monotonic()


def _kill(kind: str, process: subprocess.Popen[str], rng: random.Random) -> bool:
    """Whether there was somebody to kill."""
    if kind == "coordinator":
        alive = process.poll() is None
        process.kill()
        return alive
    there = workers_of(process)
    chosen = there if kind == "workers" else rng.sample(there, min(1, len(there)))
    for worker in chosen:
        try:
            worker.kill()
        except psutil.NoSuchProcess:
            return False
    return bool(chosen)


def _killed(case: str, kind: str, n: int, whole: Wholes, most: int = 3) -> int:
    """Kill one run at some random moments, let it end, and hold it against the undisturbed one; kills."""
    folder, digest, bytes_, seconds = whole(case)
    rng = random.Random(f"{case} {kind} {n}")
    run = Run(case, folder / f"{kind}-{n}")
    kills = flying = missed = 0
    while True:
        before = run.calls
        process = run.start()
        if kills < most:
            # What is left may be rounds and tiers alone, in which the op is not called.
            if before < CASES[case].blocks:
                _working(process, run, before + 1)
            for _ in range(1 if kind == "coordinator" else most):
                time.sleep(rng.random() * seconds / 2 ** (missed + (kind != "coordinator")))
                was = _kill(kind, process, rng)
                kills += was
                if kind != "coordinator":
                    flying += FLYING * was
        done = told(process)
        if process.returncode == -signal.SIGKILL:
            torn = run.torn()
            assert max(torn.values(), default=0) <= FLYING
            flying += torn.get("blocks", 0)
            continue
        assert (done["code"], done["failures"], done["digest"]) == (0, [], digest)
        assert tree(run.folder) == bytes_
        assert run.calls - CASES[case].blocks <= flying
        if kills or missed == 5:
            return kills
        missed += 1  # it was quicker than the undisturbed one; sooner, then
        run = Run(case, folder / f"{kind}-{n}-{missed}")


@pytest.mark.parametrize(("case", "kind"), [("paste", "coordinator"), ("stitch", "coordinator"), ("claim", "workers")])
def test_it_ends_with_the_same_bytes(case: str, kind: str, whole: Wholes) -> None:
    assert _killed(case, kind, 0, whole, most=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith("few")])
def test_it_ends_with_the_same_bytes_whenever_it_was_killed(case: str, kind: str, whole: Wholes) -> None:
    kills = [_killed(case, kind, n, whole) for n in range(1, 4)]
    assert all(kills)
    assert sum(kills) >= 4


# What happens once in a step, or at its end: a kill just before each, and just after.
MOMENTS = [
    ("corpuscle.blocks.passes.write_parts", ("paste", "stitch", "claim")),
    ("corpuscle.blocks.scratch.publish", ("paste", "stitch")),
    ("corpuscle.store.atomic.publish", ("points",)),
    ("corpuscle.blocks.scratch.write_json", ("paste", "parts", "stitch")),
    ("corpuscle.blocks.passes.clear", ("paste", "stitch", "points")),
    ("corpuscle.blocks.mend.shutil.rmtree", ("paste", "claim")),
    ("corpuscle.store.ledger._unlink", ("paste", "stitch")),
    ("corpuscle.blocks.merge.numbering.number", ("stitch", "claim")),
    ("corpuscle.blocks.sink.create", ("paste", "parts")),
]
HOOK = """
import os, signal, sys
from importlib import import_module
import tests.faults.world as world
path, when = {path!r}, {when!r}
*names, last = path.split(".")
owner = None
for k in range(len(names), 0, -1):
    try:
        owner = import_module(".".join(names[:k]))
    except ImportError:
        continue
    break
for name in names[k:]:
    owner = getattr(owner, name)
real, calls = getattr(owner, last), 0
me = os.getpid()
def hooked(*a, **k):
    global calls
    calls += 1
    mine = calls == {call} and os.getpid() == me
    if mine and when == "before":
        os.kill(me, signal.SIGKILL)
    answer = real(*a, **k)
    if mine and when == "after":
        os.kill(me, signal.SIGKILL)
    return answer
setattr(owner, last, hooked)
if __name__ == "__main__":
    world.main()
"""


def _at(path: str, when: str, call: int, case: str, whole: Wholes) -> None:
    folder, digest, bytes_, _ = whole(case)
    run = Run(case, folder / f"{path}-{when}-{call}", workers=1, slow=0)
    process = run.start(HOOK.format(path=path, when=when, call=call))
    process.communicate(timeout=PATIENCE)
    if call == 1:
        assert process.returncode == -signal.SIGKILL, "the moment never came"
    done = run.finish()
    assert (done["code"], done["failures"], done["digest"]) == (0, [], digest)
    assert tree(run.folder) == bytes_
    assert run.calls <= CASES[case].blocks + 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("path", "case"), [("corpuscle.blocks.scratch.publish", "paste")])
def test_a_kill_as_the_layer_is_settled(path: str, case: str, when: str, whole: Wholes) -> None:
    _at(path, when, 1, case, whole)


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("path", "case"), [(p, c) for p, cases in MOMENTS for c in cases])
def test_a_kill_at_what_happens_once(path: str, case: str, when: str, call: int, whole: Wholes) -> None:
    _at(path, when, call, case, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_told_to_end_it_does_so_soon_and_goes_on_later(number: signal.Signals, code: int, whole: Wholes) -> None:
    folder, digest, bytes_, _ = whole("stitch")
    run = Run("stitch", folder / number.name, slow=30)
    process = run.start()
    _working(process, run, 10)
    process.send_signal(number)
    start = time.monotonic()
    done = told(process)
    assert time.monotonic() - start < 10
    assert done["code"] == code
    assert run.calls < CASES["stitch"].blocks
    again = run.finish()
    assert (again["code"], again["digest"]) == (0, digest)
    assert tree(run.folder) == bytes_
    assert run.calls <= CASES["stitch"].blocks + FLYING


def _convert(src: Path, dst: Path) -> subprocess.Popen[str]:
    words = ["convert", str(src), str(dst), "--workers", "2", "--verify", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "corpuscle", *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _converted(src: Path, whole: Path, dst: Path, rng: random.Random, number: signal.Signals, seconds: float) -> int:
    """Signal a conversion at random moments until three have struck; how many did."""
    struck, place = 0, dst.with_name(f"{dst.name}.ledger")
    for attempt in range(20):
        run = _convert(src, dst)
        if struck < 3:
            while not place.exists() and run.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.random() * seconds)
            struck += place.exists()
            run.send_signal(number)
        start = time.monotonic()
        out, err = run.communicate(timeout=PATIENCE)
        assert "Traceback" not in err
        if dst.exists() and not place.exists():  # that it had no time to say so is no matter
            break
        if number == signal.SIGTERM:
            assert time.monotonic() - start < 10
            # A later one may be hit before it has begun at all, as what tells of its beginning is there already.
            assert run.returncode == 75 or (attempt and run.returncode == -number), (out, err)
    assert tree(dst) == tree(whole)
    assert not place.exists()
    return struck


def _stack(folder: Path, planes: int) -> tuple[Path, Path, float]:
    import tifffile

    src, dst = folder / "a.tif", folder / "whole.zarr"
    data = np.random.default_rng(2).integers(0, 4000, (planes, 6, 160, 160)).astype("u2")
    tifffile.imwrite(src, data, photometric="minisblack", ome=True, metadata={"axes": "TZYX"}, compression="zlib")
    run = _convert(src, dst)
    while not dst.with_name("whole.zarr.ledger").exists() and run.poll() is None:
        time.sleep(0.002)
    start = time.monotonic()
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    return src, dst, time.monotonic() - start


def test_a_conversion_ends_with_the_same_bytes(tmp_path: Path) -> None:
    src, whole, seconds = _stack(tmp_path, 40)
    rng = random.Random(0)
    assert any(_converted(src, whole, tmp_path / f"{n}.zarr", rng, signal.SIGKILL, seconds / 2**n) for n in range(5))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_conversion_ends_with_the_same_bytes_whenever_it_was_ended(number: signal.Signals, tmp_path: Path) -> None:
    src, whole, seconds = _stack(tmp_path, 60)
    rng = random.Random(1)
    struck = sum(_converted(src, whole, tmp_path / f"{n}.zarr", rng, number, seconds) for n in range(5))
    assert struck >= 5
