"""Tables and shapes on disk as Parquet: zstd, with one checksum over all of the file.

Parquet guards its pages at most. A flipped bit in the footer can change a name or a count unseen, and can end the
process: pyarrow 26 dies of some. So a digest of all else lies between the last page and the footer, where no reader
looks, and is held against the bytes before pyarrow sees them.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.shapes import Shape, Shapes
from corpuscle.core.table import Table
from corpuscle.errors import CorpuscleError, FormatError, LayerError, StoreError
from corpuscle.formats import vetted
from corpuscle.store import digest
from corpuscle.store.atomic import write_bytes

Kind = Literal["table", "shapes"]
FORMAT = 1
_KEY = b"corpuscle"
_MARK = bytes.fromhex("c0f1d5a7e08b4b6e9f3b5d2a61c7843e")  # drawn at random
_INFLATION = 100_000


def write_table(table: Table, path: Path) -> None:
    """Write a table; the file appears whole or not at all, and the same table makes the same bytes.

    Raises a LayerError where a column is neither of numbers, booleans nor text, or not one value per row.
    """
    import pyarrow as pa

    arrays, fields = [], []
    for name, values in table.columns.items():
        array = _arrow(name, values, path)
        unit = table.units.get(name)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=None if unit is None else {"unit": unit}))
    about = {"kind": "table", "about": table.about, "rows": len(table)}
    _write(arrays, fields, about, path)


def read_table(path: Path, *, columns: Sequence[str] | None = None, verify: bool = True) -> Table:
    """Read a table, or some of its columns; what other programs wrote is read too.

    Text comes as object arrays of str and None. Whole numbers with gaps, which only others write, come as floats
    with nan.

    Parameters
    ----------
    verify
        Hold the checksum against the bytes first. It is read through once for that.

    Raises
    ------
    FormatError
        It is no Parquet, lacks a column, or holds a type that a table has not.
    StoreError
        It is torn, or its checksum does not fit.
    """
    found, about = _read(path, "table", columns, verify=verify)
    units: dict[str, str] = {}
    values: dict[str, NDArray[Any]] = {}
    for i, f in enumerate(found.schema):
        values[f.name] = _numpy(f.name, found.column(i), path)
        if f.metadata and b"unit" in f.metadata:
            units[f.name] = f.metadata[b"unit"].decode("utf-8", "replace")
    told = about.get("about")
    return Table(values, units, told if isinstance(told, str) else None)


def write_shapes(shapes: Shapes, path: Path) -> None:
    """Write shapes, one row each; masks as bits. The file appears whole or not at all.

    Raises a LayerError where flags hold what JSON has no word for.
    """
    import pyarrow as pa

    flags = [None if not s.flags else digest.canonical(s.flags).decode("ascii") for s in shapes]
    columns: dict[str, Any] = {
        "kind": pa.array([s.kind for s in shapes], pa.string()),
        "vertices": pa.array([s.vertices.ravel() for s in shapes], pa.list_(pa.float64())),
        **{k: _strings(k, [getattr(s, k) for s in shapes], path) for k in ("label", "name", "identity", "group")},
        "flags": pa.array(flags, pa.string()),
        "mask_shape": pa.array([None if s.mask is None else list(s.mask.shape) for s in shapes], pa.list_(pa.int64())),
        "mask": pa.array(
            [None if s.mask is None else np.packbits(s.mask).tobytes() for s in shapes], pa.large_binary()
        ),
    }
    about = {"kind": "shapes", "axes": list(shapes.axes), "frame": shapes.frame}
    _write(list(columns.values()), [pa.field(k, v.type) for k, v in columns.items()], about, path)


def read_shapes(path: Path, *, verify: bool = True) -> Shapes:
    """Read shapes that `write_shapes` wrote; errors as of `read_table`."""
    found, about = _read(path, "shapes", None, verify=verify)
    axes = [vetted.text(a, "an axis", path) for a in vetted.items(about.get("axes"), "axes", path)]
    try:
        items = tuple(_shape(row, len(axes)) for row in found.to_pylist())
        return Shapes(tuple(axes), items, vetted.text(about.get("frame"), "frame", path))
    except _damage(LayerError, TypeError) as e:
        message = e.message if isinstance(e, CorpuscleError) else str(e)
        raise FormatError(f"holds no shapes: {message[:200]}", where=path, rule="parquet-shapes") from e


def kind(path: Path) -> Kind:
    """Whether a file holds a table or shapes, from its footer."""
    with _opened(path, verify=True) as file:
        return "shapes" if _about(file.schema_arrow.metadata, path).get("kind") == "shapes" else "table"


def _shape(row: Mapping[str, Any], n: int) -> Shape:
    vertices = np.array(row["vertices"], np.float64).reshape(-1, n)
    mask = None
    if row["mask"] is not None:
        shape = row["mask_shape"]
        size = int(np.prod(shape, dtype=object))
        if min(shape, default=0) < 0 or len(row["mask"]) != (size + 7) // 8:
            raise ValueError(f"{len(row['mask'])} bytes for a mask of {shape}")
        mask = np.unpackbits(np.frombuffer(row["mask"], np.uint8), count=size).astype(bool).reshape(shape)
    flags = json.loads(row["flags"]) if row["flags"] else {}
    return Shape(row["kind"], vertices, row["label"], row["name"], row["identity"], row["group"], flags, mask)


def _write(arrays: list[Any], fields: list[Any], about: Mapping[str, Any], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {_KEY: digest.canonical({"format": FORMAT, **about})}
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", compression_level=3, write_page_checksum=True)
    data = out.getbuffer()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    write_bytes(path, b"".join([data[:footer], _MARK, hashlib.sha256(data).digest(), data[footer:]]))


def _opened(path: Path, *, verify: bool) -> Any:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FormatError("there is no such file", where=path, rule="parquet-missing")
    size = path.stat().st_size
    if size and verify:
        _verify(path)
    try:
        file = pq.ParquetFile(
            path,
            page_checksum_verification=True,
            thrift_string_size_limit=64 << 20,
            thrift_container_size_limit=1 << 20,
        )
    except _damage() as e:
        raise _damaged(path, e) from e
    meta = file.metadata
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    claimed = [g.column(c).total_uncompressed_size for g in groups for c in range(g.num_columns)]
    if any(c < 0 for c in claimed) or sum(claimed) > size * _INFLATION or meta.num_rows > 2**40:
        file.close()
        raise FormatError(f"claims {sum(claimed)} bytes in {size}", where=path, rule="parquet-size")
    return file


def _read(path: Path, wanted: Kind, columns: Sequence[str] | None, *, verify: bool) -> tuple[Any, dict[str, Any]]:
    with _opened(path, verify=verify) as file:
        names = file.schema_arrow.names
        about = _about(file.schema_arrow.metadata, path)
        if about.get("kind", "table") != wanted:
            raise FormatError(f"holds {about['kind']}, not {wanted}", where=path, rule="parquet-kind")
        if missing := sorted(set(columns or ()) - set(names)):
            raise FormatError(f"no columns {missing}, only {names}", where=path, rule="column-missing")
        if len(set(names)) != len(names):
            raise FormatError("two columns of one name", where=path, rule="parquet-columns")
        try:
            return file.read(columns=None if columns is None else list(columns), use_threads=False), about
        except _damage() as e:
            raise _damaged(path, e) from e


def _about(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    if not metadata or _KEY not in metadata:
        return {}
    try:
        return vetted.mapping(json.loads(metadata[_KEY]), "its metadata", path)
    except (ValueError, RecursionError) as e:
        raise StoreError("its metadata is damaged", where=path, rule="parquet-corrupt") from e


def _verify(path: Path) -> None:
    """Hold the digest, where there is one, against all else in the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(_MARK)
        if at < 0:
            return
        after = at + len(_MARK) + 32
        rest = hashlib.sha256()
        with memoryview(data) as view, view[:at] as head, view[after:] as tail:
            rest.update(head)
            rest.update(tail)
        fits = data[after - 32 : after] == rest.digest()
    if not fits:
        raise StoreError(
            "it is not what was written: the checksum differs",
            where=path,
            fix="restore it, or build it again",
            rule="parquet-corrupt",
        )


