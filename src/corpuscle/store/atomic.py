"""Old or new, never half: files and folders that appear whole under their final name."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuscle.core.disk import store_error
from corpuscle.errors import StoreError


def write_bytes(path: Path, data: bytes, *, fsync: bool = False) -> None:
    """Put `data` under `path`, so that a reader, or a run killed at any moment, sees the old file or the new.

    Guards against a killed process, not against a power cut; with `fsync`, against that as well, for
    some milliseconds a file. A StoreError says what could not be written, and why.
    """
    aside = path.with_name(f".{path.name[:80]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        if fsync:
            _write_through(aside, data)
        else:
            aside.write_bytes(data)
        aside.replace(path)
        if fsync:
            _flush_folder(path.parent)
    except OSError as e:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise store_error(e, path, needed=len(data)) from e


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def _flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any) -> None:
    """Put a value under `path` as indented JSON, old or new."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file; a StoreError where it is absent, torn or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as e:
        raise StoreError("no such file", where=path, rule="json-missing") from e
    except OSError as e:
        raise StoreError(f"cannot be read: {e.strerror or e}", where=path, rule="json-unreadable") from e
    except (ValueError, RecursionError) as e:  # not UTF-8, not JSON, or a number of thousands of digits
        raise StoreError(f"is not JSON: {e}", where=path, rule="json-torn") from e


def sweep_parts(*folders: Path) -> None:
    """Remove what killed writers left beside the files they meant to write; only their own run may be at work there."""
    for folder in folders:
        for left in folder.glob(".*.part"):
            remove(left)


class Staging:
    """A folder on the same disk where new folders are made ready before they take their place.

    Whatever lies in it when a run starts was left by a killed one, and is swept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def new(self) -> Path:
        """A path with nothing there yet, for a file or folder to be made ready."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root / f"{os.getpid()}-{secrets.token_hex(8)}"

    @contextlib.contextmanager
    def place(self, final: Path) -> Iterator[Path]:
        """A path, nothing there yet, for a file or folder that becomes `final` when the block ends well.

        When the block does not, it vanishes. If `final` is there already it is set aside first and
        removed after, so it is either the old one, absent for an instant, or the new one.
        """
        aside = self.new()
        try:
            yield aside
            publish(aside, final, trash=self.root)
        except BaseException:
            remove(aside)
            raise

    def sweep(self) -> int:
        """Remove what killed runs left; how many folders that were."""
        if not self.root.is_dir():
            return 0
        left = list(self.root.iterdir())
        for path in left:
            remove(path)
        with contextlib.suppress(OSError):
            self.root.rmdir()
        return len(left)


def publish(aside: Path, final: Path, *, trash: Path) -> None:
    """Move a finished file or folder to its final name; what was there goes."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            trash.mkdir(parents=True, exist_ok=True)
            old = trash / f"{os.getpid()}-{secrets.token_hex(8)}.old"
            final.rename(old)
            aside.rename(final)
            remove(old)
        else:
            aside.replace(final)
    except OSError as e:
        raise store_error(e, final, but="cannot take its place") from e


def remove(path: Path) -> None:
    """Take away a file or a folder with all that is in it; nothing, if nothing is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
