"""Plate, well, field and channel, read out of the name of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Two things hold a Cellomics name together: the last underscore, and one row letter with two digits after it. A second
# letter (well AA01 of a 1536-well plate) is another scheme, of which no sample is known.
_NAME = re.compile(
    r"(?P<plate>.+)_(?P<row>[A-Za-z])(?P<column>[0-9]{2})"
    r"(?P<field>[fF][0-9]{2,3})?(?P<channel>[odOD][0-9]{1,4})?(?:\.[A-Za-z0-9]{1,8}){0,2}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PlateName:
    """Where on a plate an image was taken, as its file name tells.

    Parameters
    ----------
    plate
        Everything before the well.
    well
        Row letter and column, as ``A01``.
    row, column
        The same as indices: row A is 0, column 01 is 0.
    field
        As ``f00``; None where the name has none. Numbers may start anywhere and be sparse.
    channel
        ``d0`` for a raw image, ``o1`` for the vendor's overlay; None where the name has none.
    overlay
        Whether it is the vendor's overlay of outlines, which is no truth.
    """

    plate: str
    well: str
    row: int
    column: int
    field: str | None = None
    channel: str | None = None
    overlay: bool = False

    @property
    def groups(self) -> dict[str, str]:
        """Plate, well and field, widest first, as a record wants them."""
        groups = {"plate": self.plate, "well": self.well}
        return groups if self.field is None else {**groups, "field": self.field}

    @property
    def site(self) -> str:
        """The name that all channels of one field share.

        >>> parse("p_1_b03f02d1.C01").site
        'p_1_B03f02'
        """
        return f"{self.plate}_{self.well}{self.field or ''}"


def parse(name: str) -> PlateName | None:
    """What a Cellomics file name says: ``<plate>_<well>[f<field>][d<channel> | o<overlay>][.ext]``.

    None where it names no well, and for 1536-well names (``AA01``): such a file is a single image.
    Suffixes of other makers (``_objects``) are the caller's to strip.

    Source: Bio-Formats, CellomicsReader, the two patterns of its file names.

    >>> parse("MFGTMPcx7_170702090001_A08f12d0.png")
    PlateName(plate='MFGTMPcx7_170702090001', well='A08', row=0, column=7, field='f12', channel='d0', overlay=False)
    >>> parse("plate_AA01f00d0.C01") is None, parse("image1.c01") is None
    (True, True)
    """
    match = _NAME.fullmatch(name)
    if match is None or match["column"] == "00":
        return None
    row, channel, field = match["row"].upper(), match["channel"], match["field"]
    return PlateName(
        match["plate"],
        f"{row}{match['column']}",
        ord(row) - ord("A"),
        int(match["column"]) - 1,
        field.lower() if field else None,
        channel.lower() if channel else None,
        overlay=bool(channel) and channel[0] in "oO",
    )
