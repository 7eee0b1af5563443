"""Labels as numbers: counting them up, giving them others, which of two images meet, and what each is like."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpuscle.errors import LayerError
from corpuscle.kernels.compiled import compiled, inlined

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads neighbouring numbers (Knuth, vol. 3)
_1, _32 = np.uint64(1), np.uint64(32)
_STRETCH: Final = 1 << 10
"""How many voxels are looked at between two looks at whether there is still room for what they may bring."""


def dense(labels: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The same partition numbered 1..n, in the raster order of the first voxel of each label; 0 stays 0.

    Returns the labels, and the raster index of the first voxel of each. What label k was before is
    ``labels.flat[first[k - 1]]``.

    Raises
    ------
    LayerError
        Labels that are no integers.

    >>> dense([[0, 9, 9], [4, 9, 0]])
    (array([[0, 1, 1],
           [2, 1, 0]], dtype=int32), array([1, 3]))
    """
    flat, shape = _flat(labels)
    out = np.empty(len(flat), np.int32)
    top = int(flat.max(initial=0))
    seen = _Seen(flat.dtype)
    first = np.empty(len(seen.found), np.int64)
    at, n = 0, 0
    table = np.zeros(top + 1 if top <= len(flat) + (1 << 16) else 0, np.int32)
    while True:
        if len(table):
            at, n = _dense_by_table(flat, at, table, first, n, out)
        else:
            at, n = _dense_by_hash(flat, at, seen.slots, seen.found, first, n, out)
        if at == len(flat):
            return out.reshape(shape), first[:n].copy()
        if not len(table):
            seen.grow(n, _STRETCH)
        first = _room(first, 2 * len(first) if len(table) else len(seen.found))


