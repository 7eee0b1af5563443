"""Tables and shapes come back from Parquet exactly, and no change to a file goes unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpuscle.core import Shape, Shapes, Table
from corpuscle.errors import FormatError, LayerError, StoreError
from corpuscle.store import parquet
from corpuscle.store.digest import of_shapes, of_table

quick = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4", "str"]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    n = draw(st.integers(0, 6))
    columns: dict[str, NDArray[Any]] = {}
    for name in draw(st.lists(TEXT, unique=True, max_size=5)):
        dtype = draw(st.sampled_from(DTYPES))
        if dtype == "str":
            columns[name] = np.array([*draw(st.lists(TEXT | st.none(), min_size=n, max_size=n)), None], object)[:-1]
        else:
            values = np.random.default_rng(n).integers(0, 100, n).astype(dtype)
            if values.dtype.kind == "f" and n:
                values[draw(st.integers(0, n - 1))] = draw(st.sampled_from([np.nan, np.inf, -0.0]))
            columns[name] = values
    units = {k: draw(st.sampled_from(["um", "px2"])) for k in columns if draw(st.booleans())}
    return Table(columns, units, draw(st.none() | st.just("nuclei")))


@quick
@given(table=tables())
def test_a_table_comes_back(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(table, path)
    found = parquet.read_table(path)
    assert list(found.columns) == list(table.columns)
    assert (found.units, found.about) == (table.units, table.about)
    assert of_table(found) == of_table(table)
    assert {k: v.dtype.newbyteorder("=") for k, v in table.columns.items()} == {
        k: v.dtype for k, v in found.columns.items()
    }
    assert parquet.kind(path) == "table"
    before = path.read_bytes()
    parquet.write_table(found, path)
    assert path.read_bytes() == before


@st.composite
def drawn(draw: st.DrawFn) -> Shapes:
    axes = draw(st.sampled_from(["yx", "zyx"]))
    items: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(["box", "polygon", "line", "point", "mask"]), max_size=5)):
        n = {"box": 2, "point": 1, "mask": 1}.get(kind, draw(st.integers(3, 5)))
        numbers = st.floats(allow_nan=False, allow_infinity=False)
        vertices = draw(st.lists(numbers, min_size=n * len(axes), max_size=n * len(axes)))
        mask = None
        if kind == "mask":
            shape = draw(st.tuples(*[st.integers(0, 5)] * len(axes)))
            mask = np.random.default_rng(n).random(shape) < 0.5
        names = [draw(st.none() | TEXT) for _ in range(3)]
        flags = draw(
            st.dictionaries(TEXT, st.none() | st.booleans() | st.floats() | TEXT | st.lists(st.integers()), max_size=2)
        )
        told = dict(zip(("name", "identity", "group"), names, strict=True))
        items.append(Shape(kind, np.array(vertices).reshape(n, -1), draw(TEXT), flags=flags, mask=mask, **told))  # type: ignore[arg-type]
    return Shapes(tuple(axes), tuple(items), draw(st.sampled_from(["image", "stage"])))


@quick
@given(shapes=drawn())
def test_shapes_come_back(shapes: Shapes, tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    parquet.write_shapes(shapes, path)
    found = parquet.read_shapes(path)
    assert (found.axes, found.frame, len(found)) == (shapes.axes, shapes.frame, len(shapes))
    assert of_shapes(found) == of_shapes(shapes)
    for a, b in zip(found, shapes, strict=True):
        assert (a.kind, a.label, a.name, a.identity, a.group) == (b.kind, b.label, b.name, b.identity, b.group)
        assert a.vertices.tobytes() == b.vertices.tobytes()
        assert (a.mask is None) == (b.mask is None)
        assert a.mask is None or np.array_equal(a.mask, np.asarray(b.mask))
    assert parquet.kind(path) == "shapes"


def table() -> Table:
    names = np.array(["ü", None, "c" * 100], object)
    return Table({"label": np.arange(3), "area": np.array([1.5, np.nan, 3]), "name": names}, {"area": "um2"}, "nuclei")


def test_some_columns_in_their_order(tmp_path: Path) -> None:
    parquet.write_table(table(), tmp_path / "t")
    found = parquet.read_table(tmp_path / "t", columns=["area", "label"])
    assert set(found.columns) == {"label", "area"}
    assert found.units == {"area": "um2"}
    with pytest.raises(FormatError, match="no columns"):
        parquet.read_table(tmp_path / "t", columns=["nope"])


CHILD = """
import sys
from pathlib import Path
from corpuscle.errors import CorpuscleError
from corpuscle.store import parquet
from corpuscle.store.digest import of_table, of_shapes
path, what = Path(sys.argv[1]), sys.argv[2]
read, of = (parquet.read_table, of_table) if what == "table" else (parquet.read_shapes, of_shapes)
data = path.read_bytes()
good, unseen = of(read(path)), 0
step = int(sys.argv[3])
for at in range(0, len(data), step):
    for bits in (1, 0x80, 0xFF):
        path.write_bytes(data[:at] + bytes([data[at] ^ bits]) + data[at + 1:])
        try:
            assert of(read(path)) == good, at
            unseen += 1
        except CorpuscleError:
            pass
