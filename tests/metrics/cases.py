"""Twenty pairs of labelings, the same on every machine and for every version of numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
SIDE = 72


class Draws:
    """Whole numbers from raw PCG64 words, whose stream numpy promises never to change."""

    def __init__(self, seed: int) -> None:
        self.words = np.random.PCG64(seed)

    def below(self, n: int) -> int:
        return int(self.words.random_raw()) % n


def disks(seed: int, n: int = 12, *, gap: bool = True) -> Labels:
    """Round objects, some touching, numbered with gaps and out of order."""
    draws = Draws(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    out = np.zeros((SIDE, SIDE), np.int64)
    for k in range(1, n + 1):
        cy, cx, r = draws.below(SIDE), draws.below(SIDE), 2 + draws.below(7)
        label = ((k * 37) % 101) * (3 if gap else 1) + 1
        out[((y - cy) ** 2 + (x - cx) ** 2 <= r * r) & (out == 0)] = label
    return out


def mosaic(seed: int, n: int) -> Labels:
    """Every pixel to its nearest seed: no background at all."""
    draws = Draws(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    seeds = [(draws.below(SIDE), draws.below(SIDE)) for _ in range(n)]
    far = np.stack([(y - a) ** 2 + (x - b) ** 2 for a, b in seeds])
    nearest: Labels = far.argmin(0) + 1
    return nearest


def shift(labels: Labels, dy: int, dx: int) -> Labels:
    out = np.zeros_like(labels)
    h, w = labels.shape
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = labels[
        max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
    ]
    return out


def grow(labels: Labels) -> Labels:
    """One pixel more on the four sides, where there is background."""
    out = labels.copy()
    for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        moved = shift(labels, dy, dx)
        out[(out == 0) & (moved > 0)] = moved[(out == 0) & (moved > 0)]
    return out


def shrink(labels: Labels) -> Labels:
    out = labels.copy()
    for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        out[shift(labels, dy, dx) != labels] = 0
    return out


def merge(labels: Labels, every: int = 2) -> Labels:
    out = labels.copy()
    names = np.unique(labels[labels > 0])
    for a, b in zip(names[::every], names[1::every], strict=False):
        out[labels == b] = a
    return out


def split(labels: Labels) -> Labels:
    out = labels.copy()
    out[:, ::2][labels[:, ::2] > 0] += 100_000
    cut = np.arange(SIDE) // 6 % 2 == 0
    return np.where(cut[:, None], labels, np.where(out > 0, labels + 7777 * (labels > 0), 0))


def drop(labels: Labels, seed: int) -> Labels:
    draws = Draws(seed)
    return np.where(np.isin(labels, [k for k in np.unique(labels) if draws.below(3) == 0]), 0, labels)


def salt(seed: int) -> Labels:
    draws = Draws(seed)
    out = np.zeros((SIDE, SIDE), np.int64)
    for k in range(300):
        out[draws.below(SIDE), draws.below(SIDE)] = k + 1
    return out


def ties(seed: int) -> tuple[Labels, Labels]:
    """Bars with IoU of exactly k/20 for every threshold, and halves on both sides."""
    truth, guess = np.zeros((SIDE, SIDE), np.int64), np.zeros((SIDE, SIDE), np.int64)
    for i, k in enumerate(range(10, 20)):
        truth[2 * i, :20] = 2 * i + 3
        guess[2 * i, :k] = 50 - i
    truth[30, :10] = 90
    guess[30, :5], guess[30, 5:10] = 91, 92
    truth[40, :5], truth[40, 5:10] = 93, 94
    guess[40, :10] = 95 + Draws(seed).below(3)
    return truth, guess


def pairs() -> list[tuple[str, Labels, Labels]]:
    nothing = np.zeros((SIDE, SIDE), np.int64)
    t = [disks(seed) for seed in range(20)]
    tied = ties(1)
    return [
        ("self, renumbered", t[0], np.where(t[0] > 0, 5000 - t[0], 0)),
        ("grown", t[1], grow(t[1])),
        ("shrunk", t[2], shrink(t[2])),
        ("shifted by one", t[3], shift(t[3], 1, 1)),
        ("shifted by two", t[4], shift(t[4], 0, -2)),
        ("merged", t[5], merge(t[5])),
        ("split", t[6], split(t[6])),
        ("dropped", t[7], drop(t[7], 7)),
        ("invented", drop(t[8], 8), t[8]),
        ("ties", *tied),
        ("ties, turned", tied[1], tied[0]),
        ("truth empty", nothing, t[9]),
        ("guess empty", t[10], nothing),
        ("both empty", nothing, nothing),
        ("no background", mosaic(11, 15), mosaic(12, 17)),
        ("mosaic over disks", disks(13, 30), mosaic(13, 20)),
        ("salt", t[14], salt(14)),
        ("one giant object", t[15], nothing + 9),
        ("large labels", t[16] * 2**33, grow(t[16]) * 2**31),
        ("everything at once", disks(17, 40), shift(merge(drop(grow(disks(17, 40)), 17), 5), 1, 0)),
    ]
