"""What each labelled object is like: where it lies, how large, of what shape, how bright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import LayerError
from corpuscle.ops.accept import intensities, labels, steps

# Perimeter of a digitised curve from how its edge pixels meet (Benkrid and Crookes 2000): the weight of an edge pixel
# by its straight and diagonal neighbours on the edge, as 10 * diagonal + 2 * straight + itself.
_STRAIGHT, _SLANTED, _BENT = (5, 7, 15, 17, 25, 27), (21, 33), (13, 23)


def measure(
    lab: ArrayLike, img: ArrayLike | None = None, *, spacing: Sequence[float | None] | None = None
) -> dict[str, NDArray[Any]]:
    """One row per object, sorted by label, as columns of equal length.

    =============================  ============================================================================
    label                          its number
    pixels                         how many it has
    area (volume in 3D)            the same times the size of a pixel
    centroid_y, centroid_x         mean of its pixel centres; centroid_z in 3D
    start_y .. stop_x              the half-open box around it, in indices
    diameter                       of the disc, or ball, of equal area
    major, minor                   axes of the ellipse with the same second moments; `middle` too in 3D. Pixels are
                                   squares, not points, so that a single one has an extent
    eccentricity                   of that ellipse (2D)
    perimeter                      of its outline, holes included (2D, square pixels; nan otherwise)
    roundness                      4 pi area / perimeter², 1 for a disc (2D)
    extent                         share of its box that it fills
    at_edge                        whether it touches the end of the image
    mean, least, most, total, std  of the intensities, where an image is given
    =============================  ============================================================================

    Parameters
    ----------
    spacing
        Size of a pixel along each axis. Left out, or None along any axis: all lengths are in pixels. Centroids are
        index times spacing.

    Raises
    ------
    LayerError
        Labels that are not integers, are negative, or not 2D or 3D; an image of another shape.
    SettingsError
        A spacing that does not fit the axes, or is not above 0.

    >>> row = measure([[0, 1, 1], [0, 1, 1]], [[0, 1, 2], [0, 3, 6]])
    >>> row["area"].tolist(), row["centroid_x"].tolist(), row["mean"].tolist(), row["at_edge"].tolist()
    ([4.0], [1.5], [3.0], [True])
    """
    array = labels(lab, op="measure")
    size = steps(array.ndim, spacing)
    axes = "zyx"[-array.ndim :]
    flat = array.ravel()
    where = np.flatnonzero(flat)
    name, owner, count = _objects(flat[where])
    n = len(name)
    index = np.unravel_index(where, array.shape)
    middle = np.stack([np.bincount(owner, i, n) / np.maximum(count, 1) for i in index])
    start, stop = _boxes(index, owner, n)
    out: dict[str, NDArray[Any]] = {"label": name, "pixels": count}
    area = count * float(np.prod(size))
    out["area" if array.ndim == 2 else "volume"] = area
    for a, axis in enumerate(axes):
        out[f"centroid_{axis}"] = middle[a] * size[a]
    for a, axis in enumerate(axes):
        out[f"start_{axis}"], out[f"stop_{axis}"] = start[a], stop[a]
    out["diameter"] = 2 * np.sqrt(area / np.pi) if array.ndim == 2 else np.cbrt(6 * area / np.pi)
    out |= _ellipse(index, owner, count, middle, size)
    if array.ndim == 2:
        square = bool(np.isclose(size[0], size[1]))
        out["perimeter"] = _perimeter(array, name) * size[0] if square else np.full(n, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            out["roundness"] = np.where(out["perimeter"] > 0, 4 * np.pi * area / out["perimeter"] ** 2, np.nan)
    out["extent"] = count / np.maximum(np.prod(stop - start, axis=0), 1)
    ends = np.array(array.shape)[:, None]
    out["at_edge"] = np.asarray(((start == 0) | (stop == ends)).any(axis=0))
    return out | _light(img, array.shape, where, owner, count)


def _objects(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """The labels present, the row of each pixel, the pixels of each row."""
    if values.size and int(values.max()) > 16 * values.size + (1 << 16):
        name, owner, count = np.unique(values, return_inverse=True, return_counts=True)
        return name.astype(np.int64), owner.ravel(), count.astype(np.int64)
    every = np.bincount(values)
    name = np.flatnonzero(every)
    row = np.zeros(len(every), np.intp)
    row[name] = np.arange(len(name))
    return name.astype(np.int64), row[values], every[name].astype(np.int64)


def _boxes(
    index: tuple[NDArray[np.intp], ...], owner: NDArray[np.intp], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start, stop = np.zeros((len(index), n), np.int64), np.zeros((len(index), n), np.int64)
    for a, i in enumerate(index):
        start[a] = np.iinfo(np.int64).max
        np.minimum.at(start[a], owner, i)
        np.maximum.at(stop[a], owner, i + 1)
    return start, stop


def _ellipse(
    index: tuple[NDArray[np.intp], ...],
    owner: NDArray[np.intp],
    count: NDArray[np.int64],
    middle: NDArray[np.float64],
    size: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    ndim, n = middle.shape
    away = [(i - m[owner]) * s for i, m, s in zip(index, middle, size, strict=True)]
    spread = np.empty((n, ndim, ndim))
    for a in range(ndim):
        for b in range(a, ndim):
            moment = np.bincount(owner, away[a] * away[b], n) / np.maximum(count, 1)
            # A pixel is a square, not a point: each has a spread of its own.
            spread[:, a, b] = spread[:, b, a] = moment + (size[a] ** 2 / 12 if a == b else 0)
    # A disc of radius r has a variance of r²/4 along any axis, a ball r²/5.
    values = np.linalg.eigvalsh(spread)[:, ::-1] if n else np.empty((0, ndim))
    length = 2 * np.sqrt((4 if ndim == 2 else 5) * np.maximum(values, 0))
    if ndim == 2:
        flat = np.sqrt(np.maximum(0, 1 - values[:, 1] / values[:, 0]))
        return {"major": length[:, 0], "minor": length[:, 1], "eccentricity": flat}
    return {"major": length[:, 0], "middle": length[:, 1], "minor": length[:, 2]}


def _perimeter(array: NDArray[Any], name: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels, in pixel lengths, each object by itself: what touches it is outside it."""
    padded = np.pad(array, 1)
    rows, columns = array.shape

    def seen(dy: int, dx: int) -> NDArray[Any]:
        return padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]

    inner = (array != 0) & (seen(-1, 0) == array) & (seen(1, 0) == array)
    inner &= (seen(0, -1) == array) & (seen(0, 1) == array)
    edge = np.where(inner, 0, array)
    padded = np.pad(edge, 1)
    at = np.nonzero(edge)
    own = edge[at]
    kind = np.ones(own.size, np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                kind += (10 if dy and dx else 2) * (padded[at[0] + 1 + dy, at[1] + 1 + dx] == own)
    weight = np.zeros(51)
    weight[list(_STRAIGHT)], weight[list(_SLANTED)], weight[list(_BENT)] = 1, np.sqrt(2), (1 + np.sqrt(2)) / 2
    return np.bincount(np.searchsorted(name, own), weight[kind], len(name)).astype(np.float64)


def _light(
    img: ArrayLike | None,
    shape: tuple[int, ...],
    where: NDArray[np.intp],
    owner: NDArray[np.intp],
    count: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    if img is None:
        return {}
    pixels = intensities(img, op="measure")
    if pixels.shape != shape:
        raise LayerError(f"an image of shape {pixels.shape} for labels of {shape}", rule="shape-differs")
    value = pixels.ravel()[where].astype(np.float64)
    n = len(count)
    total = np.bincount(owner, value, n)
    mean = total / np.maximum(count, 1)
    least, most = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(least, owner, value)
    np.maximum.at(most, owner, value)
    std = np.sqrt(np.bincount(owner, (value - mean[owner]) ** 2, n) / np.maximum(count, 1))
    return {"mean": mean, "least": least, "most": most, "total": total, "std": std}
