from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from corpuscle.core import Image, Space
from corpuscle.errors import LayerError
from corpuscle.metrics.pixels import PixelTally, foregrounds, pixels

Mask = NDArray[np.bool_]
MASKS = arrays(np.bool_, (5, 6))


@given(MASKS, MASKS, MASKS, MASKS)
@settings(max_examples=60, deadline=None)
def test_images_laid_side_by_side_are_tallies_added(a: Mask, b: Mask, c: Mask, d: Mask) -> None:
    both = foregrounds(np.hstack([a, c]), np.hstack([b, d]))
    added = foregrounds(a, b) + foregrounds(c, d)
    assert (both.tp, both.fp, both.fn, both.tn) == (added.tp, added.fp, added.fn, added.tn)


@given(MASKS, MASKS, st.sampled_from([np.transpose, np.flipud, np.rot90]))
@settings(max_examples=60, deadline=None)
def test_turning_changes_nothing_and_swapping_swaps(truth: Mask, guess: Mask, turn: object) -> None:
    assert callable(turn)
    here = foregrounds(truth, guess)
    assert foregrounds(turn(truth), turn(guess)) == here
    there = foregrounds(guess, truth).scores()
    s = here.scores()
    assert s["pixel_precision"] == pytest.approx(there["pixel_recall"], nan_ok=True)
    assert s["pixel_iou"] == pytest.approx(there["pixel_iou"], nan_ok=True)
    if not math.isnan(s["pixel_iou"]):
        assert s["pixel_dice"] == pytest.approx(2 * s["pixel_iou"] / (1 + s["pixel_iou"]))


def test_a_case_by_hand() -> None:
    truth = np.array([[1, 1, 1, 0, 0, 0, 0, 0]], np.bool_)
    guess = np.array([[0, 1, 1, 1, 1, 0, 0, 0]], np.bool_)
    tally = foregrounds(truth, guess)
    assert (tally.tp, tally.fp, tally.fn, tally.tn) == (2, 2, 1, 3)
    s = tally.scores()
    assert s["pixel_iou"] == pytest.approx(2 / 5)
    assert s["pixel_dice"] == pytest.approx(4 / 7)
    assert s["pixel_accuracy"] == pytest.approx(5 / 8)
    assert s["pixel_precision"] == pytest.approx(2 / 4)
    assert s["pixel_recall"] == pytest.approx(2 / 3)


def test_predicting_nothing_is_nearly_accurate_and_otherwise_worthless() -> None:
    truth = np.zeros((10, 10), np.bool_)
    truth[0, :4] = True
    s = foregrounds(truth, np.zeros_like(truth)).scores()
    assert s["pixel_accuracy"] == 0.96
    assert s["pixel_iou"] == s["pixel_dice"] == s["pixel_recall"] == 0
    assert math.isnan(s["pixel_precision"])


def test_both_empty_is_undefined_counted_and_accurate() -> None:
    nothing = np.zeros((3, 3), np.bool_)
    s = foregrounds(nothing, nothing).scores()
    assert all(math.isnan(s[f"pixel_{k}"]) for k in ("iou", "dice", "precision", "recall"))
    assert s["pixel_accuracy"] == s["empty_correct"] == s["n_empty"] == 1
    assert foregrounds(nothing, ~nothing).scores()["empty_correct"] == 0


def test_a_merge_goes_unseen() -> None:
    truth = np.array([[1, 1, 2, 2]])
    layers = [Image(a, Space("yx"), labels_of="dna") for a in (truth, np.minimum(truth, 1))]
    assert pixels(*layers) == PixelTally(n_images=1, tp=4)


@pytest.mark.parametrize(
    ("truth", "guess"), [(np.ones(3, np.bool_), np.ones(4, np.bool_)), (np.ones(3, np.bool_), np.ones(3))]
)
def test_what_are_not_two_masks_of_one_shape(truth: Mask, guess: Mask) -> None:
    with pytest.raises(LayerError, match="two masks of one shape"):
        foregrounds(truth, guess)
