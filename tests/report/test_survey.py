from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.small import small

from corpuscle.corpus.corpus import Corpus
from corpuscle.report.survey import spread, survey


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small(tmp_path_factory.mktemp("survey") / "corpus")


@given(st.lists(st.text(), unique=True), st.integers(1, 20))
def test_a_sample_is_in_order_and_no_larger_than_asked(names: list[str], most: int) -> None:
    chosen = spread(names, most)
    assert len(chosen) == min(len(names), most)
    assert [n for n in names if n in chosen] == chosen


def test_what_was_put_in_is_counted(corpus: Corpus) -> None:
    found = survey(corpus)
    assert {r.name: r.records for r in found.layers} == {
        "raw": 8, "nuclei": 8, "objects": 8, "intensity": 8, "nuclei@good": 8, "nuclei@bad": 8,
    }  # fmt: skip
    assert found.pixels == {"unknown": 4, "0.5 µm": 4}
    assert found.sizes == {"96 x 96 uint16": 8}
    assert list(found.objects.values()) == [5] * 8
    assert {w: len(n) for w, n in found.wells["p1"].items()} == {"A01": 2, "A02": 2, "A03": 2, "A04": 2}
    assert len(found.brightness) == 8
    assert found.unread == {}


def test_what_made_a_layer_is_told(corpus: Corpus) -> None:
    by = {r.name: (r.made_by, r.settings) for r in survey(corpus).layers}
    assert by["nuclei"] == ("read from the raw files", "")
    assert by["nuclei@good"] == ("labelled", "sigma=2")


def test_diameters_are_those_of_discs_of_the_same_area(corpus: Corpus) -> None:
    found = survey(corpus)
    areas = np.concatenate([corpus[n].table("objects")["area"] for n in corpus])
    assert list(found.diameters) == ["px"]
    assert np.allclose(np.pi * found.diameters["px"] ** 2 / 4, areas)


def test_a_broken_layer_is_told_of_and_no_more(tmp_path: Path) -> None:
    corpus = small(tmp_path / "corpus", n=2)
    name = list(corpus)[1]
    (corpus.root / corpus.entries[name].layers["objects"].path).write_bytes(b"no parquet")
    found = survey(corpus)
    assert list(found.unread) == [name]
    assert len(found.objects) == 1
