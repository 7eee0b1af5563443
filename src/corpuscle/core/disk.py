"""What a disk says when it will not take a write, in words that say what to do."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from corpuscle.errors import StoreError

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file may not grow so",
}
_RIGHTS = {errno.EACCES: "no right to write", errno.EPERM: "no right to write"}


def store_error(e: OSError, where: Path, *, needed: int | None = None, but: str = "cannot be written") -> StoreError:
    """What the system said of a failed write, as a StoreError that says what to do about it.

    `needed` is the number of bytes that were to be written; `but` what did not happen. The rule is `disk-full`,
    `store-read-only`, `store-rights`, or else `store`.
    """
    code = e.errno or 0
    if code in _FULL:
        amounts = [] if needed is None else [f"{needed:,} bytes needed"]
        free = free_space(where)
        amounts += [] if free is None else [f"{free:,} bytes free"]
        message = f"{but}: {_FULL[code]}{': ' if amounts else ''}{', '.join(amounts)}"
        fix = {errno.EFBIG: "raise the limit on the size of files (ulimit -f), or write elsewhere"}.get(
            code, "free some space, then run again: what is done is kept"
        )
        return StoreError(message, where=where, fix=fix, rule="disk-full")
    if code == errno.EROFS:
        return StoreError(
            f"{but}: the file system is read-only", where=where, fix="write elsewhere", rule="store-read-only"
        )
    if code in _RIGHTS:
        fix = "check the owner and the rights of the folder"
        return StoreError(f"{but}: {_RIGHTS[code]}", where=where, fix=fix, rule="store-rights")
    return StoreError(f"{but}: {e.strerror or e}", where=where, fix="check space and rights")


def free_space(path: Path) -> int | None:
    """Bytes that may still be written where `path` is, or is to be; None where the system does not say."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None
