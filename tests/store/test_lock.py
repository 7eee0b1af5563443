"""One owner at a time, by name; the dead keep nothing, and no two take the same inheritance."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from corpuscle.errors import StoreError
from corpuscle.store import lock as lock_module
from corpuscle.store.ledger import Ledger
from corpuscle.store.lock import Lock
from corpuscle.store.owner import Owner, myself, owner_of, started

NO_FLOCK = """
import errno, fcntl, os, random, sys, time
from pathlib import Path
def no(fd, how): raise OSError(errno.ENOLCK, "no locks available")
if sys.argv[2] == "turns": fcntl.flock = no
from corpuscle.errors import StoreError
from corpuscle.store.lock import Lock
from corpuscle.store.owner import myself
home = Path(sys.argv[1])
"""
KINDS = ["system", "turns"]


def child(code: str, home: Path, kind: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NO_FLOCK + textwrap.dedent(code), str(home), kind, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the locks of the system, and as on a file system that has none."""
    if request.param == "turns":
        without_flock(monkeypatch)
    return str(request.param)


def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(fd: int, how: int) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", no)


def left(home: Path, owner: Owner, *, age: float = 0, turn: int = 1) -> Path:
    """A lock file as this owner would have left it, `age` seconds ago."""
    home.mkdir(exist_ok=True)
    path = home / f"owner.{turn}"
    path.write_bytes(owner.line())
    then = time.time() - age
    os.utime(path, (then, then))
    return path


# Laws

RACE = """
from contextlib import suppress

def run():
    for round in range(int(sys.argv[4])):
        racers = 2 + round % 7
        place = home / str(round)
        place.mkdir(parents=True)
        if (pid := os.fork()) == 0:  # the one that dies with the lock in its hands
            Lock(place)
            os._exit(9)
        os.waitpid(pid, 0)
        go, started = os.pipe()
        heard, tell = os.pipe()
        pids = []
        for racer in range(racers):
            if (pid := os.fork()) == 0:
                os.close(started); os.close(heard)
                os.read(go, 1)
                try:
                    lock = Lock(place)
                    assert not (place / "held").exists()
                    (place / "held").touch()
                    told = b"W"
                except StoreError as e:
                    told = b"L" if e.rule == "store-busy" and "process" in str(e) else b"?"
                except BaseException as e:
                    print(repr(e), file=sys.stderr, flush=True)
                    told = b"E"
                os.write(tell, told)
                time.sleep(60)
            pids.append(pid)
        os.close(go); os.close(started); os.close(tell)
        heard_all = b""
        while len(heard_all) < racers: heard_all += os.read(heard, 100)
        os.close(heard)
        for pid in pids: os.kill(pid, 9); os.waitpid(pid, 0)
        assert heard_all.count(b"W") == 1 and heard_all.count(b"L") == racers - 1, (round, heard_all)
    print("one")
run()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_of_many_who_find_a_dead_owners_lock_exactly_one_takes_it(tmp_path: Path, kind: str) -> None:
    assert said(child(RACE, tmp_path, kind, "-", 40)) == "one"


STORM = """
truth, chance = os.listdir, random.Random(os.getpid())
def slow(*words):
    found = truth(*words)
    if chance.random() < 0.3: time.sleep(chance.random() * 0.003)
    return found
os.listdir = slow
held = 0
until = time.monotonic() + float(sys.argv[3])
while time.monotonic() < until:
    try: lock = Lock(home)
    except StoreError as e:
        assert e.rule == "store-busy", e
        continue
    inside = os.open(home / "inside", os.O_CREAT | os.O_EXCL)
    os.close(inside)
    held += 1
    if chance.random() < 0.3: time.sleep(0.001)
    os.unlink(home / "inside")
    lock.close()
