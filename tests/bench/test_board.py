from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.cases import disks, shift

from corpuscle.bench import Row, Score, environment, flags, rank
from corpuscle.errors import SettingsError
from corpuscle.metrics.instances import compare
from corpuscle.metrics.pixels import PixelTally

MADE_WITH = {"numpy": "2.2.0", "python": "3.11.7"}


def row(guess: str = "nuclei@otsu", value: float = 0.5, **more: Any) -> Row:
    score = Score("mean_f1", value, value - 0.1, math.nan, 3, "micro", 2, 1, "one")
    return Row("nuclei", guess, "published/test", "instances/1", "c0ffee", "f00d", 3, (score,), MADE_WITH, **more)


def test_a_row_survives_json_and_says_the_same_twice() -> None:
    here = row(flags=("identical: ...",))
    text = here.to_json()
    back = Row.from_json(text)
    assert back.to_json() == text
    assert repr(back) == repr(here)
    assert "NaN" not in text
    assert "\n" not in text
    assert list(json.loads(text)) == sorted(json.loads(text))


@given(
    st.text(), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9), st.none() | st.text()
)
@settings(max_examples=50, deadline=None)
def test_any_row_survives(name: str, value: float, step: str | None) -> None:
    here = replace(row(name, value), step=step)
    assert repr(Row.from_json(here.to_json())) == repr(here)


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: d.pop("corpus"),
        lambda d: d.update(format="corpuscle-board-row/2"),
        lambda d: d.update(n_records="3"),
        lambda d: d.update(n_records=True),
        lambda d: d.update(scores={}),
        lambda d: d.update(scores=[1]),
        lambda d: d["scores"][0].update(average="mean"),
        lambda d: d["scores"][0].update(value="high"),
        lambda d: d["scores"][0].update(value=10**400),
        lambda d: d["scores"][0].update(value=math.inf),
        lambda d: d.update(step=1),
        lambda d: d.update(flags="identical"),
        lambda d: d.update(environment=[]),
    ],
)
def test_a_row_that_is_none_is_refused(harm: Any) -> None:
    plain = json.loads(row().to_json())
    harm(plain)
    with pytest.raises(SettingsError) as caught:
        Row.from_json(json.dumps(plain))
    assert caught.value.rule == "board-row"


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", "[" * 100_000, "1" * 10_000, '{"format": NaN}'])
def test_what_is_not_even_a_row(text: str) -> None:
    with pytest.raises(SettingsError):
        Row.from_json(text)


def test_rank_is_best_first_equals_share_and_undefined_comes_last() -> None:
    rows = [row("a", 0.5), row("b", math.nan), row("c", 0.9), row("d", 0.5)]
    assert [(place, r.guess) for place, r in rank(rows)] == [(1, "c"), (2, "a"), (2, "d"), (4, "b")]
    assert [r.guess for _, r in rank(rows, lowest=True)] == ["a", "d", "c", "b"]
    assert rank([]) == []


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"corpus": "beef"}, "board-corpus"),
        ({"metric": "instances/2"}, "board-metric"),
        ({"metric": "instances/1(strict=True)"}, "board-metric"),
        ({"split": "audited/test"}, "board-split"),
        ({"task": "cells"}, "board-task"),
        ({"n_records": 2}, "board-n-records"),
    ],
)
def test_rows_that_answer_different_questions_are_not_ranked(other: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rank([row(), replace(row("nuclei@unet"), **other)])
    assert caught.value.rule == rule


def test_a_score_that_the_row_has_not() -> None:
    with pytest.raises(SettingsError, match="only \\['mean_f1'\\]"):
        rank([row()], by="f1@.50")
    with pytest.raises(SettingsError):
        row().score("mean_f1", average="macro")


def test_lines_are_json_with_what_machines_need() -> None:
    (line,) = row().lines()
    told = json.loads(line)
    assert told.items() >= {"task": "nuclei", "guess": "nuclei@otsu", "split": "published/test", "n": 3}.items()
    assert told["metric"] == "mean_f1"
    assert told["high"] is None


def test_a_guess_made_of_the_truth_is_flagged_whatever_its_numbers() -> None:
    truth = disks(3)
    renumbered = np.where(truth > 0, 4000 - truth, 0)
    (flag,) = flags({"a": compare(truth, renumbered), "b": compare(truth, shift(truth, 0, 1))})
    assert flag == "identical: the guess equals the truth in 1 of 2 records, 'a' among them"
    assert flags({"b": compare(truth, shift(truth, 0, 1))}) == ()
    nothing = np.zeros_like(truth)
    assert flags({"empty, rightly": compare(nothing, nothing), "of pixels": PixelTally()}) == ()


def test_the_environment_names_what_figures_depend_on() -> None:
    told = environment()
    assert list(told) == ["corpuscle", "numpy", "platform", "python", "scipy"]
    assert all(told.values())
