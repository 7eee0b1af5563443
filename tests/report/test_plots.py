from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.bench.board import Row
from corpuscle.bench.bootstrap import Score
from corpuscle.report import plots
from corpuscle.report.survey import Brightness

NAN = math.nan
THRESHOLDS = [f"f1@.{t}" for t in range(50, 100, 5)]
SIZES = [f"recall@.50[{m}]" for m, _ in plots.SIZES]


def row(guess: str, value: float, *, low: float = NAN, high: float = NAN, split: str = "all") -> Row:
    names = ["mean_f1", *THRESHOLDS, *SIZES]
    scores = tuple(Score(n, value, low, high, 4, "micro", 2, 0, "few") for n in names)
    return Row("nuclei", guess, split, "instances/1", "digest", None, 4, scores)


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter("text")]


def titles(svg: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter("title")]


scored = st.floats(0, 1) | st.just(NAN)


@given(st.lists(scored, min_size=1, max_size=5))
@settings(max_examples=25)
def test_any_scores_can_be_drawn(values: list[float]) -> None:
    rows = [row(f"g<{i}>", v, low=v, high=v) for i, v in enumerate(values)]
    colour = plots.colours([r.guess for r in rows])
    for svg in (
        plots.scores({"all": rows}, "mean_f1", name="mean F1", colour=colour),
        plots.curves(rows, colour=colour),
        plots.sizes(rows, colour=colour),
    ):
        assert "nan" not in svg.replace("mean nan", "")
        ElementTree.fromstring(svg)


def test_each_dot_says_which_guess_and_records_it_stands_for() -> None:
    rows = [row("nuclei@a", 0.5, low=0.4, high=0.6)]
    svg = plots.scores({"published/test": rows}, "mean_f1", name="mean F1", colour={"nuclei@a": "#000"})
    told = "nuclei@a: mean F1 0.500 [0.400, 0.600]; all, 4 records in 2 groups; instances/1; few"
    assert titles(svg) == [told, told]
    assert {"published/test", "nuclei@a", "0.500", "4 records"} <= set(texts(svg))


def test_an_undefined_score_is_said_to_be_so() -> None:
    svg = plots.scores({"all": [row("g", NAN)]}, "mean_f1", name="m", colour={"g": "#000"})
    assert "undefined" in texts(svg)


@pytest.mark.parametrize(
    "values", [np.array([1.0]), np.array([0.0, 0.0]), np.arange(1000.0), np.array([5.5, 6.5, np.nan]), np.array([1e-9])]
)
def test_every_value_of_a_histogram_is_in_one_bar(values: np.ndarray) -> None:
    svg = plots.histogram(values, name="size", what="objects")
    bars = [t for t in titles(svg) if " objects " in t]
    assert sum(int(t.split()[0]) for t in bars) == np.isfinite(values).sum()


def test_what_lies_beyond_the_axis_is_told_of() -> None:
    svg = plots.histogram(np.array([*np.arange(999.0) % 10, 5000.0]), name="size", what="objects")
    assert any(" and more, 1 of them from " in t for t in titles(svg))


def test_what_is_marked_stands_above_the_bars() -> None:
    # The median was written over the tallest bar.
    for values in (np.arange(40.0) % 7, np.full(30, 6.0), np.array([0.0] * 9 + [6.0])):
        svg = plots.histogram(values, name="n", what="records", marks=[(float(np.median(values)), "median 3.14159")])
        tree = ElementTree.fromstring(svg)
        (word,) = [e for e in tree.iter("text") if (e.text or "").startswith("median")]
        (name,) = [e for e in tree.iter("text") if e.text == "records"]
        tops = [float(e.attrib["y"]) for e in tree.iter("rect")]
        assert float(word.attrib["y"]) + 12 <= float(name.attrib["y"]) < min(tops)


def test_an_empty_histogram_is_drawn() -> None:
    ElementTree.fromstring(plots.histogram(np.array([]), name="size", what="objects"))


def test_wells_stand_where_they_are_on_the_plate() -> None:
    wells = {"A01": (3.0, "well A01: 3"), "H12": (None, "well H12: not counted"), "odd": (1.0, "nowhere")}
    svg = plots.plate("p<1>", wells, what="objects", most=3, size=(8, 12))
    assert titles(svg) == ["well A01: 3", "well H12: not counted"]
    rects = list(ElementTree.fromstring(svg).iter("rect"))
    assert len(rects) == 96
    assert rects[0].attrib["fill"] == "#0b3c6f"
    # A well without annotations looked like one that was never imaged.
    imaged, never = rects[95].attrib, rects[94].attrib
    assert (imaged["fill"], imaged["stroke"]) != (never["fill"], never["stroke"])
    assert texts(svg).count("–") == 1


def test_brightness_has_a_line_for_each_record() -> None:
    svg = plots.brightness([Brightness("r1", "d0", 100, 900), Brightness("r2", "d0", 0, 0)], channel="d0")
    assert [t.split(",")[0] for t in titles(svg)] == ["record r1", "record r2"]
