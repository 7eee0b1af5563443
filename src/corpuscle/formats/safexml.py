"""XML from strangers: refused where it declares a document type, before any parser could expand an entity."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from corpuscle.errors import FormatError


def declares(start: bytes) -> bool:
    """Whether the first bytes of an XML text declare a document type.

    The text may be cut anywhere, and be in any encoding that expat knows.

    >>> declares(b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'), declares(b"<a><b/>")
    (True, False)
    """
    try:
        _vet(start, None, where="", final=False)
    except FormatError as e:
        return e.rule == "xml-entities"
    return False


def parse(text: str | bytes, *, where: str | Path = "") -> ElementTree.Element:
    """The root element.

    Raises FormatError with rule ``xml-entities`` for a document type (which is where entities, and so
    a billion laughs, are declared), or ``xml-syntax``.
    """
    data = text.encode() if isinstance(text, str) else text
    encoding = "utf-8" if isinstance(text, str) else None
    _vet(data, encoding, where=where, final=True)
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(encoding=encoding))
    except (ElementTree.ParseError, LookupError, ValueError) as e:
        raise FormatError(
            f"is no well-formed XML: {e}", where=where, fix="mend or remove the XML", rule="xml-syntax"
        ) from e


def _vet(data: bytes, encoding: str | None, *, where: str | Path, final: bool) -> None:
    def doctype(name: str, system: str | None, public: str | None, internal: int) -> None:
        raise FormatError(
            f"declares a document type ({name[:40]!r}), through which a few bytes can grow to gigabytes",
            where=where,
            fix="remove the <!DOCTYPE ...> if you trust the file",
            rule="xml-entities",
        )

    parser = expat.ParserCreate(encoding)
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, final)
    except (expat.ExpatError, LookupError, ValueError) as e:
        if isinstance(e, FormatError):
            raise
        raise FormatError(
            f"is no well-formed XML: {e}", where=where, fix="mend or remove the XML", rule="xml-syntax"
        ) from e
