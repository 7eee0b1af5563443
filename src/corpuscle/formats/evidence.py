"""What the colours of a picture show: objects that lie flat, a photograph, or edges that were smoothed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import FormatError

# Pieces of up to this many pixels are what smoothing leaves along an edge.
_TINY = 4


def flat(pixels: NDArray[Any], codes: NDArray[Any], *, run: float) -> bool:
    """Whether what is not background goes on for `run` pixels on average, along x and along y.

    `codes` are those of `pixels`; background is black, or else the commonest. Not flat is, at any run, one colour
    alone, many greys, or what has smooth edges.
    """
    values, counts = np.unique(codes, return_counts=True)
    ground = 0 if values[0] == 0 else values[counts.argmax()]
    grey = (values >> 16 == values >> 8 & 255) & (values & 255 == values >> 8 & 255)
    if len(values) < 2 or (values.max() > 65535 and len(values) > 4 and grey.all()):
        return False
    for plane in (codes, codes.T):
        line = np.ascontiguousarray(plane)
        begins = np.ones(line.shape, bool)
        begins[:, 1:] = line[:, 1:] != line[:, :-1]
        object_ = line != ground
        if np.count_nonzero(object_) < run * np.count_nonzero(begins & object_):
            return False
    mixed, edges = _mixed(pixels, codes)
    return mixed <= max(8, edges / 20)


def unmixed(pixels: NDArray[Any], codes: NDArray[Any], colours: int, where: str | Path) -> None:
    """FormatError [rgbmask-lossy] where colours are mixed along edges; `codes` are those of `pixels`."""
    mixed, edges = _mixed(pixels, codes)
    if mixed > max(8, edges / 20):
        raise _lossy(
            f"{colours} colours, and {mixed} of {edges} pixels along edges mix those of their neighbours", where
        )


def whole_pieces(sizes: NDArray[np.int64], colours: int, where: str | Path) -> None:
    """FormatError [rgbmask-lossy] where objects lie in crumbs; `sizes` are those of connected pieces."""
    tiny = int((sizes <= _TINY).sum())
    if tiny > max(8, len(sizes) / 4):
        raise _lossy(f"{colours} colours in {len(sizes)} pieces, of which {tiny} have at most {_TINY} pixels", where)


def _lossy(why: str, where: str | Path) -> FormatError:
    return FormatError(
        f"its colours are not those of objects: {why}",
        where=where,
        fix="export it again as PNG without smoothing; a JPEG or a resized copy cannot be repaired",
        rule="rgbmask-lossy",
    )


def _mixed(pixels: NDArray[Any], codes: NDArray[Any]) -> tuple[int, int]:
    """How many pixels lie between two others in colour as they do in space, and how many edges there are."""
    colours = pixels.reshape(*codes.shape, -1)[..., :3]
    mixed = edges = 0
    for c, p in ((codes, colours), (codes.T, colours.swapaxes(0, 1))):
        change = c[:, 1:] != c[:, :-1]
        edges += int(np.count_nonzero(change))
        y, x = np.nonzero(change[:, :-1] & change[:, 1:])
        third = c[y, x] != c[y, x + 2]
        y, x = y[third], x[third]
        if not len(y):
            continue
        a, m, b = (p[y, x + k].astype(np.float64) for k in range(3))
        span = b - a
        share = ((m - a) * span).sum(1) / (span * span).sum(1)
        off = np.abs(a + share[:, None] * span - m).max(1)
        mixed += int(((off <= 2) & (share > 0) & (share < 1)).sum())
    return mixed, edges
