from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from corpuscle.errors import FormatError
from corpuscle.formats import refused, safexml

LAUGHS = '<?xml version="1.0" encoding="{}"?>\n<!-- {} --><!DOCTYPE lolz [<!ENTITY lol "lol">]><lolz>&lol;</lolz>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("comment", ["", "x" * 300_000])
def test_a_document_type_is_found_in_any_encoding_and_however_late(encoding: str, comment: str, tmp_path: Path) -> None:
    data = LAUGHS.format(encoding.removesuffix("-sig"), comment).encode(encoding)
    (tmp_path / "a.xml").write_bytes(data)
    assert refused.sniff(tmp_path / "a.xml")
    with pytest.raises(FormatError, match="xml-entities"):
        refused.read(tmp_path / "a.xml")
    with pytest.raises(FormatError, match="xml-entities"):
        safexml.parse(data)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"masks": 1}, [1, 2], (1,), "text", 5, None, Path("x"), range(3)])
def test_pickles_are_known(protocol: int, value: object, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(pickle.dumps(value, protocol))
    assert refused.sniff(tmp_path / "a")


def test_harmless_xml_is_parsed_and_broken_is_told() -> None:
    assert safexml.parse('<?xml version="1.0" encoding="utf-16"?><a b="µ"/>').get("b") == "µ"
    assert safexml.parse(b"<a>1 &lt; 2 &#181;</a>").text == "1 < 2 µ"
    for broken in ("<a>", "", "<a/><b/>", "<a>&nope;</a>", '<?xml version="1.0" encoding="klingon"?><a/>'):
        with pytest.raises(FormatError, match="xml-syntax"):
            safexml.parse(broken.encode())


def test_harmless_files_are_not_refused(tmp_path: Path) -> None:
    for i, data in enumerate((b"<svg/>", b"\x80\x02 no pickle", b"<!-- <!DOCTYPE x> --><a/>", b"text")):
        (tmp_path / str(i)).write_bytes(data)
        assert not refused.sniff(tmp_path / str(i))
        with pytest.raises(FormatError):
            refused.scenes(tmp_path / str(i))
