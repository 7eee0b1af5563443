"""Connected components: the laws that say what they are, then known answers, then other people's, then bad input."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.errors import LayerError, SettingsError
from corpuscle.kernels.components import CONNECTIVITY, components

FACES = {2: 1, 4: 1, 8: 2, 6: 1, 18: 2, 26: 3}
"""In at most how many axes two neighbours may differ."""
DTYPES = ["?", "u1", "i4", ">i4", "u8"]


@st.composite
def volumes(draw: st.DrawFn) -> tuple[NDArray[Any], int]:
    ndim = draw(st.integers(1, 3))
    # Rows are looked at 64 voxels at a time.
    shape = (*draw(st.lists(st.integers(1, 6), min_size=ndim - 1, max_size=ndim - 1)),
             draw(st.integers(1, 9) | st.sampled_from([63, 64, 65, 127, 129, 200])))  # fmt: skip
    kinds, filled = draw(st.integers(1, 4)), draw(st.floats(0, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(1, kinds, shape, endpoint=True) * (rng.random(shape) < filled)
    return values.astype(draw(st.sampled_from(DTYPES))), draw(st.sampled_from(CONNECTIVITY[ndim]))


def reference(values: NDArray[Any], connectivity: int) -> NDArray[np.int64]:
    """Each value by itself, numbered together by first voxel."""
    structure = ndimage.generate_binary_structure(values.ndim, FACES[connectivity])
    out = np.zeros(values.shape, np.int64)
    for value in np.unique(values[values != 0]):
        found, _ = ndimage.label(values == value, structure)
        out[found > 0] = found[found > 0] + out.max()
    return by_first_voxel(out)


def by_first_voxel(labels: NDArray[Any]) -> NDArray[np.int64]:
    ids, first = np.unique(labels.ravel(), return_index=True)
    rank = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
    objects = ids[np.argsort(first)]
    objects = objects[objects != 0]
    rank[objects] = np.arange(1, len(objects) + 1)
    numbered: NDArray[np.int64] = rank[labels]
    return numbered


@settings(max_examples=400)
@given(volumes())
def test_components_are_those_of_the_reference_numbered_by_first_voxel(case: tuple[NDArray[Any], int]) -> None:
    values, connectivity = case
    labels, count = components(values, connectivity=connectivity)
    expected = reference(values, connectivity)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, expected)
    assert count == expected.max(initial=0)


@settings(max_examples=100)
@given(volumes())
def test_components_of_components_are_themselves(case: tuple[NDArray[Any], int]) -> None:
    labels, count = components(case[0], connectivity=case[1])
    again, same = components(labels, connectivity=case[1])
    assert np.array_equal(labels, again)
    assert count == same


@settings(max_examples=100)
@given(volumes(), st.randoms())
def test_an_array_in_any_layout_in_memory_gives_the_same(case: tuple[NDArray[Any], int], random: Any) -> None:
    values, connectivity = case
    wide = np.zeros([2 * n + 3 for n in values.shape], values.dtype)
    inner = wide[tuple(slice(2, 2 + 2 * n, 2) for n in values.shape)]
    inner[...] = values
    expected = components(values, connectivity=connectivity)[0]
    assert np.array_equal(components(inner, connectivity=connectivity)[0], expected)
    assert np.array_equal(components(np.asfortranarray(values), connectivity=connectivity)[0], expected)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_two_voxels_are_joined_where_the_connectivity_says_so(ndim: int) -> None:
    """Every pair of places in a small cube, for every connectivity."""
    places = list(product(range(3), repeat=ndim))
    for connectivity, a, b in product(CONNECTIVITY[ndim], places, places):
        mask = np.zeros((3,) * ndim, bool)
        mask[a] = mask[b] = True
        away = [abs(i - j) for i, j in zip(a, b, strict=True)]
        joined = max(away) <= 1 and sum(away) <= FACES[connectivity]
        assert components(mask, connectivity=connectivity)[1] == (1 if joined else 2)


def test_a_spiral_is_one_and_what_lies_in_its_gap_another() -> None:
    mask = np.zeros((65, 200), bool)
    top, left, bottom, right = 0, 0, 64, 198
    while bottom - top > 8:
        mask[top, left:right], mask[top : bottom + 1, right - 1], mask[bottom, left + 4 : right] = True, True, True
        mask[top + 4 : bottom + 1, left + 4] = True
        mask[top + 4, left + 4 : right - 4] = True
        top, left, bottom, right = top + 4, left + 4, bottom - 4, right - 4
    mask[30, 180] = False
    expected, n = ndimage.label(mask)
    labels, count = components(mask, connectivity=4)
    assert count == n
    assert np.array_equal(labels, by_first_voxel(expected))


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("filled", [0.08, 0.3, 0.7])
def test_a_volume_of_noise_is_as_cc3d_has_it(connectivity: int, filled: float) -> None:
    cc3d = pytest.importorskip("cc3d")
    mask = np.random.default_rng(3).random((60, 70, 130)) < filled
    expected, n = cc3d.connected_components(mask, connectivity=connectivity, return_N=True)
    labels, count = components(mask, connectivity=connectivity)
    assert count == n
    assert np.array_equal(labels, by_first_voxel(np.ascontiguousarray(expected)))


def test_nothing_has_no_components() -> None:
    assert components(np.zeros((4, 5, 6), bool), connectivity=26)[1] == 0
    empty, count = components(np.zeros((0, 5), np.uint8), connectivity=8)
    assert (empty.shape, count) == ((0, 5), 0)


def test_what_is_given_is_left_as_it_was() -> None:
    values = np.random.default_rng(0).integers(0, 3, (5, 6, 70))
    before = values.copy()
    values.flags.writeable = False
    components(values, connectivity=18)
    assert np.array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "connectivity", "error", "rule"),
    [
        (np.zeros((3, 3)), 8, LayerError, "components-type"),
        (np.zeros((3, 3), "M8[s]"), 8, LayerError, "components-type"),
        (np.zeros((2, 2, 2, 2), bool), 26, LayerError, "components-axes"),
        (np.bool_(True), 4, LayerError, "components-axes"),
        (np.zeros((3, 3), bool), 26, SettingsError, "connectivity"),
        (np.zeros((3, 3, 3), bool), 8, SettingsError, "connectivity"),
    ],
)
def test_what_has_no_components_is_refused(values: Any, connectivity: int, error: type[Exception], rule: str) -> None:
    with pytest.raises(error) as e:
        components(values, connectivity=connectivity)
    assert getattr(e.value, "rule", "") == rule
