"""Objects of volumes that no memory holds: their connected parts, their tallies, and which of them are large enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.core import Space, Table
from corpuscle.core.free import free
from corpuscle.errors import LayerError, SettingsError
from corpuscle.kernels import components as runs
from corpuscle.kernels.labels import dense, remap, tally


@free
def components(mask: ArrayLike, *, connectivity: int | None = None) -> NDArray[np.int32]:
    """The connected components of a mask, or of each of its labels, numbered by first voxel.

    Parameters
    ----------
    connectivity
        4 or 8 in two dimensions, 6, 18 or 26 in three. Left out, voxels that touch anywhere are joined.

    Raises
    ------
    LayerError
        A mask that is neither booleans nor integers, or not of 1 to 3 axes.
    SettingsError
        A connectivity that the number of axes does not have.

    >>> components([[1, 0], [0, 1]]).tolist(), components([[1, 0], [0, 1]], connectivity=4).tolist()
    ([[1, 0], [0, 1]], [[1, 0], [0, 2]])
    """
    array = np.asarray(mask)
    if connectivity is None:
        connectivity = runs.CONNECTIVITY.get(array.ndim, (0,))[-1]
    return runs.components(array, connectivity=connectivity)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """What is counted of each object: whole numbers only, so that it does not matter how a volume was cut.

    Rows are sorted by label; the columns of `start`, `stop` and `moment` are the axes.
    """

    label: NDArray[Any]
    voxels: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    moment: NDArray[np.int64]
    total: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.label)


@free
def sizes(labels: ArrayLike, intensities: ArrayLike | None = None, *, corner: Sequence[int] = ()) -> Tallies:
    """Voxels, box, sum of indices and sum of intensities of each object of a block.

    Parameters
    ----------
    labels
        Of 1 to 3 axes, without a halo: a voxel counts in each block that holds it.
    intensities
        Integers of the same shape.
    corner
        Where the block begins in the whole. Left out, it begins at 0.

    Raises
    ------
    LayerError
        Labels or intensities that are no integers, or differ in shape; too many axes.
    SettingsError
        A corner of another number of axes.

    >>> sizes([[0, 3, 3]], corner=(7, 10)).stop.tolist()
    [[8, 13]]
    """
    found = tally(labels, intensities)
    at = np.asarray(corner if len(corner) else [0] * found.start.shape[1], np.int64)
    if at.shape != found.start.shape[1:]:
        raise SettingsError(f"a corner {tuple(corner)} for a block of {found.start.shape[1]} axes", rule="corner")
    moment = found.moment + at * found.voxels[:, None]
    return Tallies(found.label, found.voxels, found.start + at, found.stop + at, moment, found.total)


def join(a: Tallies, b: Tallies) -> Tallies:
    """The tallies of two blocks together. Associative and commutative: any order of blocks gives the same.

    Raises
    ------
    LayerError
        Tallies of another number of axes, or one with and one without intensities; sums beyond 64 bits.
    """
    if a.start.shape[1] != b.start.shape[1] or (a.total is None) != (b.total is None):
        raise LayerError("tallies of blocks of other axes, or of which one lacks intensities", rule="tally-kinds")
    both = np.concatenate([a.label, b.label])
    order = np.argsort(both, kind="stable")  # two sorted runs, which the sort merges
    both = both[order]
    head = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]])) if len(both) else np.empty(0, np.int64)

    def merge(how: np.ufunc, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = np.concatenate([x, y])[order]
        return np.asarray(how.reduceat(rows, head, axis=0)) if len(rows) else rows

    total = None
    if a.total is not None and b.total is not None:
        total = merge(np.add, a.total, b.total)
        if len(head) and np.abs(merge(np.add, a.total.astype(float), b.total.astype(float))).max() >= 2.0**62:
            raise LayerError("the intensities of an object add up to more than 64 bits hold", rule="tally-size")
    return Tallies(
        both[head],
        merge(np.add, a.voxels, b.voxels),
        merge(np.minimum, a.start, b.start),
        merge(np.maximum, a.stop, b.stop),
        merge(np.add, a.moment, b.moment),
        total,
    )


def joined(tallies: Iterable[Tallies]) -> Tallies:
    """Those of any number of blocks, pair by pair and then pairs of pairs, so that no row is carried along often.

    Raises
    ------
    LayerError
        No tallies at all, or such as do not fit together.
    """
    waiting: list[tuple[int, Tallies]] = []
    for one in tallies:
        rank = 0
        while waiting and waiting[-1][0] == rank:
            one, rank = join(waiting.pop()[1], one), rank + 1
        waiting.append((rank, one))
    if not waiting:
        raise LayerError("tallies of no blocks", rule="tally-none")
    return reduce(lambda late, early: join(early, late), (t for _, t in reversed(waiting)))


def table(tallies: Tallies, space: Space | None = None, *, about: str | None = None) -> Table:
    """One row per object: label, voxels, area or volume, centroid, box and, if intensities were given, their mean.

    Parameters
    ----------
    space
        That of the whole image: centroids are positions in it, in micrometres where its scale is known. Left out, all
        is in pixels.
    about
        The layer that the labels number.

    Raises
    ------
    LayerError
        A space whose spatial axes are not those of the tallies.
    """
    ndim = tallies.start.shape[1]
    axes = "zyx"[3 - ndim :]
    scale, origin, unit = (1.0,) * ndim, (0.0,) * ndim, "px"
    if space is not None:
        found = "".join(space.axes[i] for i in space.spatial)
        if found != axes:
            raise LayerError(f"tallies along {axes} in a space of {found}", rule="tally-space")
        scale, origin = space.spacing, tuple(space.origin[i] for i in space.spatial)
        unit = "um" if all(space.scale[i] is not None for i in space.spatial) else "px"
    middle = tallies.moment / np.maximum(tallies.voxels, 1)[:, None]
    extent = {1: "length", 2: "area", 3: "volume"}[ndim]
    columns: dict[str, NDArray[Any]] = {"label": tallies.label, "voxels": tallies.voxels}
    units = {extent: unit if ndim == 1 else f"{unit}{ndim}"}
    columns[extent] = tallies.voxels * float(np.prod(scale))
    for i, axis in enumerate(axes):
        columns[f"centroid_{axis}"] = origin[i] + middle[:, i] * scale[i]
        units[f"centroid_{axis}"] = unit
    for i, axis in enumerate(axes):
        columns[f"start_{axis}"], columns[f"stop_{axis}"] = tallies.start[:, i], tallies.stop[:, i]
    if tallies.total is not None:
        columns["mean"] = tallies.total / np.maximum(tallies.voxels, 1)
    return Table(columns, units, about)


@free
def larger_than(
    labels: ArrayLike, sizes: Table | Mapping[str, NDArray[Any]], *, least: float, column: str = "voxels"
) -> NDArray[Any]:
    """Labels without the objects that a table says are smaller than `least`; the others keep their numbers.

    Parameters
    ----------
    sizes
        A column ``label`` and one of sizes, as `table` makes them of the whole volume.
    column
        Which column is the size: ``voxels``, or ``volume`` where `least` is in its unit.

    Raises
    ------
    LayerError
        Labels that are no integers, or of which the table has no row.

    >>> larger_than(np.array([[4, 0, 9]]), {"label": np.array([4, 9]), "voxels": np.array([1, 8])}, least=2).tolist()
    [[0, 0, 9]]
    """
    array = np.asarray(labels)
    counted, first = dense(array)
    here = array.reshape(-1)[first]
    known, size = np.asarray(sizes["label"]), np.asarray(sizes[column])
    order = None if bool((known[1:] > known[:-1]).all()) else np.argsort(known, kind="stable")
    at = np.searchsorted(known, here, sorter=order)
    row = np.minimum(at, max(0, len(known) - 1)) if order is None else order[np.minimum(at, len(known) - 1)]
    if len(here) and (not len(known) or not np.array_equal(known[row], here)):
        absent = here if not len(known) else here[known[row] != here]
        raise LayerError(f"the table of sizes has no row for label {absent[0]}", rule="label-missing")
    kept = np.zeros(1 + len(here), array.dtype)
    if len(here):
        kept[1:] = np.where(size[row] >= least, here, 0)
    return remap(counted, kept)
