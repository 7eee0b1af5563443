"""The bytes of a file, bounded; and a file written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from corpuscle.errors import FormatError, StoreError

LIMIT = 4 << 30
"""No reader that needs a file in one piece takes more than this many bytes."""


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a regular file; nothing where there is none to be read, so a sniff never fails or waits."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read(size)
    except (OSError, ValueError):
        return b""


def length(path: Path) -> int:
    """Bytes in a regular file; FormatError where there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as e:
        absent = isinstance(e, FileNotFoundError)
        fix = "check the name" if absent else "check its rights"
        raise FormatError(f"cannot be read: {e}", where=path, fix=fix, rule="file-unreadable", asked=absent) from e
    if not stat.S_ISREG(found.st_mode):
        raise FormatError("is not a file", where=path, fix="name a file", rule="file-unreadable", asked=True)
    return found.st_size


def whole(path: Path, *, limit: int = LIMIT) -> bytes:
    """All bytes of a file of at most `limit` bytes; FormatError where it is larger or cannot be read."""
    size = length(path)
    if size > limit:
        raise FormatError(
            f"{size} bytes, of which at most {limit} are taken", where=path, fix="cut it in pieces", rule="file-large"
        )
    return part(path, 0, size)


def part(path: Path, start: int, size: int) -> bytes:
    """Up to `size` bytes from `start`."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)
    except (OSError, ValueError) as e:
        raise FormatError(f"cannot be read: {e}", where=path, fix="check its rights", rule="file-unreadable") from e


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it takes the place of `path` when all went well, else it is gone."""
    temporary = path.with_name(f".writing-{secrets.token_hex(8)}{path.suffix[:16]}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as e:
        raise StoreError(
            f"nothing can be written here: {e.strerror}", where=path, fix="check the folder", rule="store-write"
        ) from e
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as e:
        raise StoreError(
            f"could not be written: {e}", where=path, fix="check space and rights", rule="store-write"
        ) from e
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
