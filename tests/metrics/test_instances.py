"""Laws, named cases with numbers worked out by hand, exploits, and parity with those who came before."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tests.metrics.cases import disks, shift

from corpuscle.metrics.instances import SIZE_NAMES, THRESHOLDS, InstanceTally, compare

Labels = NDArray[np.int64]
WHOLE = {"splits", "merges", "n_truth", "n_guess", "n_images", "n_empty", "n_identical"}
ABSENT = {f"recall@.50[{name}]" for name in SIZE_NAMES} | {"empty_correct"}
SHAPE = (9, 9)


def labelings() -> st.SearchStrategy[Labels]:
    return arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 3, 4, 200]))


def squares(n: int, side: int = 10, gap: int = 10) -> Labels:
    """A row of squares, far apart, numbered 1 to n."""
    out = np.zeros((side + 2 * gap, n * (side + gap) + gap), np.int64)
    for k in range(n):
        at = gap + k * (side + gap)
        out[gap : gap + side, at : at + side] = k + 1
    return out


# Laws.


@given(labelings(), labelings(), st.permutations([1, 2, 3, 4, 200]))
@settings(max_examples=80, deadline=None)
def test_renumbering_changes_nothing(truth: Labels, guess: Labels, order: list[int]) -> None:
    table = np.arange(201)
    table[[1, 2, 3, 4, 200]] = order
    assert compare(table[truth], guess) == compare(truth, guess)
    assert compare(truth, table[guess]) == compare(truth, guess)


@given(labelings(), labelings())
@settings(max_examples=60, deadline=None)
def test_turning_and_mirroring_change_nothing(truth: Labels, guess: Labels) -> None:
    here = compare(truth, guess)
    for turn in (np.transpose, np.flipud, np.fliplr, np.rot90):
        assert compare(turn(truth), turn(guess)) == here


@given(labelings())
@settings(max_examples=40, deadline=None)
def test_a_labeling_agrees_with_itself(truth: Labels) -> None:
    assume(truth.any())
    tally = compare(truth, truth)
    for name, value in tally.scores().items():
        if name in WHOLE or name in ABSENT:
            continue
        assert value == (0 if name == "count_bias" else 1), name
    assert tally.n_identical == 1
    assert tally.splits == tally.merges == 0


@given(st.lists(st.tuples(labelings(), labelings()), min_size=3, max_size=3), st.permutations([0, 1, 2]))
@settings(max_examples=40, deadline=None)
def test_adding_is_exact_in_any_order(images: list[tuple[Labels, Labels]], order: list[int]) -> None:
    a, b, c = (compare(*images[i]) for i in order)
    x, y, z = (compare(*both) for both in images)
    assert (a + b) + c == x + (y + z)
    assert np.array_equal((a + b + c).counts, a.counts + b.counts + c.counts)


@given(labelings(), labelings())
@settings(max_examples=100, deadline=None)
def test_scores_stay_in_range_and_obey_their_relations(truth: Labels, guess: Labels) -> None:
    tally = compare(truth, guess)
    s = tally.scores()
    for name, value in s.items():
        if name not in WHOLE and name != "count_bias":
            assert math.isnan(value) or 0 <= value <= 1 + 1e-12, name
    assert list(tally.tp) == sorted(tally.tp, reverse=True)
    assert all(tp + fp == tally.n_guess for tp, fp in zip(tally.tp, tally.fp, strict=True))
    assert all(tp + fn == tally.n_truth for tp, fn in zip(tally.tp, tally.fn, strict=True))
    assert sum(tally.sized) == tally.n_truth
    assert sum(tally.found) == tally.tp[0]
    if tally.n_truth + tally.n_guess:
        for t in (".50", ".70", ".95"):
            assert s[f"dsb_ap@{t}"] == pytest.approx(s[f"f1@{t}"] / (2 - s[f"f1@{t}"]))
        assert s["pq"] == pytest.approx(s["dq"] * s["sq"] if tally.tp[0] else 0)


@given(labelings(), labelings(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_matches_are_those_of_an_assignment_on_exact_fractions(truth: Labels, guess: Labels, strict: bool) -> None:
    names_t, names_g = np.unique(truth[truth > 0]), np.unique(guess[guess > 0])
    assume(len(names_t) and len(names_g))
    iou = [
        [Fraction(int(((truth == a) & (guess == b)).sum()), int(((truth == a) | (guess == b)).sum())) for b in names_g]
        for a in names_t
    ]
    tally = compare(truth, guess, strict=strict)
    for i, k in enumerate(range(10, 20)):
        t = Fraction(k, 20)
        hit = np.array([[v > t if strict else v >= t for v in row] for row in iou])
        cost = -hit.astype(float) - np.array(iou, float) / (2 * min(hit.shape))
        rows, cols = linear_sum_assignment(cost)
        assert tally.tp[i] == hit[rows, cols].sum()
        total = sum(iou[r][c] for r, c in zip(rows, cols, strict=True) if hit[r, c])
        assert tally.iou[i] / 2**32 == pytest.approx(float(total), abs=1e-8)


@given(arrays(np.int64, (3, 4), elements=st.integers(0, 3)), arrays(np.int64, (3, 4), elements=st.integers(0, 4)))
@settings(max_examples=100, deadline=None)
def test_aji_is_the_mean_over_every_way_to_break_ties(truth: Labels, guess: Labels) -> None:
    names_t, names_g = np.unique(truth[truth > 0]), np.unique(guess[guess > 0])
    assume(len(names_t) and len(names_g))
    best: list[list[Any]] = []
    for a in names_t:
        shared = {b: int(((truth == a) & (guess == b)).sum()) for b in names_g}
        value = {b: (Fraction(n, int(((truth == a) | (guess == b)).sum())), n) for b, n in shared.items() if n}
        best.append([b for b in value if value[b] == max(value.values())] or [None])
    inter, unions = Fraction(0), []
    for choice in itertools.product(*best):
        pairs = list(zip(names_t, choice, strict=True))
        inter = Fraction(sum(int(((truth == a) & (guess == b)).sum()) for a, b in pairs if b is not None))
        union = sum(int(((truth == a) | (guess == b)).sum() if b is not None else (truth == a).sum()) for a, b in pairs)
        unions.append(Fraction(union + sum(int((guess == b).sum()) for b in names_g if b not in choice)))
    want = inter / (sum(unions, Fraction(0)) / len(unions))
    assert compare(truth, guess).scores()["aji"] == pytest.approx(float(want), abs=1e-7)


# Each harm moves exactly what it should.


def changed(before: dict[str, float], after: dict[str, float]) -> set[str]:
    return {k for k in before if before[k] != pytest.approx(after[k], nan_ok=True)}


ALL_T = [f".{round(100 * t)}" for t in THRESHOLDS]
F1 = {"mean_f1", "mean_f1@.50:.75", "dsb_map", "dq", "pq"} | {f"{k}@{t}" for k in ("f1", "dsb_ap") for t in ALL_T}
RECALL = {f"recall@{t}" for t in ALL_T} | {"recall@.50[100-1000px]"}
PRECISION = {f"precision@{t}" for t in ALL_T}


def test_dropping_an_object_costs_recall_and_leaves_precision_and_outlines() -> None:
    truth = squares(5)
    before, tally = compare(truth, truth).scores(), compare(truth, np.where(truth == 3, 0, truth))
    assert (tally.tp, tally.fp, tally.fn) == ((4,) * 10, (0,) * 10, (1,) * 10)
    after = tally.scores()
    assert after["f1@.50"] == after["f1@.95"] == pytest.approx(8 / 9)
    assert after["seg"] == after["aji"] == after["aji_plus"] == pytest.approx(0.8)
    assert after["count_bias"] == pytest.approx(-0.2)
    moved = F1 | RECALL | {"aji", "aji_plus", "seg", "count_bias", "n_guess", "n_identical"}
    assert changed(before, after) == moved


def test_inventing_an_object_costs_precision_and_neither_recall_nor_seg() -> None:
    truth = squares(5)
    guess = truth.copy()
    guess[0, 0] = 77
    before, after = compare(truth, truth).scores(), compare(truth, guess).scores()
    assert after["f1@.50"] == pytest.approx(10 / 11)
    assert after["aji"] == after["aji_plus"] == pytest.approx(500 / 501)
    assert after["jaccard"] == pytest.approx(5 / 6)
    moved = F1 | PRECISION | {"aji", "aji_plus", "jaccard", "count_bias", "n_guess", "n_identical"}
    assert changed(before, after) == moved


def test_merging_two_costs_both_and_counts_one_merge() -> None:
    truth = squares(5)
    tally = compare(truth, np.where(truth == 2, 1, truth))
    # Each half has an IoU of exactly 0.5 with the whole: one of them is matched, at 0.5 only.
    assert tally.tp == (4, *(3,) * 9)
    assert compare(truth, np.where(truth == 2, 1, truth), strict=True).tp == (3,) * 10
    assert (tally.splits, tally.merges) == (0, 1)
    s = tally.scores()
    assert s["f1@.50"] == pytest.approx(8 / 9)
    assert s["f1@.55"] == pytest.approx(6 / 9)
    # Both halves take the same guess: 100 + 100 shared, twice the union of 200.
    assert s["aji"] == pytest.approx(500 / 700)
    assert s["aji_plus"] == pytest.approx(400 / 600)
    assert s["seg"] == pytest.approx((3 + 2 * 0.5) / 5)


def test_splitting_one_counts_one_split_and_takes_one_half() -> None:
    truth = squares(5)
    guess = truth.copy()
    guess[:15][truth[:15] == 4] = 9
    tally = compare(truth, guess)
    assert tally.tp == (5, *(4,) * 9)
    assert (tally.splits, tally.merges) == (1, 0)
    s = tally.scores()
    # Shared 450, unions 400 + 100, and the half that is left over, 50.
    assert s["aji"] == s["aji_plus"] == pytest.approx(450 / 550)
    # Half an object is not more than half of it.
    assert s["seg"] == pytest.approx(4 / 5)
    assert s["jaccard"] == pytest.approx(5 / 6)


def test_emptying_the_guess_leaves_no_precision_to_speak_of() -> None:
    truth = squares(3)
    s = compare(truth, np.zeros_like(truth)).scores()
    zero = F1 | RECALL | {"aji", "aji_plus", "seg"}
    assert {k for k in zero if s[k] != 0} == set()
    undefined = PRECISION | {"sq", "jaccard", "empty_correct"}
    assert {k for k in undefined if not math.isnan(s[k])} == set()
    assert s["count_bias"] == -1


def test_a_shift_by_one_pixel_costs_outlines_and_no_counts() -> None:
    truth = squares(4)
    tally = compare(truth, shift(truth, 1, 1))
    # 9 x 9 of 119 pixels: IoU 0.6807.
    assert tally.tp == (4, 4, 4, 4, 0, 0, 0, 0, 0, 0)
    s = tally.scores()
    for name in ("sq", "pq", "aji", "aji_plus", "seg", "jaccard"):
        assert s[name] == pytest.approx(81 / 119), name
    assert (s["splits"], s["merges"], s["count_bias"], s["dq"]) == (0, 0, 0, 1)


# Empties.


def test_both_empty_is_undefined_and_counted_as_right() -> None:
    nothing = np.zeros((4, 4), np.int64)
    tally = compare(nothing, nothing)
    s = tally.scores()
    assert all(math.isnan(s[k]) for k in s.keys() - WHOLE - {"empty_correct"})
    assert (tally.n_empty, tally.n_empty_correct, tally.n_identical) == (1, 1, 0)
    assert s["empty_correct"] == 1


def test_an_empty_truth_with_a_guess_scores_nothing_and_is_counted_as_wrong() -> None:
    nothing = np.zeros((4, 4), np.int64)
    s = compare(nothing, nothing + 1).scores()
    assert s["f1@.50"] == s["pq"] == s["aji"] == s["dsb_map"] == s["precision@.50"] == s["empty_correct"] == 0
    assert math.isnan(s["recall@.50"])
    assert math.isnan(s["seg"])


# Ties at the threshold.


@pytest.mark.parametrize("k", range(10, 20))
def test_an_iou_of_exactly_the_threshold_counts_unless_strict(k: int) -> None:
    truth, guess = np.zeros((1, 60), np.int64), np.zeros((1, 60), np.int64)
    truth[0, :20], guess[0, :k] = 1, 1
    assert compare(truth, guess).tp == tuple(int(j <= k) for j in range(10, 20))
    assert compare(truth, guess, strict=True).tp == tuple(int(j < k) for j in range(10, 20))
    # Whole multiples of it are the same fraction, whatever a float makes of them.
    truth, guess = np.repeat(truth, 33, axis=0), np.repeat(guess, 33, axis=0)
    assert compare(truth, guess).tp == tuple(int(j <= k) for j in range(10, 20))


# Exploits.


def test_one_giant_object() -> None:
    truth = squares(5)
    s = compare(truth, np.ones_like(truth)).scores()
    assert s["f1@.50"] == 0
    # It covers all of every object, yet SEG and recall see that it is none of them.
    assert s["seg"] == pytest.approx(100 / truth.size)
    assert s["recall@.50"] == 0
    assert s["aji"] == pytest.approx(500 / (5 * truth.size))


def test_the_whole_foreground_as_one_label_counts_as_one_merge() -> None:
    truth = squares(5)
    tally = compare(truth, (truth > 0).astype(np.uint8))
    assert tally.tp == (0,) * 10
    assert tally.merges == 1
    assert tally.scores()["aji"] == pytest.approx(500 / 2500)
    assert compare(squares(11), (squares(11) > 0).astype(np.uint8)).merges == 0, "eleven shares are below 0.1 each"


def test_salt_is_paid_for_in_precision() -> None:
    truth = squares(5)
    guess = truth.copy()
    guess[0, ::2] = 100 + np.arange(guess[0, ::2].size)
    n = guess[0, ::2].size
    s = compare(truth, guess).scores()
    assert s["recall@.50"] == s["seg"] == 1
    assert s["precision@.50"] == pytest.approx(5 / (5 + n))
    assert s["aji"] == pytest.approx(500 / (500 + n))


def test_a_checkerboard_of_one_label_is_half_of_everything_at_best() -> None:
    truth = np.ones((10, 10), np.int64)
    board = np.indices((10, 10)).sum(0) % 2
    # IoU of exactly 0.5 with the one object: matched, and that is the most it can get.
    assert compare(truth, board).tp == (1, *(0,) * 9)
    assert compare(truth, board, strict=True).tp == (0,) * 10
    assert compare(truth, board + 1).tp == (1, *(0,) * 9), "both halves tie and one is taken"
    assert compare(truth, board + 1).scores()["precision@.50"] == 0.5


def test_two_halves_of_everything_gain_nothing_over_one() -> None:
    """Duplicates cannot overlap in a label image, so halves are the nearest thing to guessing twice."""
    truth = squares(5)
    twice = np.where(np.arange(truth.shape[0])[:, None] < 15, truth, truth + 10 * (truth > 0))
    s = compare(truth, twice).scores()
    assert s["recall@.50"] == 1
    assert s["precision@.50"] == 0.5
    assert s["f1@.55"] == 0
    assert s["splits"] == 5


def test_leaving_out_small_objects_shows_in_recall_by_size_and_hardly_in_f1() -> None:
    truth = squares(20)
    truth[0, 0], truth[0, 3:7], truth[3:9, 0:6] = 501, 502, 503
    s = compare(truth, np.where(truth > 500, 0, truth)).scores()
    assert s["f1@.50"] > 0.92
    assert s["recall@.50[<25px]"] == 0
    assert s["recall@.50[25-100px]"] == 0
    assert s["recall@.50[100-1000px]"] == 1
    assert math.isnan(s["recall@.50[1000-2100px]"])


def test_size_classes_hold_their_lower_edge() -> None:
    truth = np.zeros((8, 3000), np.int64)
    for row, area in enumerate((24, 25, 99, 100, 999, 1000, 2099, 2100)):
        truth[row, :area] = row + 1
    assert compare(truth, truth).sized == (1, 2, 2, 2, 1)


def test_false_positives_are_counted_at_each_threshold_anew() -> None:
    """A published evaluation froze them at 0.5, which lifts mean F1 by 0.045."""
    truth = squares(4)
    assert compare(truth, shift(truth, 1, 1)).fp == (0, 0, 0, 0, 4, 4, 4, 4, 4, 4)


def test_the_truth_handed_in_under_other_numbers_is_flagged() -> None:
    truth = disks(3)
    assert compare(truth, np.where(truth > 0, 4000 - truth, 0)).n_identical == 1
    touched = truth.copy()
    touched[np.nonzero(truth)[0][0], np.nonzero(truth)[1][0]] = 0
    assert compare(truth, touched).n_identical == 0


def test_ties_in_aji_do_not_depend_on_numbers() -> None:
    """Two level partners, one of them taken elsewhere: those who take the first by number give 2/5 or 2/4."""
    truth = np.array([[1, 1, 2]])
    guess = np.array([[5, 6, 6]])
    other = np.array([[6, 5, 5]])
    assert compare(truth, guess) == compare(truth, other)


def test_a_large_image_is_scored_in_half_a_second() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:1104, :1104]
    truth = np.zeros((1104, 1104), np.int32)
    for k, (cy, cx) in enumerate(rng.integers(0, 1104, (200, 2))):
        box = np.s_[max(0, cy - 20) : cy + 20, max(0, cx - 20) : cx + 20]
        truth[box][(y[box] - cy) ** 2 + (x[box] - cx) ** 2 < 400] = k + 1
    guess = np.roll(truth, 2, 0)
    start = time.perf_counter()
    compare(truth, guess).scores()
    assert time.perf_counter() - start < 0.5


def test_the_neutral_tally() -> None:
    tally = compare(disks(1), disks(2))
    assert InstanceTally() + tally == tally
