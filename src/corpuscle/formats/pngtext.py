"""The text chunks of a PNG: what is read out of them, and facts as they are written."""

from __future__ import annotations

import json
import math
import zlib

from corpuscle.core.record import Value
from corpuscle.errors import FormatError

TEXT = 1 << 16
"""Texts of more bytes than this are neither read nor written."""


def text(kind: bytes, body: bytes) -> dict[str, str]:
    """One text chunk; nothing where it makes no sense or is longer than 64 KB, for no pixel hangs on it."""
    key, _, rest = body.partition(b"\0")
    try:
        if kind == b"tEXt":
            return {key.decode("latin-1"): rest.decode("latin-1")}
        if kind == b"zTXt":
            return {key.decode("latin-1"): zlib.decompressobj().decompress(rest[1:], TEXT).decode("latin-1")}
        packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        return {key.decode("latin-1"): (zlib.decompressobj().decompress(rest, TEXT) if packed else rest).decode()}
    except (zlib.error, UnicodeDecodeError):
        return {}


def value(words: str) -> Value:
    """What a text stands for: a number or truth value where it is JSON of one, else itself."""
    try:
        found = json.loads(words)
    except (ValueError, RecursionError):
        return words
    known = found is None or isinstance(found, str | bool | int) or (isinstance(found, float) and math.isfinite(found))
    return found if known else words


def worded(key: str, fact: Value) -> tuple[bytes, bytes]:
    """Kind and body of the chunk for a fact, such that `value` gives it back; FormatError [png-text] where none can."""
    if not 0 < len(key) < 80 or not key.isascii() or not key.isprintable():
        raise FormatError(
            f"a PNG text is named by up to 79 plain characters, not {key!r}", fix="shorten it", rule="png-text"
        )
    words = fact if isinstance(fact, str) and value(fact) == fact and '"' not in fact[:1] else json.dumps(fact)
    if len(words) >= TEXT - 100:
        raise FormatError(f"the PNG text {key!r} is longer than 64 KB", fix="shorten it", rule="png-text")
    if words.isascii() and "\0" not in words:
        return b"tEXt", key.encode() + b"\0" + words.encode()
    return b"iTXt", key.encode() + b"\0\0\0\0\0" + words.encode()
