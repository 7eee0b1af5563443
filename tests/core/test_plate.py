from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.core.plate import PlateName, parse

PLATES = st.text(string.ascii_letters + string.digits + "_- .µ\n", min_size=1).filter(lambda s: s.strip("_"))


@given(
    plate=PLATES,
    row=st.sampled_from(string.ascii_uppercase),
    column=st.integers(1, 48),
    field=st.none() | st.integers(0, 999),
    channel=st.none() | st.tuples(st.sampled_from("do"), st.integers(0, 12)),
    suffix=st.sampled_from(["", ".C01", ".c01", ".DIB", ".png", ".ome.tif"]),
)
def test_a_name_put_together_comes_apart(
    plate: str, row: str, column: int, field: int | None, channel: tuple[str, int] | None, suffix: str
) -> None:
    f = None if field is None else f"f{field:02d}"
    c = None if channel is None else f"{channel[0]}{channel[1]}"
    found = parse(f"{plate}_{row}{column:02d}{f or ''}{c or ''}{suffix}")
    assert found == PlateName(
        plate, f"{row}{column:02d}", ord(row) - 65, column - 1, f, c, overlay=c is not None and c[0] == "o"
    )


@given(st.text())
def test_any_text_is_a_name_or_none(name: str) -> None:
    found = parse(name)
    assert found is None or found.site in name or found.site.upper() in name.upper()


@pytest.mark.parametrize(
    "name",
    [
        "image1.c01",
        "plate_AA01f00d0.C01",
        "A01f00d0.C01",
        "_A01f00d0.C01",
        "plate_A00f00d0.C01",
        "plate_A1f00d0.C01",
        "plate_A01f0d0.C01",
        "plate_A01f00d0_objects.png",
        "plate_A01f00d.C01",
        "",
    ],
)
def test_names_without_a_well_are_no_plate_names(name: str) -> None:
    assert parse(name) is None


def test_the_real_names() -> None:
    assert parse("AS_09125_050116110001_A01f00d2.DIB") == PlateName(
        "AS_09125_050116110001", "A01", 0, 0, "f00", "d2", False
    )
    overlay = parse("MFGTMP_120628160001_C18f02o1.C01")
    assert overlay is not None
    assert overlay.overlay
    assert overlay.groups == {"plate": "MFGTMP_120628160001", "well": "C18", "field": "f02"}
    assert overlay.site == "MFGTMP_120628160001_C18f02"


def test_case_of_the_well_does_not_matter() -> None:
    lower, upper = parse("p_c18F02D0.c01"), parse("p_C18f02d0.C01")
    assert lower == upper