for length in range(0, len(data), step):
    path.write_bytes(data[:length])
    try:
        read(path)
        raise AssertionError(length)
    except CorpuscleError:
        pass
print(unseen, len(data) // step * 3)
"""


@pytest.mark.parametrize("what", ["table", "shapes"])
def test_a_flip_or_a_tear_is_an_error_or_changes_nothing(what: str, tmp_path: Path) -> None:
    """In a process of its own, for a reader in C++ might not live to tell."""
    if what == "table":
        parquet.write_table(table(), tmp_path / "t")
    else:
        mask = Shape("mask", np.zeros((1, 2)), "m", mask=np.eye(9, dtype=bool))
        parquet.write_shapes(
            Shapes(("y", "x"), (mask, Shape("point", np.ones((1, 2)), flags={"a": 1}))), tmp_path / "t"
        )
    command = [sys.executable, "-c", CHILD, str(tmp_path / "t"), what, "19"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 0, run.stderr[-2000:]
    unseen, tried = map(int, run.stdout.split())
    assert unseen <= 3 * 2, "only the mark of the digest may change, for then nothing else has"
    assert tried > 150


def test_what_others_wrote(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([1, None, 3]),
        "b": pa.array([True, None, False]),
        "s": pa.array(["a", None, "a"]).dictionary_encode(),
        "f": pa.array([1.0, None, 2.0], pa.float32()),
        "n": pa.nulls(3),
    }
    pq.write_table(pa.table(columns), tmp_path / "t")
    found = parquet.read_table(tmp_path / "t")
    assert np.array_equal(found["i"], [1, np.nan, 3], equal_nan=True)
    assert np.array_equal(found["b"], [1, np.nan, 0], equal_nan=True)
    assert found["s"].tolist() == ["a", None, "a"]
    assert found["f"].dtype == np.float32
    assert found["n"].tolist() == [None] * 3
    assert parquet.kind(tmp_path / "t") == "table"


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}], [b"x"]])
def test_types_that_no_table_has(values: list[Any], tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": values}), tmp_path / "t")
    with pytest.raises(FormatError, match="which no table has"):
        parquet.read_table(tmp_path / "t")


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2)), np.zeros(2, "c8"), np.array([1, "a"], object), np.zeros(2, "M8[s]")]
)
def test_columns_that_cannot_be_written(values: NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="column 'a'"):
        parquet.write_table(Table({"a": values}), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_no_shapes(tmp_path: Path) -> None:
    parquet.write_table(table(), tmp_path / "t")
    parquet.write_shapes(Shapes(("y", "x")), tmp_path / "s")
    with pytest.raises(FormatError, match="not shapes"):
        parquet.read_shapes(tmp_path / "t")
    with pytest.raises(FormatError, match="not table"):
        parquet.read_table(tmp_path / "s")
    with pytest.raises(FormatError, match="no such file"):
        parquet.read_table(tmp_path / "absent")
    (tmp_path / "x").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="cannot be read back"):
        parquet.read_table(tmp_path / "x")
