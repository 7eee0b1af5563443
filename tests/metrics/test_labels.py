from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from corpuscle.core import Graph, Image, Layer, Space, Table
from corpuscle.errors import LayerError
from corpuscle.metrics.boundary import boundary
from corpuscle.metrics.instances import compare, instances
from corpuscle.metrics.pixels import pixels

ONE = np.array([[0, 1], [0, 1]])


def labels(array: NDArray[Any], axes: str = "yx", scale: tuple[float | None, ...] = ()) -> Image:
    return Image(array, Space(axes, scale), labels_of="dna")


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u2"])
def test_every_whole_number_type_is_read(dtype: str) -> None:
    assert instances(labels(ONE.astype(dtype)), labels(ONE)).scores()["f1@.95"] == 1


@pytest.mark.parametrize("metric", [instances, pixels, boundary])
@pytest.mark.parametrize(
    ("guess", "rule"),
    [
        (Image(ONE.astype("f4"), Space("yx")), "labels-intensity"),
        (Image(ONE, Space("yx")), "labels-intensity"),
        (Table({"label": np.array([1])}), "labels-kind"),
        (labels(np.where(ONE > 0, ONE, -1)), "labels-negative"),
        (labels(ONE[:1]), "labels-shape"),
        (labels(ONE, "zy"), "labels-shape"),
        (labels(ONE, scale=(0.65, 1.3)), "labels-scale"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_rule(metric: Any, guess: Layer, rule: str) -> None:
    with pytest.raises(LayerError) as caught:
        metric(labels(ONE, scale=(0.65, 0.65)), guess)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("array", "rule"),
    [(ONE.astype(float), "labels-float"), (ONE > 0, "labels-bool"), (ONE.astype(object), "labels-float")],
)
def test_arrays_that_are_no_labels_are_refused(array: NDArray[Any], rule: str) -> None:
    with pytest.raises(LayerError) as caught:
        compare(array, ONE)
    assert caught.value.rule == rule


def test_an_unknown_pixel_size_is_compared_in_pixels() -> None:
    assert instances(labels(ONE, scale=(0.65, 0.65)), labels(ONE)).n_truth == 1
    assert instances(labels(ONE, scale=(0.65, 0.65)), labels(ONE, scale=(0.6501, 0.65))).n_truth == 1


def test_each_moment_is_an_image_of_its_own_and_each_plane_is_not() -> None:
    stack = np.stack([ONE, ONE, ONE])
    assert instances(labels(stack, "tyx"), labels(stack, "tyx")).n_images == 3
    assert instances(labels(stack, "tyx"), labels(stack, "tyx")).n_truth == 3
    assert instances(labels(stack, "zyx"), labels(stack, "zyx")).n_truth == 1


def test_a_graph_is_no_label_image() -> None:
    with pytest.raises(LayerError, match="is a Graph"):
        instances(Graph(("y", "x"), np.zeros((0, 2)), np.zeros((0, 2), np.int64)), labels(ONE))
