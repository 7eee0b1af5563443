"""Which objects of two label arrays share pixels, and how many: the one table all object scores come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.metrics.labels import check

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The sparse joint histogram of two labelings, background left out.

    Parameters
    ----------
    truth_area, guess_area
        Pixels of each object, in the order of the labels.
    truth, guess
        The indices of the two objects of each pair that shares a pixel.
    inter
        How many pixels each pair shares.

    It is never dense: half a million specks against two hundred nuclei cost a row per shared pair.
    """

    truth_area: Ints
    guess_area: Ints
    truth: Ints
    guess: Ints
    inter: Ints

    @property
    def union(self) -> Ints:
        """Pixels of each pair together."""
        return self.truth_area[self.truth] + self.guess_area[self.guess] - self.inter

    @property
    def identical(self) -> bool:
        """Whether both cut the image into the same objects, whatever these are called."""
        same = int(np.count_nonzero(self.inter == self.union))
        return len(self.truth_area) == len(self.guess_area) == same

    def assign(self) -> NDArray[np.bool_]:
        """Which pairs a one-to-one pairing of largest total IoU takes.

        Of several such pairings it takes one that shares the most pixels, so that the shared pixels
        never depend on how objects are numbered.
        """
        taken = np.zeros(len(self.inter), np.bool_)
        left = np.arange(len(taken))
        gain = self.inter / self.union + 1e-7 * self.inter / self.inter.max(initial=1)
        while len(left):
            t, g, w = self.truth[left], self.guess[left], gain[left]
            # A pair worth more than any two that could replace it is in every best pairing. On real
            # images this settles nearly all, and leaves the solver a few small knots. A chain that it would
            # unravel from its end, pair by pair, is for the solver too.
            sure = w > _rival(t, w) + _rival(g, w)
            if 100 * np.count_nonzero(sure) < len(left):
                taken[left] = _solve(t, g, w)
                break
            taken[left[sure]] = True
            gone = np.isin(t, t[sure], kind="table") | np.isin(g, g[sure], kind="table")
            left = left[~gone]
        return taken


def overlap(truth: NDArray[Any], guess: NDArray[Any]) -> Overlap:
    """Counts shared pixels of all pairs of objects of two label arrays of one shape.

    Labels may be of any integer type, in any order and with any gaps; background is 0. Raises
    LayerError for floats, booleans, negative labels and differing shapes.
    """
    check(truth, guess)
    t, t_area = _renumber(truth)
    g, g_area = _renumber(guess)
    wide = len(g_area) + 1
    both = np.flatnonzero((t != 0) & (g != 0))
    code = (t[both] - 1) * wide + (g[both] - 1)
    if len(t_area) * wide <= 4 * truth.size:
        table = np.bincount(code, minlength=1)
        found = np.flatnonzero(table)
        inter = table[found]
    else:
        found, inter = np.unique(code, return_counts=True)
    return Overlap(t_area, g_area, found // wide, found % wide, inter.astype(np.int64))


def _renumber(labels: NDArray[Any]) -> tuple[Ints, Ints]:
    """Labels as 0..n without gaps, flat, and the area of 1..n."""
    flat = labels.ravel()
    top = int(flat.max()) if flat.size else 0
    if top <= 4 * flat.size + 65536:
        small = flat.astype(np.int64)
        area = np.bincount(small, minlength=1)
        area[0] = 0
        present = area > 0
        number: Ints = np.cumsum(present, dtype=np.int64)[small]
        return number, area[present].astype(np.int64)
    inside = flat != 0
    _, order, area = np.unique(flat[inside], return_inverse=True, return_counts=True)
    out = np.zeros(flat.size, np.int64)
    out[inside] = order + 1
    return out, area.astype(np.int64)


def _rival(who: Ints, gain: Floats) -> Floats:
    """For each pair the largest gain of another pair of the same object; 0 where it has no other."""
    first = np.zeros(int(who.max()) + 1)
    np.maximum.at(first, who, gain)
    leads = gain == first[who]
    second = np.zeros(len(first))
    np.maximum.at(second, who[~leads], gain[~leads])
    ahead = leads & (np.bincount(who[leads])[who] == 1)
    return np.where(ahead, second[who], first[who])


def _solve(truth: Ints, guess: Ints, gain: Floats) -> NDArray[np.bool_]:
    """Which of these pairs a one-to-one pairing of largest total gain takes."""
    rows, t = np.unique(truth, return_inverse=True)
    cols, g = np.unique(guess, return_inverse=True)
    # A column of its own for each row, of gain 0, lets the row stay single. A stored 0 would be no edge,
    # so 1 is added to every gain, which moves no optimum: each row takes exactly one column.
    single = np.arange(len(rows))
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    weights = csr_array(
        (
            1 + np.concatenate([gain, np.zeros(len(rows))]),
            (np.concatenate([t, single]), np.concatenate([g, len(cols) + single])),
        ),
        shape=(len(rows), len(cols) + len(rows)),
    )
    r, c = min_weight_full_bipartite_matching(weights, maximize=True)
    partner = np.empty(len(rows), np.int64)
    partner[r] = c
    taken: NDArray[np.bool_] = partner[t] == g
    return taken
