"""What is spooled is read back as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpuscle.errors import StoreError
from corpuscle.store.packed import TORN, pack, read_part, sound, unpack, write_parts

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.text("abc0189", max_size=3)


@given(parts=st.dictionaries(names, st.binary(max_size=50), max_size=4))
@quick
def test_parts_come_back(parts: dict[str, bytes], tmp_path: Path) -> None:
    write_parts(tmp_path / "a" / "0", parts)
    assert {n: read_part(tmp_path / "a" / "0", n) for n in parts} == parts
    assert read_part(tmp_path / "a" / "0", "none of them") == b""
    assert sound(tmp_path / "a" / "0")


@given(parts=st.dictionaries(names, st.binary(min_size=1, max_size=50), min_size=1, max_size=3), data=st.data())
@quick
def test_no_damage_goes_unseen(parts: dict[str, bytes], data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "0"
    write_parts(path, parts)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    assert not sound(path)
    wrong = 0
    for name, was in parts.items():
        try:
            assert read_part(path, name) == was
        except StoreError as e:
            wrong += e.rule == TORN and str(path) in e.where
    assert wrong


def test_what_is_gone_is_torn_as_well(tmp_path: Path) -> None:
    assert not sound(tmp_path / "0")
    with pytest.raises(StoreError, match="cannot be read back"):
        read_part(tmp_path / "0", "")


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5, 7)])
def test_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable
