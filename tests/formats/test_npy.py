from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.errors import FormatError
from corpuscle.formats import npy


def stored(array: Any, **how: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), **how)
    return stream.getvalue()


@given(
    dtype=st.sampled_from(["u1", ">u2", "<i4", ">f8", "c8", "?", "f2"]),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_every_array_of_numbers_is_read(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: list[int], fortran: bool, version: tuple[int, int]
) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path.write_bytes(stored(np.asfortranarray(array) if fortran else array, version=version))
    image = npy.read(path).image("raw")
    assert image.dtype == array.dtype.newbyteorder("=")
    assert "".join(image.space.axes) == "tczyx"[-len(shape) :]
    np.testing.assert_array_equal(image.read(), array)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (stored(np.array([{"a": 1}], object), allow_pickle=True), "npy-pickle"),
        (stored(np.zeros((2, 2), [("a", "O"), ("b", "i4")]), allow_pickle=True), "npy-pickle"),
        (stored(np.zeros((2, 2), [("a", "f4"), ("b", "i4")])), "npy-dtype"),
        (stored(np.zeros((2, 2), "U3")), "npy-dtype"),
        (stored(np.zeros((2, 2), "M8[s]")), "npy-dtype"),
        (stored(np.zeros(3)), "npy-axes"),
        (stored(np.zeros((1,) * 6)), "npy-axes"),
        (stored(np.zeros((0, 3))), "npy-axes"),
        (stored(np.zeros((3, 3)))[:-1], "npy-truncated"),
        (stored(np.zeros((3, 3)))[:20], "npy-header"),
        (stored(np.zeros((3, 3)))[:9], "npy-header"),
        (stored(np.zeros((3, 3))).replace(b"(3, 3)", b"(3,-3)"), "npy-axes"),
        (stored(np.zeros((3, 3))).replace(b"(3, 3)", b"9**9,3"), "npy-header"),
        (stored(np.zeros((3, 3))).replace(b"'<f8'", b"'<f9'"), "npy-dtype"),
        (stored(np.zeros((30000, 3), "u1")).replace(b"(30000, 3)", b"(3e9,333)"), "npy-header"),
        (stored(np.zeros((3, 3))).replace(b"(3, 3), }" + b" " * 8, b"(60000, 600000), }"[:17]), "npy-header"),
        (b"\x93NUMPY\x01\x00\xff\x0f" + b"(" * 4000, "npy-header"),
        (b"NUMPY", "npy-magic"),
    ],
)
def test_anything_else_is_refused_by_rule(data: bytes, rule: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(FormatError) as e:
        npy.read(tmp_path / "a.npy")
    assert e.value.rule == rule


def test_a_claim_that_the_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (60000, 60000), }"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(100))
    with pytest.raises(FormatError, match="npy-truncated"):
        npy.read(tmp_path / "a.npy")