def small(labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The labels, and the largest of them; numbered anew where they are so large or odd that no table could hold them.

    >>> small(np.array([0, 7])), small(np.array([0, 2**40]))
    ((array([0, 7]), 7), (array([0, 1], dtype=int32), 1))
    """
    if labels.dtype.kind == "b":
        labels = labels.view(np.uint8)
    most = int(labels.max(initial=0))
    if most <= 1024 + labels.size and (labels.dtype.kind == "u" or labels.min(initial=0) >= 0):
        return labels, most
    anew, first = dense(labels)
    return anew, len(first)


def remap(labels: ArrayLike, table: ArrayLike) -> NDArray[Any]:
    """``table[labels]``: each label replaced by what the table has in its place.

    Raises
    ------
    LayerError
        Labels that are no integers, that are negative, or for which the table has no place.

    >>> remap(np.array([[0, 2], [1, 2]]), np.array([0, 5, 7], np.uint8))
    array([[0, 7],
           [5, 7]], dtype=uint8)
    """
    flat, shape = _flat(labels)
    entries = np.ascontiguousarray(table)
    if entries.ndim != 1:
        raise LayerError(f"a table of labels has one axis, not {entries.ndim}", rule="remap-table")
    out = np.empty(len(flat), entries.dtype)
    bits = f"u{entries.dtype.itemsize}"
    if len(flat) and (not len(entries) or _remap(flat, entries.view(bits), out.view(bits))):
        raise LayerError(
            f"labels from {np.min(labels)} to {np.max(labels)} for a table of {len(entries)}", rule="remap-range"
        )
    return out.reshape(shape)


def pairs(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Which labels of two images lie on the same voxels, neither being 0, and on how many.

    Returns the pairs (n, 2), sorted, and the voxels of each. Memory grows with the pairs there are, not with labels.

    Raises
    ------
    LayerError
        Labels that are no integers, or images of different shape; negative labels where the others are ``uint64``.

    >>> met, voxels = pairs([[1, 1, 0, 2]], [[3, 3, 3, 1]])
    >>> met.tolist(), voxels.tolist()
    ([[1, 3], [2, 1]], [2, 1])
    """
    one, shape = _flat(a)
    two, other = _flat(b)
    if shape != other:
        raise LayerError(f"labels of shape {shape} against {other}", rule="shape-differs")
    wide = np.dtype(np.uint32 if max(one.itemsize, two.itemsize) <= 4 else np.uint64)
    one, two = one.astype(wide, copy=False), two.astype(wide, copy=False)
    seen = _Seen(wide)
    count = np.zeros(len(seen.found), np.int64)
    at, n = 0, 0
    while True:
        at, n = _pairs(one, two, at, seen.slots, seen.found, count, n)
        if at == len(one):
            break
        seen.grow(n, _STRETCH)
        count = _room(count, len(seen.found))
    found, count = seen.found[:n], count[:n]
    kind = np.uint64 if np.uint64 in (np.asarray(a).dtype, np.asarray(b).dtype) else np.int64
    ids = [_restored(found[:, k], x) for k, x in enumerate((a, b))]
    if kind is np.uint64 and any((i < 0).any() for i in ids):
        raise LayerError("negative labels against labels of 64 bits without a sign", rule="labels-negative")
    order = np.lexsort(ids[::-1])
    return np.stack([i.astype(kind) for i in ids], 1)[order], count[order]


class Tally(NamedTuple):
    """What `tally` counts, one row per label in the order of their numbers; all exact.

    Along the last axis of `start`, `stop` and `moment` stand the axes of the image.
    """

    label: NDArray[Any]
    voxels: NDArray[np.int64]
    start: NDArray[np.int64]
    """The half-open box around it, from here, inclusive,"""
    stop: NDArray[np.int64]
    """to here, exclusive."""
    moment: NDArray[np.int64]
    """The sum of its voxels' indices."""
    total: NDArray[np.int64] | None
    """The sum of its intensities, if any were given."""


def tally(labels: ArrayLike, values: ArrayLike | None = None) -> Tally:
    """Voxels, box, sum of indices and sum of intensities of each label; nothing is rounded.

    Parameters
    ----------
    labels
        Integers of 1 to 3 axes; 0 is nobody's.
    values
        Intensities of the same shape: integers below 2**32 in size.

    Raises
    ------
    LayerError
        Labels that are no integers or of other than 1 to 3 axes; intensities of another shape, of another type or too
        large to be summed without overflow.
    """
    numbered, first = dense(labels)
    shape = numbered.shape
    if not 1 <= len(shape) <= 3:
        raise LayerError(f"a tally of labels of {len(shape)} axes; there may be 1, 2 or 3", rule="tally-axes")
    deep = (1,) * (3 - len(shape)) + shape
    light = np.empty((0, 0, 0), np.uint8) if values is None else _summable(values, shape).reshape(deep)
    rows = np.zeros((len(first), 11), np.int64)
    rows[:, 1:4] = np.iinfo(np.int64).max
    _tally(numbered.reshape(deep), light, rows)
    label = np.asarray(labels).reshape(-1)[first]
    order = np.argsort(label, kind="stable")
    rows, pick = rows[order], slice(3 - len(shape), 3)
    return Tally(
        label[order],
        rows[:, 0].copy(),
        rows[:, 1:4][:, pick].copy(),
        rows[:, 4:7][:, pick].copy(),
        rows[:, 7:10][:, pick].copy(),
        None if values is None else rows[:, 10].copy(),
    )


class _Seen:
    """A hash table of pairs of labels, a single one being a pair of itself. Kernels fill it; it grows between them."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        self.found = np.empty((2 * _STRETCH, 2), kind)
        self.slots = np.zeros(4 * _STRETCH, np.int64)

    def grow(self, n: int, more: int) -> None:
        """Make room for twice the n that are held, and more."""
        size = len(self.found)
        while size < 2 * n + more:
            size *= 2
        self.found = _room(self.found, size)
        self.slots = np.zeros(2 * size, np.int64)
        _enter(self.slots, self.found, n)


def _room(array: NDArray[Any], size: int) -> NDArray[Any]:
    out = np.zeros((size, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def _flat(labels: ArrayLike) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Labels as one row of unsigned integers of the same size, which is all that telling them apart needs."""
    array = np.asarray(labels)
    if array.dtype.kind not in "biu":
        raise LayerError(f"labels are integers, not {array.dtype}", rule="labels-float")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).view(f"u{array.dtype.itemsize}").reshape(-1), array.shape


def _restored(found: NDArray[Any], labels: ArrayLike) -> NDArray[Any]:
    """Unsigned integers as what they were before `_flat`."""
    kind = np.asarray(labels).dtype.newbyteorder("=")
    return found.astype(f"u{kind.itemsize}").view(np.uint8 if kind.kind == "b" else kind)


def _summable(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != shape:
        raise LayerError(f"an image of shape {array.shape} for labels of {shape}", rule="shape-differs")
    if array.dtype.kind not in "biu":
        raise LayerError(
            f"a sum of {array.dtype} depends on its order", fix="round intensities to integers first", rule="tally-type"
        )
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    if array.dtype.itemsize == 8 and array.size and max(int(array.max()), -int(array.min())) >= 2**32:
        raise LayerError("intensities of 2**32 or more are too large to be summed", rule="tally-size")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))


