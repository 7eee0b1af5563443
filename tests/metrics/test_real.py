"""Truth against itself, harmed in known ways, on real images: what one pixel of outline is worth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.segmentation import expand_labels
from tests.realdata import real

from corpuscle.metrics.instances import InstanceTally, compare

Labels = NDArray[np.int64]


@pytest.fixture(scope="module")
def dev() -> list[Labels]:
    out = []
    for path in sorted(real("nuclei/aitslab/dev").glob("*_objects.png")):
        with Image.open(path) as picture:
            rgb = np.asarray(picture.convert("RGB")).astype(np.int64)
        out.append(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])
    return out


def eroded(labels: Labels) -> Labels:
    cross = ndimage.generate_binary_structure(2, 1)
    low, high = (f(labels, footprint=cross) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
    return np.where(low == high, labels, 0)


def dilated(by: int) -> Callable[[Labels], Labels]:
    return lambda labels: np.asarray(expand_labels(labels, by))  # type: ignore[no-untyped-call]


def joined(corners: bool) -> Callable[[Labels], Labels]:
    shape = ndimage.generate_binary_structure(2, 2 if corners else 1)
    return lambda labels: np.asarray(ndimage.label(labels > 0, shape)[0])


@pytest.mark.parametrize(
    ("harm", "f1_50", "f1_90", "mean_f1"),
    [
        (eroded, 0.909, 0.712, 0.767),
        (dilated(1), 0.997, 0.771, 0.800),
        (dilated(2), 0.883, 0.019, 0.649),
        (joined(True), 0.977, None, 0.950),
        (joined(False), 0.980, None, 0.955),
        (np.flipud, 0.013, None, 0.006),
        (np.transpose, 0.027, None, 0.009),
        (lambda a: np.roll(a, (1, 1), (0, 1)), 0.960, None, 0.770),
    ],
    ids=["eroded by 1", "dilated by 1", "dilated by 2", "joined 8", "joined 4", "flipped", "transposed", "shifted"],
)
def test_published_sensitivity(
    dev: list[Labels], harm: Callable[[Labels], Labels], f1_50: float, f1_90: float | None, mean_f1: float
) -> None:
    total = sum((compare(t, harm(t)) for t in dev), InstanceTally())
    s = total.scores()
    assert total.n_truth == 375
    assert s["f1@.50"] == pytest.approx(f1_50, abs=0.002)
    assert s["mean_f1"] == pytest.approx(mean_f1, abs=0.002)
    assert f1_90 is None or s["f1@.90"] == pytest.approx(f1_90, abs=0.002)


def test_truth_against_itself_is_perfect_and_flagged(dev: list[Labels]) -> None:
    total = sum((compare(t, t) for t in dev), InstanceTally())
    assert total.scores()["mean_f1"] == 1
    assert total.n_identical == 10
    assert total.sized[:2] == (13, 37)


def test_leaving_out_small_nuclei_caps_f1(dev: list[Labels]) -> None:
    """Objects below 100 px are 14 % of the truth: a filter nobody mentions hides them."""
    total = InstanceTally()
    for t in dev:
        total += compare(t, np.where(np.bincount(t.ravel())[t] < 100, 0, t))
    assert total.scores()["f1@.50"] == pytest.approx(0.929, abs=0.001)
