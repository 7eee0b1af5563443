"""How well two foregrounds agree, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Layer
from corpuscle.errors import LayerError
from corpuscle.metrics.labels import check, pairs
from corpuscle.metrics.tally import Conventions, Counts, metric, named, plus, ratio, vector

CONVENTIONS: Conventions = {
    "foreground": "label > 0",
    "undefined": "nan, left out of macro means and counted",
    "both_empty": "nan, counted in n_empty and empty_correct; accuracy is defined",
}


@dataclass(frozen=True, slots=True)
class PixelTally:
    """Foreground pixels found, missed and invented, and background left alone."""

    n_images: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    n_empty: int = 0
    n_empty_correct: int = 0

    def __add__(self, other: PixelTally) -> PixelTally:
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
        c = named(PixelTally(), counts)
        tp, fp, fn, tn = c["tp"], c["fp"], c["fn"], c["tn"]
        return {
            "pixel_iou": ratio(tp, tp + fp + fn),
            "pixel_dice": ratio(2 * tp, 2 * tp + fp + fn),
            "pixel_accuracy": ratio(tp + tn, tp + fp + fn + tn),
            "pixel_precision": ratio(tp, tp + fp),
            "pixel_recall": ratio(tp, tp + fn),
            "empty_correct": ratio(c["n_empty_correct"], c["n_empty"]),
            "n_images": c["n_images"],
            "n_empty": c["n_empty"],
        }


@metric("pixels", version=1, conventions=CONVENTIONS)
def pixels(truth: Layer, guess: Layer) -> PixelTally:
    """Compares the foregrounds of two label layers on one grid, whatever their objects.

    IoU (Jaccard 1912), Dice 1945, which is the F1 of pixels and the Dice1 of nuclei papers, precision,
    recall, and accuracy, which is near 1 for an empty guess wherever nuclei are sparse. None of them sees
    a merge: two touching nuclei as one object score 1.

    Raises LayerError where either is no label image, or the two do not lie on one grid.
    """
    total = PixelTally()
    for t, g in pairs(truth, guess):
        check(t, g)
        total += foregrounds(t > 0, g > 0)
    return total


def foregrounds(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> PixelTally:
    """The same of two masks of one shape; raises LayerError for anything else.

    >>> foregrounds(np.array([True, True, False, False]), np.array([True, False, True, False])).scores()["pixel_iou"]
    0.3333333333333333
    """
    if truth.dtype.kind != "b" or guess.dtype.kind != "b" or truth.shape != guess.shape:
        given: tuple[Any, ...] = (truth.dtype, truth.shape, guess.dtype, guess.shape)
        raise LayerError("foregrounds are two masks of one shape, not {} {} and {} {}".format(*given), rule="masks")
    tp = int(np.count_nonzero(truth & guess))
    n_truth, n_guess = int(np.count_nonzero(truth)), int(np.count_nonzero(guess))
    return PixelTally(
        n_images=1,
        tp=tp,
        fp=n_guess - tp,
        fn=n_truth - tp,
        tn=truth.size - n_truth - n_guess + tp,
        n_empty=int(n_truth == 0),
        n_empty_correct=int(n_truth == 0 and n_guess == 0),
    )
