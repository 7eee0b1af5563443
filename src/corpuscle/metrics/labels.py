"""Label layers as arrays that may be compared, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Image, Layer
from corpuscle.core.space import SPATIAL
from corpuscle.errors import LayerError

SAME_SCALE = 1e-3


def pairs(truth: Layer, guess: Layer) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The label arrays of two layers, one pair per index along the axes that are not z, y or x.

    Raises LayerError where a layer is no label image, or the two do not lie on one grid: other
    shape, other axes, or pixel sizes that are both known and differ by more than 0.1 %.
    """
    t, g = _labels(truth, "truth"), _labels(guess, "guess")
    if t.space.axes != g.space.axes or t.shape != g.shape:
        raise _shapes(f"{''.join(t.space.axes)} {t.shape}", f"{''.join(g.space.axes)} {g.shape}")
    for axis, a, b in zip(t.space.axes, t.space.scale, g.space.scale, strict=True):
        if a is not None and b is not None and abs(a - b) > SAME_SCALE * a:
            raise LayerError(
                f"the pixel size along {axis} is {a:g} in the truth and {b:g} in the guess",
                fix="score on the grid of the truth, at full resolution",
                rule="labels-scale",
            )
    each = [range(n) if a not in SPATIAL else (None,) for a, n in zip(t.space.axes, t.shape, strict=True)]
    for index in product(*each):
        cut = tuple(slice(None) if i is None else i for i in index)
        yield np.asarray(t.array[cut]), np.asarray(g.array[cut])


def check(truth: NDArray[Any], guess: NDArray[Any]) -> None:
    """Raises LayerError unless both are label arrays of one shape: whole numbers, background 0, none below."""
    for name, array in (("truth", truth), ("guess", guess)):
        if array.dtype.kind == "b":
            raise LayerError(
                f"the {name} is a mask of True and False, in which touching objects are one",
                fix="number the objects first",
                rule="labels-bool",
            )
        if array.dtype.kind not in "iu":
            raise LayerError(
                f"the labels of the {name} are {array.dtype}, not whole numbers",
                fix="never interpolate labels; resize them with order 0",
                rule="labels-float",
            )
        if array.dtype.kind == "i" and array.size and (low := int(array.min())) < 0:
            raise LayerError(
                f"the {name} has the label {low}: labels are positive and background is 0",
                fix="set the background to 0",
                rule="labels-negative",
            )
    if truth.shape != guess.shape:
        raise _shapes(str(truth.shape), str(guess.shape))


def _labels(layer: Layer, name: str) -> Image:
    if not isinstance(layer, Image):
        raise LayerError(f"the {name} is a {type(layer).__name__}, not a label image", rule="labels-kind")
    if not layer.is_labels:
        raise LayerError(
            f"the {name} is an image of intensities: it names no image whose objects it numbers",
            fix="set labels_of where it truly holds labels",
            rule="labels-intensity",
        )
    return layer


def _shapes(truth: str, guess: str) -> LayerError:
    return LayerError(
        f"the truth is {truth} and the guess {guess}",
        fix="score on the grid of the truth, at full resolution",
        rule="labels-shape",
    )
