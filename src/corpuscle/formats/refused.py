"""Kinds of file that are recognised only to be turned away, with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from corpuscle.core import Record
from corpuscle.errors import FormatError
from corpuscle.formats import safexml
from corpuscle.formats.contract import Scene
from corpuscle.formats.source import head

NAME = "refused"
_LOOK = 1 << 20
# A numpy header whose type is an object, alone or as a field: what `_seg.npy` files hold.
_OBJECTS = re.compile(rb"'descr': *(?:'[|<>=]?O|\[[^]]*'[|<>=]?O)")
# Protocol 2 to 5, and the first opcode that Python's pickler writes after it: a frame, or what builds most objects.
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|[(\]}c)X\x8c\x8a-\x8eK-NU])", re.DOTALL)


def sniff(path: Path) -> bool:
    """Whether there is a reason to turn the file away."""
    return _reason(path) is not None


def scenes(path: Path) -> tuple[Scene, ...]:
    """Raises the reason."""
    _refuse(path)


def read(path: Path, scene: str | None = None) -> Record:
    """Raises the reason."""
    _refuse(path)


def _refuse(path: Path) -> NoReturn:
    raise _reason(path) or FormatError(
        "nothing speaks against this file, but nothing reads it", where=path, fix="convert it to a known format first"
    )


def _reason(path: Path) -> FormatError | None:
    start = head(path, 4096)
    if start[:6] == b"\x93NUMPY" and _OBJECTS.search(start):
        return FormatError(
            "holds pickled Python objects, and opening those runs whatever code is in them",
            where=path,
            fix="save the label array itself, as TIFF or as .npy without objects",
            rule="npy-pickle",
        )
    if _PICKLE.match(start):
        return FormatError(
            "is a Python pickle, and opening one runs whatever code is in it",
            where=path,
            fix="save the data in a format that only holds data",
            rule="pickle",
        )
    if _marked_up(start) and safexml.declares(head(path, _LOOK)):
        return FormatError(
            "is XML that declares a document type, through which a few bytes can grow to gigabytes",
            where=path,
            fix="remove the <!DOCTYPE ...> if you trust the file",
            rule="xml-entities",
        )
    return None


def _marked_up(start: bytes) -> bool:
    """Whether a tag opens first, in UTF-8 or UTF-16, after a byte order mark or blanks."""
    return start.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] == b"<"
