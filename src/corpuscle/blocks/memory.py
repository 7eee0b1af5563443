"""A few records in memory, as steps see them: for a notebook, a test, a temporary result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from corpuscle.blocks.shelf import Made
from corpuscle.core import Image, Record
from corpuscle.errors import RecordMissing
from corpuscle.store.digest import of_layer


@dataclass(eq=False)
class Memory:
    """Records held by this process: an engine of one worker can use it, a pool cannot.

    `scratch` is where work in progress on images of several blocks lies.
    """

    scratch: Path
    records: dict[str, Record] = field(default_factory=dict)
    marks: dict[str, dict[str, Made]] = field(default_factory=dict)

    def names(self) -> Sequence[str]:
        """Every record, by name."""
        return sorted(self.records)

    def record(self, name: str) -> Record:
        """The record."""
        if name not in self.records:
            raise RecordMissing(f"no record {name!r} here")
        return self.records[name]

    def made(self, name: str) -> Mapping[str, Made]:
        """How each layer came to be."""
        known = self.marks.setdefault(name, {})
        for n, layer in self.record(name).layers.items():
            if n not in known:
                known[n] = Made("", {}, of_layer(layer))
        return known

    def put(self, record: Record, layers: Sequence[str], made: Made, *, adopt: Path | None = None) -> None:
        """Keep the layers; one that lies in the scratch folder is read into memory before that goes."""
        if adopt is not None:
            for n in layers:
                if isinstance(x := record[n], Image):
                    levels = tuple(replace(y, array=y.read()) for y in x.levels)
                    record = record.with_layer(n, replace(x, array=x.read(), levels=levels))
        self.records[record.name] = record
        for n in layers:
            self.marks.setdefault(record.name, {})[n] = replace(made, digest=made.digest or of_layer(record[n]))

    def workplace(self, name: str, layer: str) -> Path:
        """Under the scratch folder."""
        return self.scratch / name / layer
