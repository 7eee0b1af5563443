from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tests.report.small import small

from corpuscle.blocks.shelf import Made
from corpuscle.core import Image, Record, Space
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.report import overlays


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small(tmp_path_factory.mktemp("overlays") / "corpus", n=4)


def test_records_are_ranked_from_the_worst(corpus: Corpus) -> None:
    scores = {"a": {"mean_f1": 0.5}, "b": {"mean_f1": math.nan}, "c": {"mean_f1": 0.1}, "d": {}}
    assert overlays.ranked(scores) == ["c", "a"]


def test_a_whole_record_is_drawn_in_its_own_pixels(corpus: Corpus) -> None:
    name = next(iter(corpus))
    (drawn,) = overlays.whole(corpus, [(name, "worst")], "nuclei@good")
    assert (drawn.record, drawn.width, drawn.height, drawn.caption) == (name, 96, 96, "worst")
    assert drawn.title.endswith("5 objects in the truth, 4 in the guess nuclei@good")
    assert len(drawn.guess) < len(drawn.truth)


def test_each_kind_of_fault_comes_from_several_records(corpus: Corpus) -> None:
    scores = {n: {"mean_f1": 0.1 * i} for i, n in enumerate(corpus)}
    good = overlays.crops(corpus, scores, "nuclei@good", most=3)
    assert {k: [c.record for c in some] for k, some in good.items()} == {"missed": list(corpus)[:3]}
    bad = overlays.crops(corpus, scores, "nuclei@bad", most=3)
    assert {"missed", "invented"} <= set(bad)
    assert all(c.width == c.height for some in bad.values() for c in some)


def test_a_guess_that_is_missing_or_of_another_shape_is_not_drawn(corpus: Corpus) -> None:
    assert overlays.whole(corpus, [(next(iter(corpus)), "")], "nuclei@none") == []


def test_a_crowd_of_specks_does_not_swell_the_page(tmp_path: Path) -> None:
    noise = np.arange(700 * 700, dtype=np.int32).reshape(700, 700) + 1
    noise[(np.indices(noise.shape) % 3).any(axis=0)] = 0
    layers = {
        "raw": Image(np.ones((700, 700), np.uint16), Space("yx")),
        "nuclei": Image(np.ones((700, 700), np.int32), Space("yx"), labels_of="raw"),
        "nuclei@noise": Image(noise, Space("yx"), labels_of="raw"),
    }
    DiskShelf(tmp_path).put(Record("r", {}, layers), list(layers), Made("", {}))
    corpus = Corpus(tmp_path)
    (drawn,) = overlays.whole(corpus, [("r", "worst")], "nuclei@noise")
    assert len(drawn.guess) <= overlays.PATH
    assert "its middle" in drawn.caption
    assert all(len(c.guess) < overlays.PATH // 8 for some in overlays.crops(
        corpus, {"r": {"mean_f1": 0.0}}, "nuclei@noise").values() for c in some)  # fmt: skip
