from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from corpuscle.errors import FormatError, StoreError
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import aside, head, part, whole


def numbered(shape: tuple[int, ...], lead: int, index: int) -> NDArray[Any]:
    planes: NDArray[Any] = np.arange(np.prod(shape)).reshape((-1, *shape[lead:]))
    return np.asarray(planes[index])


def loaded(path: str, index: int) -> NDArray[Any]:
    return np.asarray(np.load(path, allow_pickle=False))


@given(shape=npst.array_shapes(min_dims=1, max_dims=4, max_side=4), lead=st.integers(0, 3), data=st.data())
def test_it_indexes_as_the_array_does(shape: tuple[int, ...], lead: int, data: st.DataObject) -> None:
    lead = min(lead, len(shape))
    array = np.arange(np.prod(shape)).reshape(shape)
    lazy = pickle.loads(pickle.dumps(Lazy(shape, array.dtype, partial(numbered, shape, lead), lead)))
    key = data.draw(npst.basic_indices(shape, allow_newaxis=False))
    np.testing.assert_array_equal(lazy[key], array[key])
    np.testing.assert_array_equal(np.asarray(lazy), array)


def test_what_is_no_part_is_an_index_error() -> None:
    lazy = Lazy((2, 3), np.dtype("i8"), partial(numbered, (2, 3), 1), 1)
    for key in ((0, 0, 0), ([0, 1],), (2,), (0, -4), "a"):
        with pytest.raises(IndexError):
            lazy[key]


def test_a_file_that_has_changed_is_read_again_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3), "u1"))
    lazy = Lazy((2, 3), np.dtype("u1"), partial(loaded, str(path)), paths=(str(path),))
    first = lazy[...]
    assert not first.flags.writeable
    np.save(path, np.ones((2, 3), "u1"))
    os.utime(path, ns=(1, 1))
    np.testing.assert_array_equal(lazy[...], 1)
    np.save(path, np.ones((2, 4), "u1"))
    with pytest.raises(FormatError, match="file-changed"):
        lazy[...]
    path.unlink()
    with pytest.raises(FormatError, match="file-unreadable"):
        lazy[...]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(StoreError), aside(tmp_path / "a") as temporary:
        (temporary.write_text("half"), (tmp_path / "absent").read_text())
    assert (tmp_path / "a").read_text() == "old"
    with aside(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(StoreError), aside(tmp_path / "absent" / "a"):
        pass


def test_bytes_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    assert (head(tmp_path / "a", 3), part(tmp_path / "a", 8, 9), whole(tmp_path / "a")) == (
        b"012",
        b"89",
        b"0123456789",
    )
    with pytest.raises(FormatError, match="file-large"):
        whole(tmp_path / "a", limit=9)
    for path in (tmp_path, tmp_path / "absent"):
        assert head(path) == b""
        with pytest.raises(FormatError, match="file-unreadable"):
            whole(path)


def test_looking_at_a_file_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"nothing")
    code = (
        "import sys; from corpuscle import formats; from corpuscle.errors import FormatUnknown\n"
        f"try: formats.sniff({str(tmp_path / 'a.bin')!r})\n"
        "except FormatUnknown: pass\n"
        "heavy = {'scipy', 'skimage', 'tifffile', 'PIL', 'tensorstore', 'zarr', 'pyarrow'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
