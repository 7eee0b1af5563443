from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.bench.bootstrap import Score, scores
from corpuscle.errors import SettingsError
from corpuscle.metrics.instances import InstanceTally
from corpuscle.metrics.pixels import PixelTally
from corpuscle.metrics.tally import Tally


def tally(tp: int, fp: int, fn: int) -> PixelTally:
    return PixelTally(n_images=1, tp=tp, fp=fp, fn=fn)


def of(found: list[Score], metric: str, average: str = "micro") -> Score:
    (score,) = [s for s in found if s.metric == metric and s.average == average]
    return score


def same(a: list[Score], b: list[Score]) -> bool:
    return repr(a) == repr(b)


def many(n: int, seed: int = 0) -> dict[str, Tally]:
    rng = np.random.default_rng(seed)
    return {f"r{i:04d}": tally(*(int(k) for k in rng.integers(1, 200, 3))) for i in range(n)}


@dataclass(frozen=True, slots=True)
class Opaque:
    """A tally that adds and scores and shows nothing else."""

    inner: PixelTally

    def __add__(self, other: Opaque) -> Opaque:
        return Opaque(self.inner + other.inner)

    def scores(self) -> dict[str, float]:
        return self.inner.scores()


def test_micro_is_the_score_of_the_sum_and_macro_the_mean_of_scores() -> None:
    tallies = {"a": tally(90, 10, 0), "b": tally(1, 0, 1), "c": tally(0, 0, 0)}
    found = scores(tallies, {"a": "w1", "b": "w2", "c": "w3"})
    micro, macro = of(found, "pixel_iou"), of(found, "pixel_iou", "macro")
    assert micro.value == pytest.approx(91 / 102)
    assert (micro.n, micro.n_groups, micro.n_undefined) == (3, 3, 1)
    assert macro.value == pytest.approx((0.9 + 0.5) / 2)
    assert (macro.n, macro.n_undefined) == (2, 1)


@given(st.permutations(range(12)), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_the_order_of_records_and_the_names_of_groups_do_not_matter(order: list[int], seed: int) -> None:
    names = [f"r{i:02d}" for i in range(12)]
    tallies = dict(zip(names, many(12).values(), strict=True))
    groups = {n: f"w{i // 3}" for i, n in enumerate(names)}
    here = scores(tallies, groups, seed=seed, resamples=50)
    shuffled = {names[i]: tallies[names[i]] for i in order}
    assert same(scores(shuffled, dict(reversed(groups.items())), seed=seed, resamples=50), here)
    assert same(scores(tallies, {n: f"plate/{g}" for n, g in groups.items()}, seed=seed, resamples=50), here)


def test_a_seed_repeats_and_another_differs() -> None:
    tallies = many(30)
    groups = {n: n for n in tallies}
    assert same(scores(tallies, groups, seed=3), scores(tallies, groups, seed=3))
    assert not same(scores(tallies, groups, seed=3), scores(tallies, groups, seed=4))


def test_a_tally_that_only_adds_gives_the_same_interval() -> None:
    tallies = {n: t for n, t in many(15).items() if isinstance(t, PixelTally)}
    groups = {n: f"w{i // 2}" for i, n in enumerate(tallies)}
    counted = scores(tallies, groups, resamples=200)
    opaque = scores({n: Opaque(t) for n, t in tallies.items()}, groups, resamples=200)
    for a, b in zip(counted, opaque, strict=True):
        assert a.metric == b.metric
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), nan_ok=True)


