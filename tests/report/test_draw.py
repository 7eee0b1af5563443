from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from corpuscle.report.draw import apart, dot, figure, ticks

numbers = st.floats(-1e6, 1e6)


@given(numbers, st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_lie_within_and_are_evenly_apart(lo: float, span: float, most: int) -> None:
    hi = lo + span
    marks = ticks(lo, hi, most=most)
    assert len(marks) <= 2 * most + 1
    slack = span * 1e-6 + abs(lo) * 1e-9
    assert all(lo - slack <= m <= hi + slack for m in marks)
    gaps = [b - a for a, b in pairwise(marks)]
    assert all(math.isclose(g, gaps[0], rel_tol=1e-3, abs_tol=slack) for g in gaps)


@given(st.lists(st.floats(0, 300), max_size=12), st.floats(1, 30))
def test_labels_end_up_apart_and_keep_their_order(wanted: list[float], gap: float) -> None:
    placed = apart(wanted, gap=gap)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    in_order = [placed[i] for i in order]
    assert all(b - a >= gap - 1e-6 for a, b in pairwise(in_order))


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_words_of_others_stay_words(words: str) -> None:
    svg = figure(10, 10, [dot(1, 1, colour="#000", title=words)], label=words)
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == words
    assert [child.tag for child in root] == ["circle"]


def test_a_range_of_nothing_has_one_tick() -> None:
    assert ticks(3, 3) == [3]
