"""How well two labelings agree, object by object.

Each score is defined in the paper named beside it; where the usual implementations part ways, `instances` says
which way it goes, and `CONVENTIONS` holds the same as data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Layer
from corpuscle.metrics.labels import pairs
from corpuscle.metrics.overlap import Ints, Overlap, overlap
from corpuscle.metrics.tally import Conventions, Counts, metric, named, plus, ratio, vector

TWENTIETHS = tuple(range(10, 20))
THRESHOLDS = tuple(round(k * 0.05, 2) for k in TWENTIETHS)
SIZES = (25, 100, 1000, 2100)
"""Edges of the size classes in pixels of the truth, lower edge included (Aitslab's)."""
SIZE_NAMES = ("<25px", "25-100px", "100-1000px", "1000-2100px", ">=2100px")
ONE = 2**32
"""IoU sums are whole numbers of 1/ONE, so that adding is exact and no order of records changes a bit."""

CONVENTIONS: Conventions = {
    "match": "IoU >= T, > T where strict; one to one, as many as possible",
    "thresholds": THRESHOLDS,
    "comparison": "exact, in whole pixels",
    "undefined": "nan, left out of macro means and counted",
    "both_empty": "nan, counted in n_empty and empty_correct",
    "split_merge": "more than one partner of IoU > 0.1",
    "seg": "shared pixels > half the truth object; mean over truth objects",
    "aji": "best partner by IoU, reuse allowed; ties by shared pixels, then their mean",
    "sizes_px": SIZES,
    "filter": "none",
    "border": "objects at the edge count like any other",
}

_TEN = (0,) * len(TWENTIETHS)
_FIVE = (0,) * len(SIZE_NAMES)


@dataclass(frozen=True, slots=True)
class InstanceTally:
    """Objects found, missed and invented, and how well their outlines agree; all of it adds up.

    Parameters
    ----------
    tp
        Matched pairs at each of `THRESHOLDS`.
    iou
        Their summed IoU, in 1/ONE; so are the AJI unions, `seg` (summed over truth objects) and `best`
        (the best IoU of each guess, summed).
    sized, found
        Truth objects in each size class, and how many are matched at 0.5.
    n_empty, n_empty_correct
        Images without truth objects, and those where the guess has none either.
    n_identical
        Images with objects in which truth and guess are the same to the pixel: no method does that.
    """

    n_images: int = 0
    n_truth: int = 0
    n_guess: int = 0
    tp: tuple[int, ...] = _TEN
    iou: tuple[int, ...] = _TEN
    aji_inter: int = 0
    aji_union: int = 0
    aji_plus_inter: int = 0
    aji_plus_union: int = 0
    seg: int = 0
    best: int = 0
    splits: int = 0
    merges: int = 0
    sized: tuple[int, ...] = _FIVE
    found: tuple[int, ...] = _FIVE
    n_empty: int = 0
    n_empty_correct: int = 0
    n_identical: int = 0

    def __add__(self, other: InstanceTally) -> InstanceTally:
        return plus(self, other)

    @property
    def fp(self) -> tuple[int, ...]:
        """Guesses without a match, at each threshold anew: never those of 0.5 for all."""
        return tuple(self.n_guess - n for n in self.tp)

    @property
    def fn(self) -> tuple[int, ...]:
        """Truth objects without a match, at each threshold."""
        return tuple(self.n_truth - n for n in self.tp)

    @property
    def counts(self) -> Counts:
        """The fields as one vector."""
        return vector(self)

    def scores(self) -> dict[str, float]:
        """Every score by name, nan where it is not defined."""
        return {name: float(value) for name, value in self.rates(self.counts).items()}

    @staticmethod
    def rates(counts: Counts) -> dict[str, Counts]:
        """The scores of summed counts (..., k)."""
        c = named(InstanceTally(), counts)
        n_truth, n_guess, tp = c["n_truth"], c["n_guess"], c["tp"]
        t, g = n_truth[..., None], n_guess[..., None]
        f1 = ratio(2 * tp, t + g)
        ap = ratio(tp, t + g - tp)
        out = {"mean_f1": f1.mean(-1), "mean_f1@.50:.75": f1[..., :6].mean(-1), "dsb_map": ap.mean(-1)}
        out |= _each("f1", f1) | _each("precision", ratio(tp, g)) | _each("recall", ratio(tp, t)) | _each("dsb_ap", ap)
        iou = c["iou"][..., 0] / ONE
        out["pq"] = ratio(2 * iou, n_truth + n_guess)
        out["sq"] = ratio(iou, tp[..., 0])
        out["dq"] = f1[..., 0]
        out["aji"] = ratio(c["aji_inter"], c["aji_union"] / ONE)
        out["aji_plus"] = ratio(c["aji_plus_inter"], c["aji_plus_union"])
        out["seg"] = ratio(c["seg"] / ONE, n_truth)
        out["jaccard"] = ratio(c["best"] / ONE, n_guess)
        sizes = ratio(c["found"], c["sized"])
        out |= {f"recall@.50[{name}]": sizes[..., i] for i, name in enumerate(SIZE_NAMES)}
        out["count_bias"] = ratio(n_guess - n_truth, n_truth)
        out["empty_correct"] = ratio(c["n_empty_correct"], c["n_empty"])
        whole = ("splits", "merges", "n_truth", "n_guess", "n_images", "n_empty", "n_identical")
        return out | {name: c[name] for name in whole}


@metric("instances", version=1, conventions=CONVENTIONS)
def instances(truth: Layer, guess: Layer, *, strict: bool = False) -> InstanceTally:
    """Compares the objects of two label layers on one grid.

    Parameters
    ----------
    truth, guess
        Label images of one shape. Axes other than z, y and x are taken index by index.
    strict
        Match at IoU > T rather than IoU >= T. A pair of IoU exactly T occurs on real images: StarDist and
        Cellpose count it, the DSB2018 scorer, Caicedo 2019 and HoVer-Net do not.

    The scores: F1, precision and recall at ten thresholds; `dsb_ap`, TP/(TP+FP+FN), which DSB2018, StarDist
    and Cellpose call (average) precision or accuracy; PQ = SQ x DQ (Kirillov 2019), at 0.5; AJI (Kumar 2017)
    and AJI+ (Graham 2019); SEG (Cell Tracking Challenge); `jaccard`, splits and merges (Caicedo 2019).

    Raises LayerError where either is no label image, or the two do not lie on one grid.
    """
    total = InstanceTally()
    for t, g in pairs(truth, guess):
        total += compare(t, g, strict=strict)
    return total


def compare(truth: NDArray[Any], guess: NDArray[Any], *, strict: bool = False) -> InstanceTally:
    """The same of two label arrays of one shape and any integer type, background 0.

    >>> t = np.array([[1, 1, 0, 7]])
    >>> compare(t, np.array([[3, 3, 3, 0]])).tp
    (1, 1, 1, 1, 0, 0, 0, 0, 0, 0)
    """
    table = overlap(truth, guess)
    inter, union = table.inter, table.union
    n_truth, n_guess = len(table.truth_area), len(table.guess_area)
    iou = np.rint(inter / union * ONE).astype(np.int64)
    tp, sums = [], []
    for k in TWENTIETHS:
        hit = 20 * inter > k * union if strict else 20 * inter >= k * union
        # Two partners of one object both reach 0.5 only where they are its two halves, each of IoU exactly
        # 0.5, overlapping nothing else. Such objects and their halves lie apart from one another, so the
        # largest matching takes one half each, and it does not matter which.
        twice = _repeats(table.truth[hit]) + _repeats(table.guess[hit])
        tp.append(int(np.count_nonzero(hit)) - twice)
        sums.append(int(iou[hit].sum()) - twice * (ONE // 2))
    half = 2 * inter > union if strict else 2 * inter >= union
    size = np.searchsorted(SIZES, table.truth_area, side="right")
    matched = np.zeros(n_truth, np.bool_)
    matched[_once(table.truth, table.guess, half)] = True
    touching = 10 * inter > union
    best = np.zeros(n_guess, np.int64)
    np.maximum.at(best, table.guess, iou)
    covered = 2 * inter > table.truth_area[table.truth]
    taken = table.assign()
    area = int(table.truth_area.sum() + table.guess_area.sum())
    shared = int(inter[taken].sum())
    aji_inter, aji_union = _aji(table)
    return InstanceTally(
        n_images=1,
        n_truth=n_truth,
        n_guess=n_guess,
        tp=tuple(tp),
        iou=tuple(sums),
        aji_inter=aji_inter,
        aji_union=aji_union,
        aji_plus_inter=shared,
        aji_plus_union=area - shared,
        seg=int(iou[covered].sum()),
        best=int(best.sum()),
        splits=_crowded(table.truth[touching]),
        merges=_crowded(table.guess[touching]),
        sized=_per_size(size),
        found=_per_size(size[matched]),
        n_empty=int(n_truth == 0),
        n_empty_correct=int(n_truth == 0 and n_guess == 0),
        n_identical=int(n_truth > 0 and table.identical),
    )


def _each(name: str, values: Counts) -> dict[str, Counts]:
    return {f"{name}@.{round(100 * t)}": values[..., i] for i, t in enumerate(THRESHOLDS)}


def _repeats(who: Ints) -> int:
    return len(who) - int(np.count_nonzero(np.bincount(who)))


def _crowded(who: Ints) -> int:
    return int(np.count_nonzero(np.bincount(who, minlength=1) > 1))


def _per_size(size: Ints) -> tuple[int, ...]:
    return tuple(int(n) for n in np.bincount(size, minlength=len(SIZE_NAMES)))


def _once(truth: Ints, guess: Ints, hit: NDArray[np.bool_]) -> Ints:
    """The truth objects of the matching: where a guess matches two, they are of one size and one is taken."""
    first = np.unique(guess[hit], return_index=True)[1]
    return truth[hit][first]


def _aji(table: Overlap) -> tuple[int, int]:
    """Numerator, and denominator in 1/ONE, of the aggregated Jaccard index (Kumar 2017, algorithm 1).

    Each truth object takes the guess of largest IoU, and of those the one that shares most pixels; guesses
    that nobody takes are added to the union whole. Where several are still level, implementations take the
    first by number, so that their AJI changes when labels are permuted. Here the choice is averaged: a guess
    stays untaken with the chance that a fair draw would leave it so.
    """
    iou = table.inter / table.union
    top = np.zeros(len(table.truth_area))
    np.maximum.at(top, table.truth, iou)
    level = iou == top[table.truth]
    most = np.zeros(len(table.truth_area), np.int64)
    np.maximum.at(most, table.truth[level], table.inter[level])
    level &= table.inter == most[table.truth]
    truth, guess = table.truth[level], table.guess[level]
    rivals = np.bincount(truth, minlength=len(table.truth_area))
    # Level pairs of one truth object share and span equally much, so any of them stands for all.
    lone = np.unique(truth, return_index=True)[1]
    spans = np.flatnonzero(level)[lone]
    alone = int(table.truth_area[rivals == 0].sum())
    untaken = np.ones(len(table.guess_area))
    # In the order of the factors, so that the product does not depend on how objects are numbered.
    order = np.argsort(rivals[truth], kind="stable")
    np.multiply.at(untaken, guess[order], 1 - 1 / rivals[truth[order]])
    invented = int(table.guess_area[untaken == 1].sum())
    level_area = np.rint(untaken * table.guess_area * ONE)[untaken < 1]
    whole = int(table.union[spans].sum()) + alone + invented
    return int(table.inter[spans].sum()), whole * ONE + sum(level_area.astype(np.int64).tolist())
