"""Steps tried on a few blocks, and what that says of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.extract import extracts, ghost
from corpuscle.blocks.forecast import Forecast, Row, refuse
from corpuscle.blocks.gauge import family, proportional, trim
from corpuscle.blocks.grid import Work, plan_work
from corpuscle.blocks.progress import Watch
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.shelf import Shelf
from corpuscle.blocks.step import Across, Blockwise, Step, Whole, applies, frees_lock, reads, writes
from corpuscle.blocks.trial import Took, Trial, as_workers, trial
from corpuscle.core import Image, Layer, Record, Table
from corpuscle.store.ledger import Ledger

T = TypeVar("T")
RECORDS = 4

Part: TypeAlias = tuple[Whole, ...] | Blockwise | Across
"""What goes over the records in one sweep: steps over whole records do so together."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a part goes over.

    Voxels that it answers for (`own`) and that it reads (`read`), those of the largest unit, and how many records.
    """

    units: int
    own: int
    read: int
    largest_own: int
    largest_read: int
    records: int


@dataclass(frozen=True, slots=True)
class Made:
    """What a part did to the sample: how much it went over, and what came of it."""

    extent: Extent
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Try:
    """One part over a sample of records, as a job of a trial; `shelf` says where in its folder they lie."""

    part: Part
    shelf: Callable[[Path], Shelf]
    names: frozenset[str]
    block: tuple[int, ...] | None
    threads: int = 1

    def __call__(self, folder: Path, watch: Watch) -> Made:
        """Run the part; what fails on the sample would fail in the run."""
        shelf = self.shelf(folder)
        names = [n for n in shelf.names() if n in self.names]
        over = extent(self.part, [shelf.record(n) for n in names], self.block)
        with Ledger(folder / "ledger") as ledger:
            done = run(
                _steps(self.part), shelf, Conditions(Local(self.threads), ledger, watch, self.block), names=names
            )
        if done.failures and not done.done:
            raise done.failures[0]
        layers: dict[str, Mapping[str, Any]] = {}
        for record in (shelf.record(n) for n in names):
            layers |= {w: _told(record[w]) for s in _steps(self.part) for w in writes(s) if w in record.layers}
        return Made(over, layers)


@dataclass(frozen=True, slots=True)
class Laid:
    """Puts a sample on a shelf in the folder of a trial, where it is not there yet."""

    sample: tuple[Record, ...]

    def __call__(self, folder: Path) -> Shelf:
        """The shelf, with what earlier parts have made."""
        home = folder / "work"
        if home.exists():
            return Scratch(home)
        named = {f"{r.name}/{n}": f"{r.name}/{n}" for r in self.sample for n in r.layers}
        return Scratch.of(home, *self.sample, digests=named)


def extent(part: Part, records: Sequence[Record], block: tuple[int, ...] | None) -> Extent:
    """Over these records.

    Where whole records are read all count, each as its largest image, or as one voxel.
    """
    if not isinstance(part, Blockwise):
        sizes = [max((prod(x.shape) for x in r.layers.values() if isinstance(x, Image)), default=1) for r in records]
        units = len(records)
        if isinstance(part, Across):
            units = len({r.group(part.by) for r in records if part.by in r.groups and applies(part, r)})
        largest = max(sizes, default=0)
        return Extent(units, sum(sizes), sum(sizes), largest, largest, len(records))
    works = [plan_work(part, r, block) for r in records if applies(part, r)]
    return Extent(
        sum(len(w.blocks) for w in works),
        sum(prod(w.shape) for w in works),
        sum(prod(sum(spans) for spans in _spans(w)) for w in works),
        max((prod(w.blocks.tile) for w in works), default=0),
        max((prod(max(spans) for spans in _spans(w)) for w in works), default=0),
        len(works),
    )


def _spans(work: Work) -> list[list[int]]:
    """How much the blocks read along each axis, halo included; as they are a grid, that is all there is to know."""
    return [
        [min(min(a + t, n) + h, n) - max(a - h, 0) for a in range(0, n, t)]
        for n, t, h in zip(work.shape, work.blocks.tile, work.halo, strict=True)
    ]


def parts(steps: Sequence[Step]) -> list[Part]:
    """The steps as a run takes them: consecutive ones over whole records together."""
    out: list[Part] = []
    for step in steps:
        if isinstance(step, Whole):
            before = out.pop() if out and isinstance(out[-1], tuple) else ()
            out.append((*before, step) if isinstance(before, tuple) else (step,))
        else:
            out.append(step)
    return out


def forecast(
    steps: Sequence[Step],
    records: Sequence[Record],
    *,
    workers: int,
    block: tuple[int, ...] | None = None,
    sample: Sequence[Record] | None = None,
    folder: Path | None = None,
) -> Forecast:
    """Time, memory and disk of these steps over these records, from one in a hundred blocks, two at least.

    The blocks are done for real: pairs of neighbours, cut out of the records and spread evenly, go through every
    pass of every step and are written, in fresh processes and as many at once as there would be, into a temporary
    folder; ops that free the interpreter's lock in threads of one process. Time is scaled by the voxels that a pass
    reads or answers for, what whole records take by their size.

    Parameters
    ----------
    sample
        Small records to try instead of parts of the given ones, where those have no pixels yet.
    folder
        Where the temporary folder is made: on the disk that the run would write to.

    Raises
    ------
    PlanError
        A process died of the sample.
    CorpuscleError
        Whatever a step says of the sample.
    """
    tried = tuple(sample) if sample is not None else _sample(steps, records, block)
    shelf = Laid(tried)
    todo = parts(steps)
    names = frozenset(r.name for r in tried)
    threads = 1
    if todo and all(isinstance(p, Blockwise) and frees_lock(p.op) for p in todo):
        threads = max(1, min(workers, extent(todo[0], tried, block).units))
    jobs = [Try(part, shelf, names, block, threads) for part in todo]
    if threads > 1:
        found = as_workers(trial(jobs, workers=1, folder=folder), threads)
    else:
        found = trial(jobs, workers=workers, folder=folder)
    rows = scaled(todo, found, records, block)
    sampled = max((t.told.extent.units for t in found.took), default=0)
    return Forecast(tuple(rows), workers, coordinator(), found.idle, found.start, sampled)


def stay_within(steps: Sequence[Step], records: Sequence[Record], conditions: Conditions) -> None:
    """Refuse, with a PlanError, a run that would take more than `conditions.memory`; a few blocks are tried for it."""
    told = forecast(steps, records, workers=conditions.engine.workers, block=conditions.block)
    refuse(told, memory=conditions.memory)


def scaled(todo: Sequence[Part], found: Trial, records: Sequence[Record], block: tuple[int, ...] | None) -> list[Row]:
    """What a trial of these parts says of all records. Parts that have nothing to do are left out."""
    rows = []
    for part, took in zip(todo, found.took, strict=True):
        full = extent(part, records, block)
        if full.units and took.told.extent.units:
            rows.append(_row(part, took, full, found.idle))
        records = _later(part, took.told, records, block)
    return rows


def coordinator() -> int:
    """Bytes that this process holds, with what it keeps to start others from."""
    trim()
    return sum(proportional(p) for p in family())


def spread(items: Sequence[T]) -> list[T]:
    """Up to four, evenly through the list, the first and the last among them."""
    if len(items) <= RECORDS:
        return list(items)
    return [items[round(i * (len(items) - 1) / (RECORDS - 1))] for i in range(RECORDS)]


def _sample(steps: Sequence[Step], records: Sequence[Record], block: tuple[int, ...] | None) -> tuple[Record, ...]:
    """Parts of up to four records, spread evenly through those that the first step is for."""
    if not steps:
        return ()
    first = steps[0]
    chosen = spread([r for r in records if applies(first, r)] or records)
    axes = first.axes if isinstance(first, Blockwise) else "zyx"
    return tuple(cut for record in chosen for cut in extracts(record, block, axes))


def _row(part: Part, took: Took, full: Extent, idle: int) -> Row:
    """One part of the sample, scaled to the whole."""
    made: Extent = took.told.extent
    own, read = full.own / made.own, full.read / made.read
    # A group makes one thing, however many records are in it.
    kept = full.units / made.units if isinstance(part, Across) else own
    seconds = sum(p.seconds * (read if p.bytes else own) for p in took.passes if not p.alone)
    alone = sum(p.seconds for p in took.passes if p.alone) * own
    # What is left goes by with opening and settling records, one after the other.
    settling = max(0.0, took.seconds - sum(p.seconds for p in took.passes))
    alone += settling * full.records / made.records
    # A block within has a halo on all sides, which those of the sample have not; a whole record is in memory at once.
    memory = idle + int((took.memory - idle) * max(1.0, full.largest_read / made.largest_read))
    return Row(
        step=", ".join("/".join(writes(s)) for s in _steps(part)),
        units=full.units,
        seconds=seconds,
        alone=alone,
        longest=seconds * full.largest_own / full.own,
        memory=memory,
        stays=int(took.stays * kept),
        most=int(took.most * kept),
        bytes=int(sum(p.bytes for p in took.passes) * read + took.most * kept),
        threads=isinstance(part, Blockwise) and frees_lock(part.op),
    )


def _steps(part: Part) -> tuple[Step, ...]:
    return part if isinstance(part, tuple) else (part,)


def _told(layer: Layer) -> dict[str, Any]:
    """What a stand-in for a layer is made from."""
    if not isinstance(layer, Image):
        return {}
    return {"shape": layer.shape, "dtype": layer.dtype.str, "space": layer.space, "labels_of": layer.labels_of}


def _later(part: Part, made: Made, records: Sequence[Record], block: tuple[int, ...] | None) -> list[Record]:
    """The records with stand-ins for what the part will have made."""
    out = []
    for record in records:
        for step in () if isinstance(part, Across) else _steps(part):
            if applies(step, record):
                for layer in (w for w in writes(step) if w in made.layers):
                    record = record.with_layer(layer, _stand_in(step, made.layers[layer], record, block))
        out.append(record)
    return out


def _stand_in(step: Step, told: Mapping[str, Any], record: Record, block: tuple[int, ...] | None) -> Layer:
    if not told:
        return Table({})
    dtype, labels_of = np.dtype(told["dtype"]), told["labels_of"]
    if isinstance(step, Blockwise):
        work = plan_work(step, record, block)
        return ghost(work.shape, dtype, work.space, labels_of=labels_of)
    like = next((x for n in reads(step) if isinstance(x := record[n], Image)), None)
    if like is not None and like.space.axes == told["space"].axes:
        return ghost(like.shape, dtype, like.space, labels_of=labels_of)
    return ghost(told["shape"], dtype, told["space"], labels_of=labels_of)
