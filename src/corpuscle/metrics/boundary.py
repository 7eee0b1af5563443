"""How well the outlines of two labelings agree, within a few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Layer
from corpuscle.metrics.labels import check, pairs
from corpuscle.metrics.tally import Conventions, Counts, metric, named, plus, ratio, vector

REACHES = (1, 2, 3)
CONVENTIONS: Conventions = {
    "outline": "foreground pixels with a face neighbour of another label or none; the image edge is no outline",
    "reaches_px": REACHES,
    "distance": "Euclidean, between pixel centres, in pixels along every axis",
    "undefined": "nan where neither has an outline; 0 where one of them has none",
}


@dataclass(frozen=True, slots=True)
class BoundaryTally:
    """Outline pixels of truth and guess, and how many lie within 1, 2 and 3 pixels of the other's."""

    n_images: int = 0
    n_truth: int = 0
    n_guess: int = 0
    truth_near: tuple[int, ...] = (0,) * len(REACHES)
    guess_near: tuple[int, ...] = (0,) * len(REACHES)

    def __add__(self, other: BoundaryTally) -> BoundaryTally:
        return plus(self, other)

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
        c = named(BoundaryTally(), counts)
        n_truth, n_guess = c["n_truth"], c["n_guess"]
        out: dict[str, Counts] = {}
        for i, reach in enumerate(REACHES):
            precision = ratio(c["guess_near"][..., i], n_guess)
            recall = ratio(c["truth_near"][..., i], n_truth)
            p, r = np.nan_to_num(precision), np.nan_to_num(recall)
            f = np.where(p + r > 0, 2 * p * r / np.where(p + r > 0, p + r, 1), 0)
            out[f"boundary_f@{reach}px"] = np.where(n_truth + n_guess > 0, f, np.nan)
            out[f"boundary_precision@{reach}px"] = precision
            out[f"boundary_recall@{reach}px"] = recall
        return out | {"n_images": c["n_images"]}


@metric("boundary", version=1, conventions=CONVENTIONS)
def boundary(truth: Layer, guess: Layer) -> BoundaryTally:
    """Compares the outlines of two label layers on one grid.

    Precision is the share of the guess's outline within d pixels of the truth's outline, recall the reverse,
    F their harmonic mean (Martin 2004), for d of 1, 2 and 3. Outlines between touching objects count, so a
    merge costs recall. Cellpose's boundary_scores dilates outlines instead and gives other numbers.

    Raises LayerError where either is no label image, or the two do not lie on one grid.
    """
    total = BoundaryTally()
    for t, g in pairs(truth, guess):
        total += outlines(t, g)
    return total


def outlines(truth: NDArray[Any], guess: NDArray[Any]) -> BoundaryTally:
    """The same of two label arrays of one shape and any integer type, background 0."""
    check(truth, guess)
    t, g = outline(truth), outline(guess)
    return BoundaryTally(
        n_images=1,
        n_truth=int(np.count_nonzero(t)),
        n_guess=int(np.count_nonzero(g)),
        truth_near=_near(t, g),
        guess_near=_near(g, t),
    )


def outline(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """The outermost pixels of every object.

    >>> outline(np.array([[0, 1, 1, 1, 2]])).astype(int)
    array([[0, 1, 0, 1, 1]])
    """
    edge = np.zeros(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        here = (slice(None),) * axis + (slice(None, -1),)
        next_ = (slice(None),) * axis + (slice(1, None),)
        differs = labels[here] != labels[next_]
        edge[here] |= differs
        edge[next_] |= differs
    edge &= labels != 0
    return edge


def _near(edge: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, ...]:
    if not other.any() or not edge.any():
        return (0,) * len(REACHES)
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(~other)[edge]
    return tuple(int(np.count_nonzero(far <= reach)) for reach in REACHES)
