"""The book of one key: a file of checked lines, one for each unit that was begun and each that is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, KeysView, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any
from zlib import crc32

from corpuscle.core.disk import store_error
from corpuscle.errors import SettingsError, StoreError

FORMAT = 1
LONGEST = 64 * 2**20
"""Bytes of the longest line. What claims to be longer is damage, and is passed over without being held."""

_PIECE = 2**20
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_UNIT, _BEGIN, _KEY = b'","unit":', b'","begin":', b'","key":'
_DONE, _BEGUN = _UNIT + b'"', _BEGIN + b'"'
_JSON = json.JSONEncoder(separators=(",", ":"))


class Book:
    """What is done and what was begun under one key, in a file that is only ever added to.

    ======================================================================  ================================
    ``{"crc":"5c3fbb1a","key":"9f2c/tier1","format":1}``                    the first line
    ``{"crc":"d1f4c8aa","begin":"m1/nuclei/3"}``                            handed out, from now on not done
    ``{"crc":"0b7e93d2","unit":"m1/nuclei/3","facts":{"seconds":0.05}}``    done
    ======================================================================  ================================

    `crc` is the CRC-32 of the key followed by the line from the quote after the digits up to its end, so a
    line that was torn, damaged or taken from another book does not count, and its unit is not done.
    In memory a unit takes its name and its place in the file; the facts stay on the disk.

    Attributes
    ----------
    torn
        Units that a run that is gone had begun, and nobody finished.
    damaged
        How many lines were found that do not count.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.torn: set[str] = set()
        self.damaged = 0
        self._begun: set[str] = set()
        self._seed = crc32(key.encode("utf-8", "surrogatepass"))
        self._at: dict[str, int] = {}
        self._end = 0
        self._ragged = False
        self._fd: int | None = None
        self._scan()

    @property
    def units(self) -> KeysView[str]:
        """The units that are done."""
        return self._at.keys()

    @property
    def idle(self) -> bool:
        """Whether nothing that this run began is still unfinished, so that the file alone knows all."""
        return not self._begun

    def facts(self, unit: str) -> Mapping[str, Any] | None:
        """What was noted of a unit; None where it is not done, or its line can be read no more."""
        at = self._at.get(unit)
        if at is None:
            return None
        entry = _entry(self._line(at), self._seed)
        if entry is None or entry.get("unit") != unit:
            self.damaged += 1
            del self._at[unit]
            return None
        facts: dict[str, Any] = entry["facts"]
        return facts

    def note(self, unit: str, facts: Mapping[str, Any]) -> None:
        """Write down that a unit is done: whole, or, after a kill or an error, not at all."""
        line = self._sealed(f'{_UNIT.decode()}{quoted(unit)},"facts":{_JSON.encode(facts)}}}')
        self._at[unit] = self._append(line)
        self.torn.discard(unit)
        self._begun.discard(unit)

    def begin(self, units: tuple[str, ...]) -> None:
        """Write down that units are about to be handed out; what they were before no longer counts."""
        if not units:
            return
        self._append(b"".join(self._sealed(f"{_BEGIN.decode()}{quoted(unit)}}}") for unit in units))
        for unit in units:
            self._at.pop(unit, None)
            self._begun.add(unit)

    def shut(self) -> None:
        """Close the file; the next use opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _sealed(self, tail: str) -> bytes:
        body = tail.encode("ascii")
        return b'{"crc":"%08x%b\n' % (crc32(body, self._seed), body)

    def _append(self, data: bytes) -> int:
        """Add lines at the end, in one system call; where the first of them begins."""
        if len(data) > LONGEST:
            raise SettingsError(
                f"{len(data):,} bytes are too many for one note", where=self.path, fix="note less", rule="note-long"
            )
        fd = self._open()
        lead = b""
        if self._ragged:
            lead, self._end = b"\n", os.fstat(fd).st_size
        if not self._end:
            lead = self._sealed(f'{_KEY.decode()}{quoted(self.key)},"format":{FORMAT}}}')
        rest = memoryview(lead + data)
        size = len(rest)
        self._ragged = True  # until it is whole
        try:
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError as e:
            self._take_back(fd)
            raise store_error(e, self.path, needed=size, but="the ledger cannot grow, and the unit is not done") from e
        self._ragged = False
        at = self._end + len(lead)
        self._end += size
        return at

    def _take_back(self, fd: int) -> None:
        """Cut off what part of a line went to disk before it was full; that takes no space."""
        try:
            os.ftruncate(fd, self._end)
        except OSError:
            return  # the next line begins with a line end, and this one does not count
        self._ragged = False

    def _open(self) -> int:
        if self._fd is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.path, _OPEN, 0o666)
            except OSError as e:
                raise store_error(e, self.path, but="the ledger cannot be written") from e
        return self._fd

    def _line(self, at: int) -> bytes:
        try:
            fd = self._open()
            size = 512
            while True:
                line, end, _ = os.pread(fd, size, at).partition(b"\n")
                if end or len(line) < size or size > LONGEST:
                    return line
                size *= 8
        except OSError as e:
            raise store_error(e, self.path, but="the ledger cannot be read") from e

    def _scan(self) -> None:
        """Read the file once. Lines that do not count are passed over and counted."""
        seed, at_of, torn = self._seed, self._at, self.torn
        sealed = b'{"crc":"%08x'.__mod__
        size = 0
        for at, lines, plain in _pieces(self.path):
            for line in lines:
                tail = line[16:]
                if line[:16] != sealed(crc32(tail, seed)):
                    self.damaged += bool(line)
                # The common lines are taken apart by hand: it is what makes a million of them a matter of seconds.
                elif plain and tail[:10] == _DONE:
                    unit = tail.split(b'"', 5)[4].decode()
                    at_of[unit] = at
                    if unit in torn:
                        torn.remove(unit)
                elif plain and tail[:11] == _BEGUN:
                    unit = tail.split(b'"', 5)[4].decode()
                    torn.add(unit)
                    if unit in at_of:
                        del at_of[unit]
                else:
                    self._take(_entry(line, seed) or {}, at)
                at += len(line) + 1
            size = at
        # Every line was counted with its end, which a kill may have cut off.
        self._end = self.path.stat().st_size if size else 0
        self._ragged = size > self._end

    def _take(self, entry: Mapping[str, Any], at: int) -> None:
        if "unit" in entry:
            self._at[entry["unit"]] = at
            self.torn.discard(entry["unit"])
        elif "begin" in entry:
            self._at.pop(entry["begin"], None)
            self.torn.add(entry["begin"])
        elif entry.get("format", FORMAT) != FORMAT:
            raise StoreError(
                f"is a ledger of format {entry['format']}; this version reads {FORMAT}",
                where=self.path,
                fix="go on with the newer version, or remove the ledger to start anew",
                rule="ledger-format",
            )


def key_in(path: Path) -> str | None:
    """The key that a book says it is of, in its first line; None where that line cannot be read."""
    for _, lines, _ in _pieces(path):
        line = lines[0]
        try:
            key = json.loads(line)["key"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        sealed = isinstance(key, str) and _entry(line, crc32(key.encode("utf-8", "surrogatepass"))) is not None
        return key if sealed else None
    return None


def _entry(line: bytes, seed: int) -> dict[str, Any] | None:
    """A line as it was written; None where it does not count."""
    if line[:16] != b'{"crc":"%08x' % crc32(line[16:], seed):
        return None
    entry: dict[str, Any] = json.loads(line)
    return entry


def _pieces(path: Path) -> Iterator[tuple[int, list[bytes], bool]]:
    """Some lines of a file at a time, in bounded memory: their place, they, and whether all are plain.

    Plain is what holds no backslash. The lines come without their ends.
    Of one that is too long only a piece is given, as one that does not count.
    """
    try:
        with path.open("rb") as f:
            at, held, long = 0, b"", False
            while piece := f.read(_PIECE):
                *lines, rest = (held + piece).split(b"\n")
                if long and not lines:
                    at, held = at + len(rest), b""
                    continue
                if lines:
                    if long:
                        lines[0] = b"?" * len(lines[0])
                    yield at, lines, b"\\" not in held and b"\\" not in piece
                    at += sum(map(len, lines)) + len(lines)
                held, long = rest, False
                if len(held) > LONGEST:
                    at, held, long = at + len(held), b"", True
            if held or long:
                yield at, [held or b"?"], False
    except FileNotFoundError:
        return
    except OSError as e:
        raise store_error(e, path, but="the ledger cannot be read") from e
