"""A forecast kept in a file, so that the next is told from it: for a larger volume, or away from the machine."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from corpuscle.blocks.forecast import Forecast, Row, times
from corpuscle.blocks.receipts import host
from corpuscle.errors import SettingsError
from corpuscle.store.atomic import read_json, write_json


def keep(path: Path, told: Forecast, *, what: str, dtype: str, voxels: int) -> None:
    """Write down what so many voxels take, and the shape of the machine that said so."""
    write_json(path, {"what": what, "dtype": dtype, "voxels": voxels, "host": host(), **asdict(told)})


def recall(path: Path, *, what: str, dtype: str, voxels: int, workers: int) -> Forecast:
    """The same for so many voxels and workers; time, disk and blocks grow with the voxels, memory with the workers.

    Raises SettingsError where the file tells of another thing, and StoreError where it is no JSON.
    """
    body = read_json(path)
    try:
        told, was, of = _forecast(body), (body["what"], body["dtype"]), int(body["voxels"])
    except (KeyError, TypeError, ValueError) as e:
        raise SettingsError(
            f"tells of no rates: {e}", where=path, fix="name a file that plan wrote", rule="rates"
        ) from e
    if was != (what, dtype) or of < 1:
        raise SettingsError(
            f"these are rates of {' of '.join(map(str, was))}, not of {what} of {dtype}",
            where=path,
            fix="name another file: one that is not there is written",
            rule="rates",
        )
    return replace(times(told, voxels / of), workers=workers)


def _forecast(body: dict[str, Any]) -> Forecast:
    rows = tuple(Row(**row) for row in body["rows"])
    names = ("workers", "coordinator", "idle", "start", "sampled")
    return Forecast(rows, **{n: body[n] for n in names})
