"""What is done, written down as it happens, beside the store and never inside it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpuscle.errors import StoreError


def beside(store: Path) -> Path:
    """The folder of the ledger of a store: a copied store does not carry it along."""
    return store.with_name(store.name + ".ledger")


class Ledger:
    """One line per finished unit, under the fingerprint of the step that finished it.

    Only the coordinator writes. A line that a kill tore is no line. Opening takes the lock of the
    store: a second run is refused with the owner's name, and a dead owner's lock is free by
    itself, because the system drops it with the process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = open(folder / "lock", "a+")  # noqa: SIM115 - held for the life of the run
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "an unnamed process"
            self._lock.close()
            raise StoreError(
                f"another run is at work here: {owner}", where=folder, fix="wait for it, or end it", rule="store-busy"
            ) from None
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._lock.flush()
        self._path = folder / "units.jsonl"
        self._done = _scan(self._path)
        _mend_tail(self._path)
        self._out = open(self._path, "ab", buffering=0)  # noqa: SIM115

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        self._out.close()
        self._lock.close()

    def done(self, fingerprint: str, unit: str) -> Mapping[str, Any] | None:
        """What was noted when this unit was finished under this fingerprint; None if it was not."""
        return self._done.get((fingerprint, unit))

    def note(self, fingerprint: str, unit: str, **facts: Any) -> None:
        """Write down that a unit is done. One system call, so a kill leaves it whole or torn, never mixed."""
        line = {"step": fingerprint, "unit": unit, **facts}
        self._out.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
        self._done[fingerprint, unit] = facts

    def forget(self, fingerprint: str) -> None:
        """Strike out every unit of a step: its output was thrown away."""
        for key in [k for k in self._done if k[0] == fingerprint]:
            del self._done[key]
        self._out.write((json.dumps({"step": fingerprint, "forget": True}) + "\n").encode())


def _scan(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    done: dict[tuple[str, str], dict[str, Any]] = {}
    if not path.exists():
        return done
    with path.open("rb") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
                step = entry.pop("step")
                if entry.get("forget"):
                    done = {k: v for k, v in done.items() if k[0] != step}
                else:
                    done[step, entry.pop("unit")] = entry
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError):
                continue
    return done


def _mend_tail(path: Path) -> None:
    """End a torn last line, so that the next one starts afresh."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as f:
            f.seek(-1, os.SEEK_END)
            if f.read(1) != b"\n":
                f.write(b"\n")
