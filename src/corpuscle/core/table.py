"""Named columns with units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import LayerError


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Objects, agglomerations, synapses, measurements: one row each.

    Parameters
    ----------
    columns
        Name to values, all of one length: numbers, booleans or strings (object arrays of str and None).
    units
        Unit of a column where it has one: ``um``, ``um2``, ``px``, ``px2``, ``s``, ...
    about
        The layer whose things the rows describe.

    >>> Table({"label": np.array([1, 2]), "area": np.array([9.0, 4.0])}, {"area": "px2"}, about="nuclei")
    <table: 2 rows of label, area [px2] about nuclei>
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str] = field(default_factory=dict)
    about: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", {k: np.asarray(v) for k, v in self.columns.items()})
        lengths = {k: len(v) for k, v in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise LayerError(f"columns of different length: {lengths}", rule="table-ragged")
        if extra := set(self.units) - set(self.columns):
            raise LayerError(f"units for columns that are not there: {sorted(extra)}", rule="table-units")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self.columns[name]
        except KeyError:
            raise LayerError(f"no column {name!r}, only {list(self.columns)}", rule="column-missing") from None

    def __repr__(self) -> str:
        named = ", ".join(f"{k} [{self.units[k]}]" if k in self.units else k for k in self.columns)
        return f"<table: {len(self)} rows of {named}{f' about {self.about}' if self.about else ''}>"
