"""The one classical setting on real images: what it must reach, and that turning an image changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.choose_classical import Tally, f1, images, tally
from tests.realdata import real

from corpuscle.ops.segment import local_watershed, otsu_components


def found(tallies: list[Tally], low: int, high: int) -> float:
    sizes, best = (np.concatenate([getattr(t, k) for t in tallies]) for k in ("sizes", "best"))
    return float((best[(sizes >= low) & (sizes < high)] >= 0.5).mean())


@pytest.mark.slow
def test_aitslab_dev() -> None:
    real("nuclei/aitslab/dev")
    items = list(images(real("nuclei"), "dev"))
    tallies = [tally(local_watershed, item) for item in items]
    scores = f1(tallies)
    assert scores[0] >= 0.85
    assert scores.mean() >= 0.66
    assert found(tallies, 25, 100) >= 0.3
    plain = f1([tally(otsu_components, item) for item in items])
    assert (plain[0], plain.mean()) == pytest.approx((0.349, 0.250), abs=0.002)


@pytest.mark.slow
def test_dsb() -> None:
    real("nuclei/dsb2018/stage1_train_fluo_dev.zip")
    scores = f1([tally(local_watershed, item) for item in images(real("nuclei"), "dsb")])
    assert scores[0] >= 0.84
    assert scores.mean() >= 0.6


def test_one_real_image_turned() -> None:
    real("nuclei/aitslab/train")
    plate, img, truth = next(iter(images(real("nuclei"), "train")))
    straight = f1([tally(local_watershed, (plate, img, truth))])
    turned = f1([tally(local_watershed, (plate, np.rot90(img).copy(), np.rot90(truth).copy()))])
    assert straight[0] > 0.85
    assert np.abs(straight - turned).max() <= 0.01
