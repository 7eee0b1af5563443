"""The same answers as those who came before, where they ask the same question."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.metrics.cases import pairs

from corpuscle.metrics.instances import THRESHOLDS, compare
from corpuscle.metrics.overlap import overlap

ANSWERS = json.loads((Path(__file__).parent / "data" / "peers.json").read_text())
PAIRS = pairs()
NAMES = [name for name, _, _ in PAIRS]
Labels = NDArray[np.int64]


@pytest.mark.parametrize(("name", "truth", "guess"), PAIRS, ids=NAMES)
def test_stardist(name: str, truth: Labels, guess: Labels) -> None:
    tally = compare(truth, guess)
    s = tally.scores()
    both_empty = not truth.any() and not guess.any()
    for i, (t, said) in enumerate(zip(THRESHOLDS, ANSWERS[name]["stardist"], strict=True)):
        tp, fp, fn, f1, accuracy, pq, mean_iou = said
        assert (tally.tp[i], tally.fp[i], tally.fn[i]) == (tp, fp, fn)
        if both_empty:
            # Its 0 for an empty image rightly left empty is our nan.
            assert f1 == accuracy == pq == 0
            continue
        at = f"@.{round(100 * t)}"
        assert s["f1" + at] == pytest.approx(f1, abs=1e-6)
        assert s["dsb_ap" + at] == pytest.approx(accuracy, abs=1e-6)
        assert tally.iou[i] / 2**32 == pytest.approx(mean_iou * tp, abs=1e-5)
        if i == 0:
            assert s["pq"] == pytest.approx(pq, abs=1e-6)


@pytest.mark.parametrize(("name", "truth", "guess"), PAIRS, ids=NAMES)
def test_hover_net(name: str, truth: Labels, guess: Labels) -> None:
    said = ANSWERS[name]["hover"]
    if said is None:
        # Its code raises on an empty side.
        assert not truth.any() or not guess.any()
        return
    aji, aji_plus, dq, sq = said
    s = compare(truth, guess, strict=True).scores()
    assert s["aji"] == pytest.approx(aji, abs=1e-6)
    assert s["aji_plus"] == pytest.approx(aji_plus, abs=1e-6)
    assert s["dq"] == pytest.approx(dq, abs=1e-6)
    assert s["sq"] == pytest.approx(np.nan if sq is None else sq, abs=1e-6, nan_ok=True)


def encoded(labels: Labels) -> list[Any]:
    return [rle.encode(np.asfortranarray(labels == k, np.uint8)) for k in np.unique(labels[labels > 0])]


@pytest.mark.parametrize(("name", "truth", "guess"), PAIRS, ids=NAMES)
def test_coco_sees_the_same_overlaps(name: str, truth: Labels, guess: Labels) -> None:
    t, g = encoded(truth), encoded(guess)
    table = overlap(truth, guess)
    ours = np.zeros((len(table.truth_area), len(table.guess_area)))
    ours[table.truth, table.guess] = table.inter / table.union
    if t and g:
        assert np.abs(rle.iou(g, t, [0] * len(t)).T - ours).max() < 1e-12


@pytest.mark.parametrize(("name", "truth", "guess"), PAIRS, ids=NAMES)
def test_coco_matches_the_same_objects(name: str, truth: Labels, guess: Labels) -> None:
    t, g = encoded(truth), encoded(guess)
    if not t or not g:
        return

    def listed(masks: list[Any], **more: Any) -> list[dict[str, Any]]:
        return [
            {"id": i + 1, "image_id": 1, "category_id": 1, "segmentation": m, "area": float(rle.area(m)), "iscrowd": 0}
            | more
            for i, m in enumerate(masks)
        ]

    about = {"images": [{"id": 1, "height": truth.shape[0], "width": truth.shape[1]}], "categories": [{"id": 1}]}
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for masks, more in ((t, {}), (g, {"score": 1.0})):
            coco = COCO()
            coco.dataset = about | {"annotations": listed(masks, **more)}
            coco.createIndex()
            both.append(coco)
        run = COCOeval(*both, "segm")
        run.params.maxDets = [10_000]
        run.params.areaRng = [[0, 1e10]]
        run.params.iouThrs = np.array(THRESHOLDS)
        run.evaluate()
    found = (run.evalImgs[0]["dtMatches"] > 0).sum(1)
    assert found.tolist() == list(compare(truth, guess).tp)
