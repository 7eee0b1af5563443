"""Deal whole groups out to parts of wanted sizes."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

KINDS_MOST: Final = 400
ROUNDS_MOST: Final = 500


def balance(sizes: Reals, target: Reals, order: Indices) -> Indices:
    """A part for each group, such that the sums over each part come near their targets and no part is empty.

    The groups are dealt out twice, in the order given and largest first, each time to the part that lacks most for
    its size; then groups are moved and exchanged while that helps, and the better of the two is kept. So no
    move of one group and no exchange of two brings the first column nearer to its target in sum (where a part holds
    more than 400 differing groups: none among those tried).

    Parameters
    ----------
    sizes
        (groups, columns): what each group weighs; the first column counts before all others together.
    target
        (parts, columns): what each part should weigh, positive in the first column.
    order
        Of the groups, the order of dealing and the choice between equals.
    """
    largest = order[np.argsort(-sizes[order, 0], kind="stable")]
    worth = np.ones(sizes.shape[1])
    worth[0] = 2 * sizes.sum() + 1
    best: tuple[float, Indices] | None = None
    for turn in (order, largest):
        where = _mended(sizes, target, _dealt(sizes, target, turn), turn, worth)
        cost = float((np.abs(_sums(sizes, where, len(target)) - target) * worth).sum())
        if best is None or cost < best[0] - 1e-9:
            best = cost, where
    assert best is not None, "two orders were tried"
    return best[1]


def _sums(sizes: Reals, where: Indices, parts: int) -> Reals:
    sums = np.zeros((parts, sizes.shape[1]))
    np.add.at(sums, where, sizes)
    return sums


def _dealt(sizes: Reals, target: Reals, order: Indices) -> Indices:
    where = np.zeros(len(sizes), np.intp)
    sums = np.zeros_like(target)
    for group in order:
        lack = 1 - sums / np.maximum(target, 1e-9)
        # An empty part lacks everything, which is more than any other can: none stays empty.
        part = int((lack @ sizes[group]).argmax())
        where[group] = part
        sums[part] += sizes[group]
    return where


def _mended(sizes: Reals, target: Reals, where: Indices, order: Indices, worth: Reals) -> Indices:
    """Apply the best move or exchange until none helps; groups of the same weights are interchangeable."""
    where = where.copy()
    kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    pairs = [(p, q) for p in range(len(target)) for q in range(p + 1, len(target))]
    for _ in range(ROUNDS_MOST):
        sums = _sums(sizes, where, len(target))
        off = np.abs(sums - target) @ worth
        best = (-1e-6, -1, -1, -1, -1)
        for p, q in pairs:
            (gives, nothing_p), (takes, nothing_q) = (_on_offer(where, kind, order, part) for part in (p, q))
            a = np.vstack([kinds[kind[gives]], np.zeros(sizes.shape[1])])
            b = np.vstack([kinds[kind[takes]], np.zeros(sizes.shape[1])])
            shift = b[None] - a[:, None]
            cost = np.abs(sums[p] - target[p] + shift) @ worth + np.abs(sums[q] - target[q] - shift) @ worth
            cost = cost - off[p] - off[q]
            if not nothing_p:
                cost[:-1, -1] = np.inf
            if not nothing_q:
                cost[-1, :-1] = np.inf
            i, j = divmod(int(cost.argmin()), cost.shape[1])
            if cost[i, j] < best[0]:
                best = (float(cost[i, j]), p, q, gives[i] if i < len(gives) else -1, takes[j] if j < len(takes) else -1)
        _, p, q, given, taken = best
        if p < 0:
            break
        if given >= 0:
            where[given] = q
        if taken >= 0:
            where[taken] = p
    return where


def _on_offer(where: Indices, kind: Indices, order: Indices, part: int) -> tuple[list[int], bool]:
    """One group of each kind in a part, and whether the part can lose one and get none."""
    mine = order[where[order] == part]
    _, first = np.unique(kind[mine], return_index=True)
    return [int(g) for g in mine[np.sort(first)][:KINDS_MOST]], len(mine) > 1
