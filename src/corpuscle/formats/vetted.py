"""JSON from strangers: each part is taken as what it must be, or refused with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpuscle.errors import CorpuscleError, FormatError, StoreError
from corpuscle.formats import storage
from corpuscle.formats.place import Place, Url

JSON_LIMIT = 64 << 20
TEXT_LIMIT = 1024


def load(path: Place) -> Any:
    """What a JSON file holds; a FormatError where it is absent, larger than 64 MB, torn or not JSON.

    Behind a URL also a StoreError, where the server does not give it.
    """
    try:
        return parsed(_bytes(path), path)
    except OSError as e:
        if isinstance(e, CorpuscleError):
            raise
        raise FormatError(
            f"cannot be read: {e.strerror or e}", where=path, fix="copy the folder again", rule="json-missing"
        ) from e


def first(folder: Place, names: Sequence[str]) -> tuple[str, Any] | None:
    """The first of these JSON files that a folder holds: its name, and what is in it; None where it has none."""
    refused: StoreError | None = None
    for name in names:
        path = folder / name
        if isinstance(path, Path):
            if path.exists():
                return name, load(path)
            continue
        try:
            return name, parsed(_bytes(path), path)
        except FileNotFoundError:
            continue
        except StoreError as e:
            if e.rule != "url-denied":
                raise
            refused = e  # how a public bucket that may not be listed says that there is no such file
    if refused is not None:
        raise refused
    return None


def parsed(data: bytes, path: Place) -> Any:
    """What JSON says; a FormatError where it is torn or none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise FormatError(
            f"is not JSON: {str(e)[:200]}", where=path, fix="copy the file again", rule="json-torn"
        ) from e


def _bytes(path: Place) -> bytes:
    """All of a file, or a FileNotFoundError; a FormatError where it is more than any metadata is."""
    if isinstance(path, Url):
        data = storage.fetch(path, limit=JSON_LIMIT)
        if data is None:
            raise FileNotFoundError(2, "there is no such file")
        return data
    if path.stat().st_size > JSON_LIMIT:
        raise FormatError(
            f"metadata of more than {JSON_LIMIT >> 20} MB", where=path, fix="write the image again", rule="json-large"
        )
    return path.read_bytes()


def mapping(value: object, what: str, where: str | Path) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise refused(value, what, "a JSON object", where)
    return value


def items(value: object, what: str, where: str | Path) -> list[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise refused(value, what, "a list", where)
    return value


def text(value: object, what: str, where: str | Path) -> str:
    """A string of 1 to 1024 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT:
        raise refused(value, what, f"a text of 1 to {TEXT_LIMIT} characters", where)
    return value


def numbers(value: object, what: str, where: str | Path, *, n: int | None = None) -> list[float]:
    """A list of finite numbers, `n` of them where that is given."""
    found = items(value, what, where)
    if not all(is_number(v) for v in found) or n not in (None, len(found)):
        raise refused(value, what, f"{'' if n is None else f'{n} '}finite numbers", where)
    return [float(v) for v in found]


def sizes(value: object, what: str, where: str | Path, *, least: int = 1) -> tuple[int, ...]:
    """A list of at most 32 whole numbers, from `least` on."""
    found = items(value, what, where)
    if len(found) > 32 or not all(type(v) is int and least <= v < 2**60 for v in found):
        raise refused(value, what, f"whole numbers from {least}", where)
    return tuple(found)


def inner_path(value: object, where: str | Path) -> str:
    """A relative path that stays inside its group."""
    path = text(value, "a path", where)
    parts = path.split("/")
    if path != path.strip() or any(p in ("", ".", "..") for p in parts) or "\\" in path or "\0" in path:
        raise FormatError(
            f"path {path!r} leads outside its group", where=where, fix="name paths below the group", rule="path-outside"
        )
    return path


def is_number(value: object) -> bool:
    """Whether this is a finite number, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def refused(value: object, what: str, wanted: str, where: str | Path) -> FormatError:
    """The error for a part that is not what it must be."""
    found = "missing" if value is None else str(value)[:80]
    return FormatError(
        f"{what} is {found}, not {wanted}",
        where=where,
        fix="mend the metadata, or write the image again",
        rule="metadata",
    )