print(held)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_are_ever_inside_however_often_it_changes_hands(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", NO_FLOCK + STORM, str(tmp_path / "x"), kind, "1.5"]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [(*r.communicate(timeout=60), r.returncode) for r in racers]
    assert all(code == 0 for *_, code in ends), ends
    assert sum(int(out) for out, *_ in ends) > 10


def test_an_owner_comes_back_from_its_line() -> None:
    me = myself()
    assert owner_of(me.line()) == me
    assert me.alive() is True
    assert str(me).startswith(f"process {os.getpid()} on {me.host} since 20")


# Cases


def test_a_second_run_is_refused_with_the_owners_name(tmp_path: Path, kind: str) -> None:
    with Ledger(tmp_path / "a") as ledger:
        assert not ledger.former
        told = child("try: Lock(home)\nexcept StoreError as e: print(e.rule, e)", tmp_path / "a", kind).stdout
        assert told.startswith("store-busy")
        assert f"process {os.getpid()} on {os.uname().nodename} since 20" in told
        assert "pytest" in told or "-c" in told or "__main__" in told
        with pytest.raises(StoreError, match=f"process {os.getpid()} on"):
            Ledger(tmp_path / "a")
    with Ledger(tmp_path / "a") as ledger:
        assert not ledger.former


def test_the_lock_of_a_killed_owner_is_taken_and_told(tmp_path: Path, kind: str) -> None:
    killed = child("lock = Lock(home); print(os.getpid(), flush=True); os.kill(os.getpid(), 9)", tmp_path / "a", kind)
    assert killed.returncode == -9
    with Ledger(tmp_path / "a") as ledger:
        assert ledger.former.startswith(f"process {killed.stdout.strip()} on")
    with Ledger(tmp_path / "a") as ledger:
        assert not ledger.former


def test_a_dead_owner_that_nobody_has_waited_for_is_dead(tmp_path: Path, kind: str) -> None:
    code = NO_FLOCK + "lock = Lock(home); print(flush=True); os.kill(os.getpid(), 9)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), kind], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        zombie.stdout.read()
        deadline = time.monotonic() + 20
        while started(zombie.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        Lock(tmp_path).close()


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    code = """
        lock = Lock(home)
        if (pid := os.fork()) == 0:
            os.close(1); os.close(2)
            time.sleep(30)
            os._exit(0)
        print(pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    killed = child(code, tmp_path, "system")
    Lock(tmp_path).close()
    os.kill(int(killed.stdout), 9)


def test_the_lock_of_a_process_id_that_came_again_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flock(monkeypatch)
    left(tmp_path, replace(myself(), start="1"))
    lock = Lock(tmp_path)
    assert lock.former.startswith(f"process {os.getpid()}")
    lock.close()


FAR = Owner(os.getpid(), "far", "another boot/pid:[1]", "1", "2026-01-01 00:00:00 +0000", "corpuscle build")


def test_another_host_that_shows_life_is_respected(tmp_path: Path, kind: str) -> None:
    path = left(tmp_path, FAR, age=100)
    with pytest.raises(StoreError) as told:
        Lock(tmp_path)
    assert told.value.rule == "store-busy"
    assert f"process {os.getpid()} on far since 2026-01-01 00:00:00 +0000 (corpuscle build)" in told.value.message
    assert "last sign of life is 10" in told.value.message
    assert "300 s" in told.value.fix
    assert path.name in told.value.fix


def test_another_host_that_shows_none_is_replaced_and_told(tmp_path: Path, kind: str) -> None:
    left(tmp_path, FAR, age=400)
    lock = Lock(tmp_path)
    assert "on far since" in lock.former
    assert "silent for 40" in lock.former
    lock.close()
    lock = Lock(tmp_path)
    assert not lock.former
    lock.close()


def test_one_of_this_name_before_a_restart_or_in_a_container_is_judged_by_its_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch)
    left(tmp_path, replace(FAR, host=myself().host), age=10)
    with pytest.raises(StoreError, match="sign of life"):
        Lock(tmp_path)


def test_one_that_slept_and_was_replaced_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flock(monkeypatch)
    with Ledger(tmp_path / "a") as ledger:
        ledger.note("k", "a")
        left(tmp_path / "a", FAR, turn=2)
        ledger._lock._renew()
        for act in (partial(ledger.note, "k", "b"), partial(ledger.begin, "k", "b"), partial(ledger.forget, "k")):
            with pytest.raises(StoreError) as told:
                act()
            assert told.value.rule == "store-lost"
    assert (tmp_path / "a" / "owner.2").read_bytes() == FAR.line()


def test_one_that_wakes_finds_out_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flock(monkeypatch)
    lock = Lock(tmp_path)
    left(tmp_path, FAR, turn=2)
    lock.check()  # not yet known
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    with pytest.raises(StoreError, match="stood still"):
        lock.check()
    lock.close()


def test_an_owner_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flock(monkeypatch)
    lock = Lock(tmp_path, beat=0.02)
    path = tmp_path / "owner.1"
    os.utime(path, (1, 1))
    deadline = time.monotonic() + 20
    while path.stat().st_mtime < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_mtime > 10
    lock.check()
    lock.close()
    assert path.read_bytes() == lock_module._FREE


def test_the_lock_of_a_folder_that_is_thrown_away_is_given_back_in_peace(tmp_path: Path, kind: str) -> None:
    lock = Lock(tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    (tmp_path / "a").rmdir()
    again = Lock(tmp_path / "a")
    again.close()
    lock.close()
    lock.close()


# Bad input


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]\n", b'{"pid":"x","host":1}\n', b"\xff\n", b'{"pid":1}\n', b"[" * 9999]
)
def test_a_torn_lock_file_is_judged_by_its_age(tmp_path: Path, kind: str, text: bytes) -> None:
    path = left(tmp_path, FAR)
    path.write_bytes(text)
    with pytest.raises(StoreError) as told:
        Lock(tmp_path)
    assert told.value.rule == "store-busy"
    os.utime(path, (1, 1))
    Lock(tmp_path).close()


def test_the_sentence_of_an_older_release_is_told_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as f:
        f.write("process 7 on old\n")
        f.flush()
        fcntl.flock(f, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="process 7 on old"):
            Lock(tmp_path)
    lock = Lock(tmp_path)
    assert lock.former == "process 7 on old"
    lock.close()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        Lock(tmp_path / "file" / "below")

    def broken(fd: int, how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(StoreError, match="Input/output"):
        Lock(tmp_path / "a")
