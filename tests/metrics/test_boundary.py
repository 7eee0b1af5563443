from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tests.metrics.cases import disks, merge, pairs, shift

from corpuscle.core import Image, Space
from corpuscle.metrics.boundary import REACHES, boundary, outline, outlines

Labels = NDArray[np.int64]
LABELS = arrays(np.int64, (8, 9), elements=st.sampled_from([0, 0, 1, 2, 3]))


@given(LABELS, LABELS)
@settings(max_examples=60, deadline=None)
def test_distances_are_those_measured_pair_by_pair(truth: Labels, guess: Labels) -> None:
    tally = outlines(truth, guess)
    t, g = np.argwhere(outline(truth)), np.argwhere(outline(guess))
    assert (tally.n_truth, tally.n_guess) == (len(t), len(g))
    far = np.sqrt(((t[:, None] - g[None]) ** 2).sum(-1))
    for i, d in enumerate(REACHES):
        assert tally.truth_near[i] == (far <= d).any(1).sum()
        assert tally.guess_near[i] == (far <= d).any(0).sum()


@given(LABELS, LABELS)
@settings(max_examples=40, deadline=None)
def test_turning_renumbering_and_swapping(truth: Labels, guess: Labels) -> None:
    here = outlines(truth, guess)
    assert outlines(truth.T[::-1], guess.T[::-1]) == here
    assert outlines(np.where(truth > 0, 9 - truth, 0), guess) == here
    assert outlines(guess, truth).truth_near == here.guess_near
    assert list(here.truth_near) == sorted(here.truth_near)


def test_a_labeling_agrees_with_itself() -> None:
    s = outlines(disks(1), disks(1)).scores()
    assert all(v == 1 for k, v in s.items() if k != "n_images")


def test_a_square_and_its_shift_by_hand() -> None:
    truth = np.zeros((30, 30), np.int64)
    truth[10:20, 10:20] = 1
    tally = outlines(truth, shift(truth, 0, 2))
    assert tally.n_truth == tally.n_guess == 36
    # Within 1: of each horizontal side all but the far corner, and of the side that lies inside, its two ends.
    assert tally.truth_near == (20, 36, 36)
    assert tally.scores()["boundary_f@1px"] == pytest.approx(20 / 36)
    assert tally.scores()["boundary_f@2px"] == 1


def test_a_merge_costs_recall_and_no_precision() -> None:
    truth = np.zeros((20, 40), np.int64)
    truth[5:15, 5:20], truth[5:15, 20:35] = 1, 2
    s = outlines(truth, merge(truth)).scores()
    assert s["boundary_precision@1px"] == 1
    # Two rows of the seam touch the outer outline, and one more on each side lies within 1 of it.
    assert s["boundary_recall@1px"] == pytest.approx((92 - 12) / 92)


def test_the_edge_of_the_image_is_no_outline() -> None:
    assert not outline(np.ones((5, 5), np.int64)).any()
    assert outline(np.array([[1, 1, 0]])).tolist() == [[False, True, False]]


def test_empties() -> None:
    nothing, some = np.zeros((5, 5), np.int64), np.eye(5, dtype=np.int64)
    assert math.isnan(outlines(nothing, nothing).scores()["boundary_f@1px"])
    for a, b in ((nothing, some), (some, nothing)):
        assert outlines(a, b).scores()["boundary_f@3px"] == 0
    assert math.isnan(outlines(some, nothing).scores()["boundary_precision@1px"])
    assert outlines(some, nothing).scores()["boundary_recall@1px"] == 0


def test_tallies_add_over_images() -> None:
    total = sum((outlines(t, g) for _, t, g in pairs()[2:5]), outlines(*pairs()[1][1:]))
    assert total.n_images == 4
    layer = [Image(np.stack([p[i] for p in pairs()[1:5]]), Space("tyx"), labels_of="dna") for i in (1, 2)]
    assert boundary(*layer) == total