@compiled
def _dense_by_table(
    flat: NDArray[Any], at: int, table: NDArray[np.int32], first: NDArray[np.int64], n: int, out: NDArray[np.int32]
) -> tuple[int, int]:
    """From a voxel on until all are done, or `first` may not hold what comes: how far it came, and labels found."""
    while at < len(flat) and n + _STRETCH <= len(first):
        end = min(len(flat), at + _STRETCH)
        for i in range(at, end):
            v = flat[i]
            number = table[v]
            if number == 0 and v != 0:
                first[n] = i
                n += 1
                number = n
                table[v] = n
            out[i] = number
        at = end
    return at, n


@compiled
def _dense_by_hash(
    flat: NDArray[Any],
    at: int,
    slots: NDArray[np.int64],
    found: NDArray[Any],
    first: NDArray[np.int64],
    n: int,
    out: NDArray[np.int32],
) -> tuple[int, int]:
    """The same where a table by label would be too long."""
    while at < len(flat) and n + _STRETCH <= len(first):
        end = min(len(flat), at + _STRETCH)
        last, number = flat[at], -1
        for i in range(at, end):
            v = flat[i]
            if v != last or number < 0:
                last, number = v, 0
                if v != 0:
                    slot = _slot(slots, found, v, v)
                    if slots[slot] == 0:
                        found[n, 0] = found[n, 1] = v
                        first[n] = i
                        n += 1
                        slots[slot] = n
                    number = slots[slot]
            out[i] = number
        at = end
    return at, n


@inlined
def _slot(slots: NDArray[np.int64], found: NDArray[Any], a: Any, b: Any) -> Any:
    """Which of a power of 2 of slots leads to a pair in `found`, or would: open addressing, one slot after another."""
    mask = np.uint64(len(slots) - 1)
    mixed = ((np.uint64(a) * _MIX) ^ np.uint64(b)) * _MIX
    slot = (mixed >> _32) & mask
    while slots[slot] != 0 and (found[slots[slot] - 1, 0] != a or found[slots[slot] - 1, 1] != b):
        slot = (slot + _1) & mask
    return slot


@compiled
def _enter(slots: NDArray[np.int64], found: NDArray[Any], n: int) -> None:
    """Enter the first n of `found` into empty slots."""
    for k in range(n):
        slots[_slot(slots, found, found[k, 0], found[k, 1])] = k + 1


@compiled
def _remap(flat: NDArray[Any], table: NDArray[Any], out: NDArray[Any]) -> Any:
    """Whether any label lay beyond the table."""
    n: Any = np.uint64(len(table))
    beyond: Any = False
    for i in range(len(flat)):
        v = np.uint64(flat[i])
        outside = v >= n
        beyond |= outside
        out[i] = table[np.uint64(0) if outside else v]
    return beyond


@compiled
def _pairs(
    a: NDArray[Any],
    b: NDArray[Any],
    at: int,
    slots: NDArray[np.int64],
    found: NDArray[Any],
    count: NDArray[np.int64],
    n: int,
) -> tuple[int, int]:
    while at < len(a) and n + _STRETCH <= len(found):
        end = min(len(a), at + _STRETCH)
        last_a, last_b, k = a[at], b[at], -1
        for i in range(at, end):
            va, vb = a[i], b[i]
            if va == 0 or vb == 0:
                continue
            if va != last_a or vb != last_b or k < 0:
                last_a, last_b = va, vb
                slot = _slot(slots, found, va, vb)
                if slots[slot] == 0:
                    found[n, 0], found[n, 1] = va, vb
                    n += 1
                    slots[slot] = n
                k = slots[slot] - 1
            count[k] += 1
        at = end
    return at, n


@compiled
def _tally(labels: NDArray[np.int32], values: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Per label voxels, start and stop, sum of indices, sum of values; a run at a time."""
    deep, tall, long = labels.shape
    for z in range(deep):
        for y in range(tall):
            x = 0
            while x < long:
                v = labels[z, y, x]
                begin = x
                x += 1
                while x < long and labels[z, y, x] == v:
                    x += 1
                if v == 0:
                    continue
                k = v - 1
                size = x - begin
                rows[k, 0] += size
                rows[k, 1] = min(rows[k, 1], z)
                rows[k, 2] = min(rows[k, 2], y)
                rows[k, 3] = min(rows[k, 3], begin)
                rows[k, 4] = z + 1
                rows[k, 5] = max(rows[k, 5], y + 1)
                rows[k, 6] = max(rows[k, 6], x)
                rows[k, 7] += z * size
                rows[k, 8] += y * size
                rows[k, 9] += (begin + x - 1) * size // 2
                if values.size:
                    total = np.int64(0)
                    for i in range(begin, x):
                        total += np.int64(values[z, y, i])
                    rows[k, 10] += total
