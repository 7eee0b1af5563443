from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corpuscle.report.outline import outline


def length(path: str) -> int:
    return sum(int(n) for n in re.findall(r"[hv](\d+)", path))


def perimeter(labels: np.ndarray) -> int:
    padded = np.pad(labels, 1)
    return int((padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum())


@given(arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 3)))
def test_every_edge_is_drawn_once(labels: np.ndarray) -> None:
    assert length(outline(labels)) == perimeter(labels)


def test_one_pixel() -> None:
    assert sorted(outline(np.array([[0, 0], [0, 9]])).split("M")) == ["", "1 1h1", "1 1v1", "1 2h1", "2 1v1"]


def test_nothing_is_drawn_where_a_crop_cuts_an_object() -> None:
    assert outline(np.ones((3, 3), int), cut=True) == ""
    assert length(outline(np.ones((3, 3), int))) == 12