def test_records_of_one_group_are_one_observation() -> None:
    """Sixteen fields of each well instead of one promise no more certainty."""
    once = many(12)
    fields = {f"{n}f{k:02d}": t for n, t in once.items() for k in range(16)}
    a = scores(once, {n: n for n in once})
    b = scores(fields, {n: n[:5] for n in fields})
    c = scores(fields, {n: n for n in fields})
    for average in ("micro", "macro"):
        lone, well, field = (of(x, "pixel_iou", average) for x in (a, b, c))
        assert (lone.value, lone.low, lone.high) == pytest.approx((well.value, well.low, well.high))
        assert field.high - field.low < 0.5 * (well.high - well.low)


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    tallies = many(400, seed=5)
    macro = of(scores(tallies, {n: n for n in tallies}, resamples=4000), "pixel_precision", "macro")
    own = np.array([t.scores()["pixel_precision"] for t in tallies.values()])
    error = 1.96 * own.std() / math.sqrt(len(own))
    assert macro.low == pytest.approx(own.mean() - error, abs=0.15 * error)
    assert macro.high == pytest.approx(own.mean() + error, abs=0.15 * error)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        p = np.clip(rng.normal(0.7, 0.1, 40), 0, 1)
        tallies = {str(i): tally(int(rng.binomial(500, q)), 0, 0) for i, q in enumerate(p)}
        tallies = {n: replace(t, fn=500 - t.tp) for n, t in tallies.items()}
        s = of(scores(tallies, {n: n for n in tallies}, resamples=300), "pixel_recall")
        hits += s.low <= 0.7 <= s.high
    assert 0.89 <= hits / 200 <= 0.99


def test_one_group_has_no_interval_and_says_why() -> None:
    tallies = many(5)
    for s in scores(tallies, dict.fromkeys(tallies, "w")):
        assert math.isnan(s.low)
        assert math.isnan(s.high)
        assert s.note


def test_few_groups_are_said_to_be_few() -> None:
    tallies = many(6)
    assert "likely too narrow" in of(scores(tallies, {n: n for n in tallies}), "pixel_iou").note
    more = many(10)
    assert of(scores(more, {n: n for n in more}), "pixel_iou").note == ""


def test_an_undefined_score_is_nan_with_a_reason() -> None:
    tallies: dict[str, Tally] = {str(i): PixelTally(n_images=1, tn=9, n_empty=1, n_empty_correct=1) for i in range(12)}
    found = scores(tallies, {n: n for n in tallies})
    for average in ("micro", "macro"):
        s = of(found, "pixel_iou", average)
        assert math.isnan(s.value)
        assert s.note == "undefined"
        assert s.n_undefined == 12
    assert of(found, "empty_correct").value == 1


def test_draws_in_which_a_score_is_undefined_are_left_out() -> None:
    tallies: dict[str, Tally] = {"a": tally(1, 1, 1), **{str(i): PixelTally(n_images=1, tn=4) for i in range(11)}}
    s = of(scores(tallies, {n: n for n in tallies}), "pixel_iou")
    assert s.value == s.low == s.high == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("tallies", "groups", "more", "rule"),
    [
        ({}, {}, {}, "bench-empty"),
        ({"a": tally(1, 1, 1)}, {"b": "w"}, {}, "bench-group"),
        ({"a": tally(1, 1, 1)}, {"a": "w"}, {"resamples": 0}, "bench-resamples"),
        ({"a": tally(1, 1, 1)}, {"a": "w"}, {"level": 1.0}, "bench-resamples"),
        ({"a": tally(1, 1, 1), "b": InstanceTally()}, {"a": "w", "b": "w"}, {}, "bench-kind"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tallies: Mapping[str, Tally], groups: Mapping[str, str], more: dict[str, int], rule: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        scores(tallies, groups, **more)
    assert caught.value.rule == rule


def test_a_thousand_draws_of_a_thousand_records_in_seconds() -> None:
    rng = np.random.default_rng(0)
    tallies: dict[str, Tally] = {}
    for i in range(1000):
        tp = np.sort(rng.integers(1, 50, 10))[::-1]
        tallies[str(i)] = InstanceTally(
            1, 60, 55, tuple(map(int, tp)), tuple(int(k) << 31 for k in tp), 100, 200 << 32, 90, 200, 5, 6, 1, 2
        )
    start = time.perf_counter()
    found = scores(tallies, {n: n for n in tallies})
    assert time.perf_counter() - start < 3
    s = of(found, "f1@.50")
    assert s.low < s.value < s.high
