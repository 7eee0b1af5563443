"""One run at a time in a folder: a lock that names its owner, and that a dead owner does not keep."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
import time
import weakref
from functools import partial
from pathlib import Path

from corpuscle.core.disk import store_error
from corpuscle.errors import StoreError
from corpuscle.store.atomic import write_bytes
from corpuscle.store.owner import myself, owner_of

BEAT = 30.0
"""Seconds between two signs of life of an owner that only a file speaks for."""

PATIENCE = 300.0
"""Seconds without a sign of life after which an owner that cannot be asked counts as gone."""

_NO_LOCKS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
_FREE = b'{"free": true}\n'


class Lock:
    """The right to write in a folder, held from opening to `close`.

    Where the file system keeps locks (`flock`), the system drops the lock with its process, whatever
    ends it. Where it keeps none, numbered files `owner.1`, `owner.2`, ... take turns: the highest
    number is the owner. A new owner is the one that creates the next number, which only one can, and
    only then are lower numbers taken away. The highest is never taken away, only marked as free; so one
    who created a number and finds it the highest afterwards is the only owner. Whether an owner
    still lives is asked of the system where it is this one, and else seen by the time of its
    file, which a thread of the owner renews every `beat` seconds.

    Attributes
    ----------
    former
        The owner before, where it went without giving the lock back; else empty.

    Raises
    ------
    StoreError
        Another run holds the lock (`store-busy`), or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self.folder = folder
        self.owner = myself()
        self.former = ""
        self.beat, self.patience = beat, patience
        self._fd: int | None = None
        self._turn = 0
        self._lost = False
        self._stop = threading.Event()
        self._seen = time.monotonic()
        try:
            if not self._by_system():
                self._by_turns()
        except OSError as e:
            if isinstance(e, StoreError):
                raise
            raise store_error(e, folder) from e

    def check(self) -> None:
        """Raise a StoreError (`store-lost`) if another run has taken this one, which showed no life, for dead."""
        if self._turn:
            if time.monotonic() - self._seen > 2 * self.beat:
                self._renew()
            if self._lost:
                raise StoreError(
                    "another run took this one, which had stood still, for ended, and is at work here now",
                    where=self.folder,
                    fix="let the other one go on, or end it and start again",
                    rule="store-lost",
                )

    def close(self) -> None:
        """Give the lock back. A second time, or in a forked child, this does nothing."""
        if os.getpid() != self.owner.pid:
            return
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None
        if self._turn:
            self._stop.set()
            if not self._lost:
                with contextlib.suppress(StoreError):  # the folder may be gone, and the lock with it
                    write_bytes(_file(self.folder, self._turn), _FREE)
            self._turn = 0

    def _by_system(self) -> bool:
        """Lock by the system; False where the file system does not know how."""
        path = self.folder / "lock"
        for _ in range(100):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # the folder was thrown away between the two lines above
                continue
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, fd)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as e:
                    if e.errno in _NO_LOCKS:
                        return False
                    if e.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                        raise
                    raise self._busy(_patiently(path)) from None
                try:
                    if not _same(fd, path):  # locked, but thrown away meanwhile by the one who held it
                        continue
                    if top := _highest(self.folder):  # of a machine that sees these files, but not the locks on them
                        self._judge(top)
                        if self.former:  # should it wake, it must find that its turn is over
                            write_bytes(_file(self.folder, top + 1), _FREE)
                            _file(self.folder, top).unlink(missing_ok=True)
                except FileNotFoundError:
                    continue
                self.former = _told(os.pread(fd, 4096, 0)) or self.former
                os.ftruncate(fd, 0)
                os.pwrite(fd, self.owner.line(), 0)
                undo.pop_all()
            self._fd = fd
            # A forked child shares the lock, and would keep it beyond the death of this process.
            os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))
            return True
        raise StoreError("is taken away and made again all the time", where=path, rule="store-busy")

    def _by_turns(self) -> None:
        for _ in range(1000):
            self.folder.mkdir(parents=True, exist_ok=True)
            top = _highest(self.folder)
            try:
                if top:
                    self._judge(top)
                turn = top + 1
                fd = os.open(_file(self.folder, turn), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except (FileExistsError, FileNotFoundError):  # another was quicker; see who
                continue
            try:
                os.write(fd, self.owner.line())
            finally:
                os.close(fd)
            if _highest(self.folder) == turn:
                break
            _file(self.folder, turn).unlink(missing_ok=True)
        else:
            raise StoreError("the lock changes hands all the time", where=self.folder, rule="store-busy")
        for lower in _turns(self.folder):
            if lower < turn:
                _file(self.folder, lower).unlink(missing_ok=True)
        self._turn, self._seen = turn, time.monotonic()
        threading.Thread(target=self._live, name="corpuscle-lock", daemon=True).start()

    def _judge(self, turn: int) -> None:
        """Return where this turn is over; raise where its owner lives, or may live. FileNotFoundError: look again."""
        path = _file(self.folder, turn)
        text = _patiently(path)
        if text == _FREE:
            return
        owner = owner_of(text)
        alive = owner.alive() if owner else None
        age = _age(path)
        if alive or (alive is None and age < self.patience):
            raise self._busy(text, path=path, age=age if alive is None else None)
        silent = "" if alive is False else f", silent for {age:.0f} s"
        self.former = f"{_told(text) or 'an unnamed process'}{silent}"

    def _busy(self, text: bytes, *, path: Path | None = None, age: float | None = None) -> StoreError:
        who = _told(text) or "an unnamed process"
        if age is None:
            message, fix = f"another run is at work here: {who}", "wait for it, or end it"
        else:
            message = f"another run is at work here: {who}; its last sign of life is {max(age, 0):.0f} s old"
            fix = (
                f"wait for it, or end it; if it is dead, wait until {self.patience:.0f} s have passed, "
                f"or remove {path.name if path else 'the lock'}"
            )
        return StoreError(message, where=self.folder, fix=fix, rule="store-busy")

    def _live(self) -> None:
        while not self._stop.wait(self.beat) and not self._lost:
            self._renew()

    def _renew(self) -> None:
        try:
            # Looked at first: one who was taken for dead must not seem to live.
            if _highest(self.folder) == self._turn:
                os.utime(_file(self.folder, self._turn))
                self._seen = time.monotonic()
            elif not self._stop.is_set():
                self._lost = True
        except FileNotFoundError:
            self._lost = not self._stop.is_set()
        except OSError:  # a network that is away for a while; the next beat tries again
            return


def _file(folder: Path, turn: int) -> Path:
    return folder / f"owner.{turn}"


def _turns(folder: Path) -> list[int]:
    names = [n[6:] for n in os.listdir(folder) if n.startswith("owner.")]
    return [int(n) for n in names if n.isascii() and n.isdigit() and len(n) < 16]


def _highest(folder: Path) -> int:
    return max(_turns(folder), default=0)


def _patiently(path: Path) -> bytes:
    """What an owner wrote of itself; one that has just come may still be about to write."""
    text = b""
    for _ in range(5):
        with path.open("rb") as f:
            text = f.read(4096)
        if text.endswith(b"\n"):
            break
        time.sleep(0.01)
    return text


def _told(text: bytes) -> str:
    owner = owner_of(text)
    # Older releases wrote a plain sentence.
    words = str(owner) if owner else text.decode(errors="replace").strip()
    return "".join(c if c.isprintable() else "?" for c in words[:400])


def _age(path: Path) -> float:
    """Seconds since the last sign of life, by the clock of the file system: two machines may tell two times."""
    probe = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
    return now - path.stat().st_mtime


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _let_go(lock: weakref.ref[Lock]) -> None:
    held = lock()
    if held is not None and held._fd is not None:
        os.close(held._fd)
        held._fd = None
