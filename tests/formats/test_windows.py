"""A window onto a raw file is what a slice of the whole would be."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from corpuscle.errors import FormatError
from corpuscle.formats import windows
from corpuscle.formats.windows import Window

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    shape=npst.array_shapes(min_dims=1, max_dims=4, max_side=9),
    dtype=st.sampled_from(["u1", "<u2", ">u2", "<f8", ">i4"]),
    start=st.sampled_from([0, 1, 4095, 5000]),
    run=st.sampled_from([1, 40, 1 << 16]),
    mapped=st.sampled_from([1, 64, 1 << 20]),
    data=st.data(),
)
@quick
def test_it_slices_as_numpy_does(
    shape: tuple[int, ...], dtype: str, start: int, run: int, mapped: int, data: st.DataObject, tmp_path: Path
) -> None:
    whole = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    (tmp_path / "raw").write_bytes(b"#" * start + whole.tobytes())
    order = data.draw(st.sampled_from([(), tuple(range(len(shape)))[::-1]]))
    window = pickle.loads(pickle.dumps(Window(str(tmp_path / "raw"), shape, dtype, start, order)))
    seen = whole.transpose(order) if order else whole
    key = data.draw(npst.basic_indices(seen.shape, allow_newaxis=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "RUN", run)
        patch.setattr(windows, "MAPPED", mapped)
        got = window[key]
    assert (window.shape, window.dtype) == (seen.shape, seen.dtype)
    np.testing.assert_array_equal(got, seen[key])


def test_it_holds_nothing_of_the_file(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 99, (4, 300, 400)).astype("u2")
    (tmp_path / "raw").write_bytes(whole.tobytes())
    got = Window(str(tmp_path / "raw"), whole.shape, "<u2")[1:3, 10:200, 7:90]
    (tmp_path / "raw").unlink()
    np.testing.assert_array_equal(got, whole[1:3, 10:200, 7:90])


@pytest.mark.parametrize("key", [(0,), (slice(None), slice(3, 5))])
def test_a_file_that_was_cut_is_refused(key: Any, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(40))
    with pytest.raises(FormatError, match="file-changed"):
        Window(str(tmp_path / "raw"), (6, 8), "u1")[key]
    with pytest.raises(FormatError, match="file-changed"):
        Window(str(tmp_path / "gone"), (6, 8), "u1")[key]
