"""Coarser levels: the mean of what there is, the commonest label, and the same however the image is cut."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.core import Space
from corpuscle.core.pyramid import downsample, factors

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@st.composite
def cases(draw: st.DrawFn, *, labels: bool) -> tuple[NDArray[Any], tuple[int, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    step = tuple(draw(st.sampled_from([1, 2, *([3] if labels else [])])) for _ in shape)
    dtype = np.dtype(draw(st.sampled_from(DTYPES[1:] if labels else DTYPES)))
    n = int(np.prod(shape))
    if dtype.kind == "b":
        values: st.SearchStrategy[Any] = st.booleans()
    else:
        info: Any = np.iinfo(dtype.type)
        ends = st.sampled_from([info.min, info.max, info.max - 1, 0])
        values = st.integers(0, 3) if labels else st.integers(int(info.min), int(info.max)) | ends
    return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype).reshape(shape), step


def blocks(pixels: NDArray[Any], step: tuple[int, ...]) -> NDArray[Any]:
    """The values under each coarser pixel, as an object array of lists."""
    out = np.empty([-(-n // f) for n, f in zip(pixels.shape, step, strict=True)], object)
    for at in np.ndindex(out.shape):
        where = tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, step, strict=True))
        out[at] = pixels[where].ravel().tolist()
    return out


@settings(deadline=None)
@given(cases(labels=False))
def test_intensities_are_the_mean_of_what_there_is(case: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    pixels, step = case
    found = downsample(pixels, step, labels=False)
    assert found.dtype == pixels.dtype
    for at, values in np.ndenumerate(blocks(pixels, step)):
        assert int(found[at]) == round(Fraction(sum(map(int, values)), len(values)))


@settings(deadline=None)
@given(cases(labels=True))
def test_labels_are_the_commonest_and_ties_go_to_the_smallest_object(
    case: tuple[NDArray[Any], tuple[int, ...]],
) -> None:
    pixels, step = case
    if any(n % f for n, f in zip(pixels.shape, step, strict=True)):
        pixels = np.pad(pixels, [(0, -n % f) for n, f in zip(pixels.shape, step, strict=True)], mode="edge")
    found = downsample(pixels, step, labels=True)
    assert found.dtype == pixels.dtype
    for at, values in np.ndenumerate(blocks(pixels, step)):
        votes = Counter(values)
        best = [v for v, n in votes.items() if n == max(votes.values())]
        assert found[at] == min(best, key=lambda v: (v == 0, v))


@settings(deadline=None)
@given(st.booleans().flatmap(lambda labels: st.tuples(st.just(labels), cases(labels=labels))), st.data())
def test_the_cut_into_blocks_does_not_matter(case: Any, data: st.DataObject) -> None:
    labels, (pixels, step) = case
    whole = downsample(pixels, step, labels=labels)
    start = [data.draw(st.integers(0, n - 1)) for n in whole.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, whole.shape, strict=True)]
    under = tuple(slice(a * f, b * f) for a, b, f in zip(start, stop, step, strict=True))
    part = downsample(pixels[under], step, labels=labels)
    assert (part == whole[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]).all()


def test_floats() -> None:
    found = downsample(np.array([[1.0, 2.0, 4.0], [np.nan, 2.0, 8.0]], "f4"), (1, 2), labels=False)
    assert found.dtype == np.float32
    assert np.array_equal(found, [[1.5, 4.0], [np.nan, 8.0]], equal_nan=True)
    assert downsample(np.full((2, 2), 60000, "f2"), (2, 2), labels=False).tolist() == [[60000.0]]


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="halves at most"):
        downsample(np.zeros((4, 4)), (3, 1), labels=False)
    with pytest.raises(ValueError, match="cannot average"):
        downsample(np.zeros((4, 4), "c8"), (2, 2), labels=False)


@settings(deadline=None)
@given(
    st.sampled_from(["yx", "zyx", "tczyx"]).flatmap(
        lambda axes: st.tuples(
            st.just(axes),
            st.tuples(*[st.integers(1, 10**6)] * len(axes)),
            st.tuples(*[st.none() | st.floats(1e-3, 1e3)] * len(axes)),
        )
    )
)
def test_levels_end_and_none_is_in_vain(case: Any) -> None:
    axes, shape, scale = case
    space = Space(axes, [s if a in "zyx" else None for a, s in zip(axes, scale, strict=True)])
    steps = factors(space, shape)
    assert len(steps) <= 32
    size = shape
    for step in steps:
        assert any(size[i] > 256 for i in space.spatial)
        assert all(f == 1 or (f == 2 and axes[i] in "zyx" and size[i] > 1) for i, f in enumerate(step))
        assert any(f == 2 for f in step)
        size = tuple(-(-n // f) for n, f in zip(size, step, strict=True))
    assert all(size[i] <= 256 for i in space.spatial)


@pytest.mark.parametrize(
    ("space", "shape", "steps"),
    [
        (Space("yx"), (256, 256), []),
        (Space("yx"), (512, 512), [(2, 2)]),
        (Space("cyx"), (3, 257, 1), [(1, 2, 1)]),
        (Space("zyx", (2.0, 0.5, 0.5)), (512, 2048, 2048), [(1, 2, 2), (1, 2, 2), (2, 2, 2)]),
        (Space("zyx", (None, 0.5, 0.5)), (300, 512, 512), [(2, 2, 2)]),
        (Space("zyx", (10.0, 0.1, 0.1)), (1000, 100, 100), [(1, 2, 2), (2, 2, 2), (2, 2, 2)]),
    ],
)
def test_levels_of(space: Space, shape: tuple[int, ...], steps: list[tuple[int, ...]]) -> None:
    assert factors(space, shape) == steps
