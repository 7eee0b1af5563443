"""Every unit that OME-NGFF names is known, and nothing else is guessed."""

from __future__ import annotations

import pytest

from corpuscle.errors import FormatError
from corpuscle.formats.units import factor

LENGTHS = """\
angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch kilometer
megameter meter micrometer mile millimeter nanometer parsec petameter picometer terameter yard yoctometer yottameter
zeptometer zettameter"""
TIMES = """\
attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour kilosecond megasecond
microsecond millisecond minute nanosecond petasecond picosecond second terasecond yoctosecond yottasecond zeptosecond
zettasecond"""


def test_all_of_ngff() -> None:
    assert all(factor(u) for u in LENGTHS.split())
    assert all(factor(u, time=True) for u in TIMES.split())


@pytest.mark.parametrize(
    ("unit", "um"), [("micrometer", 1), ("meter", 1e6), ("inch", 25400), ("angstrom", 1e-4), ("micron", 1), ("µm", 1)]
)
def test_lengths(unit: str, um: float) -> None:
    assert factor(unit) == um


def test_units_of_one_kind_are_none_of_the_other() -> None:
    with pytest.raises(FormatError):
        factor("second")
    with pytest.raises(FormatError):
        factor("micrometer", time=True)
    assert factor(None) is factor("pixel") is factor("frame", time=True) is None
