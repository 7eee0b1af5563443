"""What is done, written down as it happens, beside the store and never inside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from corpuscle.core.disk import store_error
from corpuscle.store.book import Book, key_in
from corpuscle.store.lock import Lock

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONG = 120
_WARM = 64
"""How many books are kept open; what is not in use is closed, and read again when it is asked for."""


def beside(store: Path) -> Path:
    """The folder of the ledger of a store: a copied store does not carry it along."""
    return store.with_name(store.name + ".ledger")


class Ledger:
    """What is done and what is in flight: a book of lines for each key, which stands for one pass of one step.

    Only the coordinator writes, from one thread. Opening takes the lock of the store (see `Lock`) and
    reads nothing: the book of a key is read when the key is first asked for. A line that a kill tore, or a
    bit flip changed, does not count, and what it was of is done again. `forget` takes away the whole book at once.
    Memory grows with the units of the books in use, by some 200 bytes each, and not with their facts.

    Raises
    ------
    StoreError
        Another run is at work here (`store-busy`), or the ledger can be written or read no more
        (`disk-full`, `store-read-only`, `store-rights`); what could not be written down is not done.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, Book] = OrderedDict()
        self._waiting: dict[str, Book] = {}
        self._lock = Lock(folder)
        try:
            self._take_over(folder / "units.jsonl")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        for key in [*self._open, *self._waiting]:
            self._drop(key)
        self._lock.close()

    @property
    def former(self) -> str:
        """The owner before, where it ended without giving the lock back; else empty."""
        return self._lock.former

    def done(self, key: str, unit: str) -> Mapping[str, Any] | None:
        """What was noted when this unit was finished under this key; None if it was not."""
        return self._book(key).facts(unit)

    def finished(self, key: str) -> Collection[str]:
        """The units that are done under this key; a live view that asks without reading: ``unit in finished(key)``."""
        return self._book(key).units

    def count(self, key: str) -> int:
        """How many units are done under this key."""
        return len(self._book(key).units)

    def torn(self, key: str) -> frozenset[str]:
        """Units that a run that is gone had begun and that nobody has finished: what they wrote may be half there."""
        return frozenset(self._book(key).torn)

    def damaged(self, key: str) -> int:
        """How many lines of this key were torn or changed on the disk, and do not count."""
        return self._book(key).damaged

    def begin(self, key: str, *units: str) -> None:
        """Write down that units are about to be handed out. Until they are noted, they are not done."""
        self._lock.check()
        self._book(key).begin(units)

    def note(self, key: str, unit: str, **facts: Any) -> None:
        """Write down that a unit is done. One system call, so a kill leaves it whole or torn, never mixed."""
        self._lock.check()
        self._book(key).note(unit, facts)

    def forget(self, key: str) -> None:
        """Strike out every unit of a key, all at once: its output was thrown away, or has been handed over."""
        self._lock.check()
        self._drop(key)
        _unlink(self._path(key))

    def keys(self) -> Iterator[str]:
        """The keys that anything is written under, in no particular order."""
        for path in self._paths():
            key = key_in(path) if "~" in path.name else _key(path.stem)
            if key is not None:
                yield key

    def size(self) -> int:
        """Bytes that the books take on disk."""
        return sum(_size(path) for path in self._paths())

    def prune(self, keep: Collection[str]) -> int:
        """Forget every key but those to keep; how many bytes that freed."""
        self._lock.check()
        for key in {*self._open, *self._waiting} - set(keep):
            self._drop(key)
        kept = {self._path(key) for key in keep}
        freed = 0
        for path in self._paths():
            if path not in kept:
                freed += _size(path)
                _unlink(path)
        for folder in (self.folder / "units").glob("*"):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        return freed

    def _book(self, key: str) -> Book:
        book = self._open.get(key)
        if book is not None:
            self._open.move_to_end(key)
            return book
        book = self._waiting.pop(key, None) or Book(self._path(key), key)
        self._open[key] = book
        if len(self._open) > _WARM:
            oldest, spare = self._open.popitem(last=False)
            spare.shut()
            if not spare.idle:  # what this run has begun is no torn leftover, which the file alone cannot tell
                self._waiting[oldest] = spare
        return book

    def _drop(self, key: str) -> None:
        for books in (self._open, self._waiting):
            if key in books:
                books.pop(key).shut()

    def _path(self, key: str) -> Path:
        name = _name(key)
        return self.folder / "units" / name[:2] / f"{name}.jsonl"

    def _paths(self) -> list[Path]:
        return sorted((self.folder / "units").glob("*/*.jsonl"))

    def _take_over(self, old: Path) -> None:
        """Move what an older release noted, in one file for all keys, into books; after a kill, once more."""
        try:
            entries = _older(old)
        except FileNotFoundError:
            return
        except OSError as e:
            raise store_error(e, old, but="the ledger cannot be read") from e
        for key, units in entries.items():
            if units is None:
                self.forget(key)
                continue
            book = self._book(key)
            for unit, facts in units.items():
                if unit not in book.units:
                    book.note(unit, facts)
        _unlink(old)


def _older(path: Path) -> dict[str, dict[str, dict[str, Any]] | None]:
    """Keys and their units in the file of an older release; None for a key that was forgotten last."""
    found: dict[str, dict[str, dict[str, Any]] | None] = {}
    with path.open("rb") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
                key = entry.pop("step")
                if entry.pop("forget", False):
                    found[key] = None
                else:
                    unit = str(entry.pop("unit"))
                    units = found.get(key)
                    if units is None:
                        units = found[key] = {}
                    units[unit] = entry
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                continue
    return found


def _name(key: str) -> str:
    """A file name for a key that no other key has, on disks that know no capitals as well.

    >>> _name("9f2c/tier1"), _name("A b")
    ('9f2c%2ftier1', '%41%20b')
    """
    name = "".join(c if c in _PLAIN else _percent(c) for c in key)
    if name and len(name) <= _LONG:
        return name
    return f"{name[:40]}~{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def _percent(letter: str) -> str:
    return "".join(f"%{b:02x}" for b in letter.encode("utf-8", "surrogatepass"))


def _key(name: str) -> str | None:
    """The key of a name that holds all of it; None for a file that is none of ours."""
    first, *others = name.split("%")
    try:
        raw = first.encode("ascii") + b"".join(bytes.fromhex(o[:2]) + o[2:].encode("ascii") for o in others)
        return raw.decode("utf-8", "surrogatepass")
    except ValueError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        raise store_error(e, path, but="cannot be removed") from e
