"""The Pascal-VOC palette, in which CVAT and others number objects, and the label maps beside such masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import FormatError


def colours(indices: NDArray[Any]) -> NDArray[np.uint8]:
    """(n, 3) colours of the Pascal-VOC palette: bits 0, 1, 2 of an index go to bit 7 of R, G, B, and so on.

    >>> colours(np.array([1, 2, 8])).tolist()
    [[128, 0, 0], [0, 128, 0], [64, 0, 0]]
    """
    index = np.asarray(indices, np.int64)[..., None] >> np.arange(3)
    out = np.zeros(index.shape, np.uint8)
    for bit in range(8):
        out |= ((index >> 3 * bit & 1) << 7 - bit).astype(np.uint8)
    return out


def indices(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of each colour in the Pascal-VOC palette: the inverse of `colours`."""
    out = np.zeros_like(codes)
    for channel in range(3):
        value = codes >> (16 - 8 * channel) & 255
        for bit in range(8):
            out |= (value >> 7 - bit & 1) << 3 * bit + channel
    return out


def labelmap(text: str) -> Mapping[str, int]:
    r"""Class name to colour code, out of the labelmap.txt of a CVAT or VOC export: ``name:R,G,B:parts:actions``.

    >>> labelmap("# label:color_rgb:parts:actions\nbackground:1,2,3::")
    {'background': 66051}
    """
    codes = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if line.startswith("#") or not colon:
            continue
        parts = rest.split(":")[0].split(",")
        if len(parts) != 3 or not all(p.strip().isdecimal() and int(p) < 256 for p in parts):
            raise FormatError(
                f"a line of a label map names no colour: {line[:80]!r}",
                fix="write name:r,g,b:: in each line",
                rule="rgbmask-labelmap",
            )
        r, g, b = map(int, parts)
        codes[name] = r << 16 | g << 8 | b
    return codes
