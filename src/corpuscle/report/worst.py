"""The objects that a guess got wrong, sorted by how: what one looks at before one believes a score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box
from corpuscle.metrics.overlap import overlap

Kind: TypeAlias = Literal["missed", "split", "merged", "outline", "invented"]
KINDS: Final[dict[Kind, str]] = {
    "missed": "in the truth, with no partner of IoU above 0.1 in the guess",
    "split": "one object of the truth, with two partners or more",
    "merged": "one object of the guess, with two partners or more",
    "outline": "one partner, but the least overlap",
    "invented": "in the guess, with no partner of IoU above 0.1 in the truth",
}
PARTNER: Final = 10
"""A pair counts as partners from an IoU of 1/10 on, as splits and merges are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One object that went wrong: in the truth, or for what is merged and invented in the guess.

    `iou` is the best that it reaches, `partners` how many objects of the other side it shares, `area` is in pixels.
    """

    kind: Kind
    label: int
    iou: float
    area: int
    partners: int


def faults(truth: NDArray[Any], guess: NDArray[Any]) -> list[Fault]:
    """Everything that went wrong between two label arrays of one shape, the worst of each kind first.

    >>> [f.kind for f in faults(np.array([[1, 1, 0, 2]]), np.array([[0, 0, 0, 2]]))]
    ['missed']
    """
    table = overlap(truth, guess)
    t_labels, g_labels = _present(truth), _present(guess)
    iou = table.inter / table.union
    near = PARTNER * table.inter > table.union
    t_partners = np.bincount(table.truth[near], minlength=len(t_labels))
    g_partners = np.bincount(table.guess[near], minlength=len(g_labels))
    t_best, g_best = _best(table.truth, iou, len(t_labels)), _best(table.guess, iou, len(g_labels))
    in_merge = np.zeros(len(t_labels), np.bool_)
    in_merge[table.truth[near & (g_partners[table.guess] > 1)]] = True
    plain = (t_partners == 1) & ~in_merge & (t_best < 1)

    def of_truth(kind: Kind, chosen: NDArray[np.bool_]) -> Iterator[Fault]:
        for i in np.flatnonzero(chosen).tolist():
            yield Fault(kind, t_labels[i], float(t_best[i]), int(table.truth_area[i]), int(t_partners[i]))

    def of_guess(kind: Kind, chosen: NDArray[np.bool_]) -> Iterator[Fault]:
        for i in np.flatnonzero(chosen).tolist():
            yield Fault(kind, g_labels[i], float(g_best[i]), int(table.guess_area[i]), int(g_partners[i]))

    return [
        *_sorted(of_truth("missed", t_partners == 0)),
        *_sorted(of_truth("split", t_partners > 1)),
        *_sorted(of_guess("merged", g_partners > 1)),
        *_sorted(of_truth("outline", plain)),
        *_sorted(of_guess("invented", g_partners == 0)),
    ]


def box_of(labels: NDArray[Any], label: int, *, margin: int, least: int, most: int) -> Box:
    """A square around the object, of `least` to `most` pixels a side, moved into the array where it would stick out."""
    places = np.nonzero(labels == label)
    extent = max(int(at.max()) - int(at.min()) + 1 for at in places)
    side = min(most, max(least, extent + 2 * margin))
    start, stop = [], []
    for at, full in zip(places, labels.shape, strict=True):
        middle = (int(at.min()) + int(at.max()) + 1) // 2
        first = max(0, min(middle - side // 2, full - side))
        start.append(first)
        stop.append(min(full, first + side))
    return Box(tuple(start), tuple(stop))


def _present(labels: NDArray[Any]) -> list[int]:
    found: list[int] = np.unique(labels[labels != 0]).tolist()
    return found


def _best(who: NDArray[np.int64], iou: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    best = np.zeros(n)
    np.maximum.at(best, who, iou)
    return best


def _sorted(found: Iterable[Fault]) -> list[Fault]:
    """The worst first: what is missed or invented by size, all else by overlap."""
    return sorted(found, key=lambda f: (-f.area if f.kind in ("missed", "invented") else f.iou, f.label))
