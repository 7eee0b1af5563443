"""What a benchmark found: a table with its heading, and what a reader must know to believe it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One table of the page.

    `said` stands above the table and says how it was measured, `notes` below it. A cell that is None was not measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    said: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if odd := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"{len(odd[0])} cells under {len(self.columns)} columns in {self.title!r}")

    def markdown(self) -> str:
        """The finding as a section of a page."""
        lines = [f"## {self.title}", ""]
        if self.said:
            lines += [self.said, ""]
        if self.rows:
            number = [all(isinstance(r[i], int | float | None) for r in self.rows) for i in range(len(self.columns))]
            lines.append("| " + " | ".join(self.columns) + " |")
            lines.append("|" + "|".join(" ---: " if n else " --- " for n in number) + "|")
            lines += ["| " + " | ".join(map(cell, row)) + " |" for row in self.rows]
            lines.append("")
        for note in self.notes:
            lines += [note, ""]
        return "\n".join(lines)


def cell(value: Cell) -> str:
    """A value with as many digits as mean something.

    >>> [cell(v) for v in (None, "ours", 12, 1234.5, 12.345, 0.123456, 0.0)]
    ['-', 'ours', '12', '1234', '12.3', '0.123', '0']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        if value == 0:
            return "0"
        if 0 < abs(value) < 1e-3:
            return f"{value:.1e}"
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value).replace("|", "\\|")


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """How many times ours goes into theirs; None where either is unknown."""
    return theirs / ours if ours and theirs else None


def full() -> bool:
    """Whether the large sizes are wanted: ``SIZE=full`` in the environment."""
    return os.environ.get("SIZE", "small") == "full"


def show(findings: Sequence[Finding]) -> None:
    """Print findings as they will stand on the page."""
    for finding in findings:
        print(finding.markdown(), flush=True)