def _damage(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What pyarrow raises when it meets bytes that it cannot make sense of."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, KeyError, IndexError, *more)


def _damaged(path: Path, e: BaseException) -> StoreError:
    reason = " ".join(str(e).split())[:200]
    return StoreError(f"cannot be read back: {reason}", where=path, fix="it is torn or damaged", rule="parquet-corrupt")


def _arrow(name: str, values: NDArray[Any], path: Path) -> Any:
    import pyarrow as pa

    if values.ndim != 1 or values.dtype.kind not in "biufOUT" or values.dtype.name == "float128":
        raise LayerError(f"column {name!r} is {values.dtype} of {values.shape}", where=path, rule="table-dtype")
    if values.dtype.kind in "OUT":
        return _strings(name, values.tolist(), path)
    return pa.array(values.astype(values.dtype.newbyteorder("="), copy=False))


def _strings(name: str, values: Sequence[object], path: Path) -> Any:
    import pyarrow as pa

    odd = next((v for v in values if v is not None and not isinstance(v, str)), None)
    if odd is not None:
        raise LayerError(f"column {name!r} holds {odd!r:.80} among its text", where=path, rule="table-dtype")
    try:
        return pa.array(values, pa.string())
    except _damage() as e:
        raise LayerError(f"column {name!r} holds text that is no Unicode", where=path, rule="table-dtype") from e


def _numpy(name: str, column: Any, path: Path) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
            out = np.empty(len(column), object)
            out[:] = column.to_pylist()
            return out
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            if column.null_count and not pa.types.is_floating(kind):
                column = column.cast(pa.float64())
            return np.array(column.to_numpy())
    except _damage() as e:
        raise _damaged(path, e) from e
    raise FormatError(f"column {name!r} is {kind}, which no table has", where=path, rule="parquet-type")
