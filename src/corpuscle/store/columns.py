"""Columns of numbers and of text as Zarr v3 arrays of their own: in long chunks, each with its checksum."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import FormatError, LayerError, StoreError
from corpuscle.formats import vetted
from corpuscle.formats.pyramids import put
from corpuscle.formats.shards import LEVEL, chunk
from corpuscle.formats.zarrays import open_array

ROWS = 1 << 17
TEXT_BYTES = 1 << 28


def write_column(folder: Path, values: NDArray[Any]) -> str:
    """Write an array, cut along its first axis; returns its type in the words of GEFF.

    Text is written as UTF-32 of one length, as the geff library does, whose validator takes nothing else. Raises a
    LayerError where that would take more than 256 MB, or the text ends in a null, which would not come back.
    """
    if text := values.dtype.kind in "OUT":
        values = _text(folder, values)
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    shape = values.shape
    rows = (max(1, min(ROWS, shape[0])), *(max(1, n) for n in shape[1:]))
    put(folder / "zarr.json", (json.dumps(_metadata(shape, rows, values.dtype), indent=1) + "\n").encode())
    for at in range(0, shape[0] if values.size else 0, rows[0]):
        part = values[at : at + rows[0]]
        data = _packed_text(part, rows) if text else chunk(part, rows, labels=False)
        key = "/".join(["c", str(at // rows[0]), *["0"] * (len(shape) - 1)])
        put(folder / key, data + struct.pack("<I", google_crc32c.value(data)))
    return "str" if text else values.dtype.name


def read_column(folder: Path, *, whole: bool) -> NDArray[Any]:
    """Read an array of numbers, or of text as an object array of str.

    Parameters
    ----------
    whole
        Every chunk must be there; else one that is not stands for zeros, as Zarr has it.

    Raises
    ------
    FormatError
        There is no array, or none of numbers or text.
    StoreError
        A chunk is missing or damaged.
    """
    kind = _kind(folder)
    if whole:
        _all_there(folder)
    if kind in ("string", "fixed_length_utf32") or (isinstance(kind, str) and kind[:2] in ("<U", ">U", "|O")):
        return _read_text(folder)
    return open_array(folder)[...]


def _metadata(shape: tuple[int, ...], rows: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    fill: Any = False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0
    data_type: Any = dtype.name
    squeeze: dict[str, Any] = {
        "name": "blosc",
        "configuration": {
            "cname": "zstd",
            "clevel": LEVEL,
            "shuffle": "bitshuffle",
            "typesize": dtype.itemsize,
            "blocksize": 0,
        },
    }
    if dtype.kind == "U":
        data_type, fill = {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}, ""
        squeeze = {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(rows)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [little if dtype.itemsize > 1 else {"name": "bytes"}, squeeze, {"name": "crc32c"}],
        "attributes": {},
        "storage_transformers": [],
    }


def _text(folder: Path, values: NDArray[Any]) -> NDArray[np.str_]:
    odd = next((v for v in values.ravel().tolist() if not isinstance(v, str) or v.endswith("\0")), None)
    if odd is not None:
        raise LayerError(f"{odd!r:.80} is no text that can be kept", where=folder, rule="column-text")
    longest = max((len(v) for v in values.ravel().tolist()), default=1)
    if longest * 4 * values.size > TEXT_BYTES:
        raise LayerError(
            f"{values.size} texts of up to {longest} characters are too much",
            where=folder,
            fix="keep long text in a table",
            rule="column-text",
        )
    return values.astype(f"<U{max(1, longest)}")


def _packed_text(part: NDArray[Any], rows: tuple[int, ...]) -> bytes:
    full = np.zeros(rows, part.dtype)
    full[tuple(slice(0, n) for n in part.shape)] = part
    return bytes(imagecodecs.zstd_encode(full.tobytes(), level=LEVEL))


def _kind(folder: Path) -> object:
    for name, key in (("zarr.json", "data_type"), (".zarray", "dtype")):
        if (folder / name).exists():
            kind = vetted.mapping(vetted.load(folder / name), "its metadata", folder).get(key)
            return kind.get("name") if isinstance(kind, dict) else kind
    raise FormatError("a column is missing", where=folder, rule="column-missing")


def _read_text(folder: Path) -> NDArray[Any]:
    import zarr  # tensorstore has no text

    try:
        array = zarr.open_array(folder, mode="r")
        if math.prod(array.shape) * max(1, array.dtype.itemsize) > 4 * TEXT_BYTES:
            raise FormatError(f"text of {array.shape} {array.dtype} is too much", where=folder, rule="column-text")
        values = np.asarray(array[...])
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, MemoryError) as e:
        raise StoreError(f"its text cannot be read back: {str(e)[:200]}", where=folder, rule="zarr-corrupt") from e
    out = np.empty(values.shape, object)
    out[...] = values.astype(str).tolist() if values.size else ""
    return out


def _all_there(folder: Path) -> None:
    meta = vetted.mapping(vetted.load(folder / "zarr.json"), "its metadata", folder)
    shape = vetted.sizes(meta.get("shape"), "shape", folder, least=0)
    grid = vetted.mapping(meta.get("chunk_grid"), "chunk_grid", folder)
    rows = vetted.sizes(
        vetted.mapping(grid.get("configuration"), "configuration", folder).get("chunk_shape"), "chunk_shape", folder
    )
    if not math.prod(shape) or not rows:
        return
    for i in range(-(-shape[0] // rows[0])):
        key = "/".join(["c", str(i), *["0"] * (len(shape) - 1)])
        if not (folder / key).exists():
            raise StoreError(f"chunk {key} is missing", where=folder, fix="write it again", rule="zarr-missing")
