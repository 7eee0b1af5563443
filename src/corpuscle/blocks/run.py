"""Carry steps out over records, on any engine; resume by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from corpuscle.blocks.across import groups, run_group
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.fingerprint import fingerprint
from corpuscle.blocks.grid import Work, answer, plan_work
from corpuscle.blocks.merge import Bench
from corpuscle.blocks.progress import Progress, Receipt, Watch, unwatched
from corpuscle.blocks.shelf import Shelf
from corpuscle.blocks.sink import ZarrSink
from corpuscle.blocks.step import Across, Blockwise, Step, Whole, applies, reads, writes
from corpuscle.blocks.whole import Chain, Did, history, is_made, run_chain
from corpuscle.core import Record
from corpuscle.errors import CorpuscleError
from corpuscle.store.digest import of_json
from corpuscle.store.ledger import Ledger

U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Where and how a run happens. Nothing in here changes what comes out of it."""

    engine: Engine
    ledger: Ledger
    watch: Watch = unwatched
    block: tuple[int, ...] | None = None


def run(steps: Sequence[Step], shelf: Shelf, conditions: Conditions, *, names: Sequence[str] | None = None) -> Receipt:
    """Every step over every record that it is for, in the order of the steps.

    What is on the shelf already, made by the same step from the same inputs, is left alone. A
    unit that fails does not stop the others; a later step that reads what was not made skips the record.
    """
    names = list(shelf.names()) if names is None else list(names)
    receipt = Receipt()
    if not names:
        return receipt
    for part in _runs(steps):
        if isinstance(part, Chain):
            stage = ", ".join(w for s in part.steps for w in writes(s))
            receipt += each(partial(run_chain, part, shelf), names, stage, len(names), conditions)
        elif isinstance(part, Across):
            found = groups(part, shelf, names)
            work = partial(run_group, part, fingerprint(part), shelf)
            receipt += each(work, found, f"{'/'.join(writes(part))} by {part.by}", len(found), conditions)
        else:
            receipt += _blockwise(part, shelf, names, conditions)
    return receipt


def _runs(steps: Sequence[Step]) -> Iterator[Chain | Blockwise | Across]:
    """The steps with consecutive Whole ones gathered into chains."""
    held: list[Whole] = []
    for step in steps:
        if isinstance(step, Whole):
            held.append(step)
            continue
        if held:
            yield Chain.of(held)
            held = []
        yield step
    if held:
        yield Chain.of(held)


def each(
    work: Callable[[U], Did],
    units: Iterable[U],
    stage: str,
    total: int | None,
    conditions: Conditions,
    *,
    settled: Callable[[U], None] | None = None,
) -> Receipt:
    """One unit after another through the engine, watched; failures are gathered.

    `settled` hears of each unit that is safely on disk.
    """
    start = time.perf_counter()
    progress = Progress(stage, total=total)
    failures: list[CorpuscleError] = []
    notes: list[CorpuscleError] = []
    done = skipped = 0
    for outcome in conditions.engine.map(work, units):
        if outcome.error is not None:
            failures.append(outcome.error)
            progress = progress.tick(failed=1)
        else:
            did: Did = outcome.value
            failures += did.errors
            notes += did.notes
            # What was only got round is met again, and told again, at the next run.
            if settled is not None and not did.errors:
                settled(outcome.unit)
            done += did.made
            skipped += did.skipped
            fresh = did.made > 0 or did.skipped == 0
            progress = progress.tick(done=int(fresh), skipped=int(not fresh), bytes_=did.bytes)
        conditions.watch(progress)
    return Receipt(done, skipped, tuple(failures), tuple(notes), time.perf_counter() - start)


def _blockwise(step: Blockwise, shelf: Shelf, names: Sequence[str], conditions: Conditions) -> Receipt:
    mark = fingerprint(step)
    receipt = Receipt()
    for name in names:
        record = shelf.record(name)
        if applies(step, record):
            try:
                receipt += _blocks_of(step, mark, shelf, record, conditions)
            except CorpuscleError as e:
                receipt += Receipt(failures=(e,))
    return receipt


def _blocks_of(step: Blockwise, mark: str, shelf: Shelf, record: Record, conditions: Conditions) -> Receipt:
    """All blocks of one record: those the ledger knows are skipped, the others computed, then closed."""
    made = shelf.made(record.name)
    if is_made(record, step, mark, made):
        return Receipt(skipped=1)
    work = plan_work(step, record, conditions.block)
    inputs = {n: made[n].digest for n in reads(step)}
    # Blocks answer for this step, these inputs and this grid; any other is another unit.
    key = of_json([mark, inputs, [list(b.start) for b in work.blocks], list(work.shape)])
    place = shelf.workplace(record.name, step.writes)
    if not (place / key).is_dir():
        shutil.rmtree(place, ignore_errors=True)
        conditions.ledger.forget(key)
        (place / key / "spool").mkdir(parents=True)
    bench = _bench(work, step.writes, place / key)
    todo = [i for i in range(len(work.blocks)) if conditions.ledger.done(key, _unit(record, step, i)) is None]
    progress = Progress(f"{step.writes} of {record.name}", total=len(work.blocks), skipped=len(work.blocks) - len(todo))
    failures: list[CorpuscleError] = []
    run_one = partial(_block, step, work, bench, shelf, record.name)
    # The first block goes alone: what it answers decides the type of the output for all.
    for outcome in chain(conditions.engine.map(run_one, todo[:1]), conditions.engine.map(run_one, todo[1:])):
        if outcome.error is None:
            seconds = round(outcome.seconds, 4)
            conditions.ledger.note(key, _unit(record, step, outcome.unit), seconds=seconds)
            progress = progress.tick(done=1, bytes_=outcome.value)
        else:
            failures.append(_named(outcome.error, record, step, outcome.unit))
            progress = progress.tick(failed=1)
        conditions.watch(progress)
    if failures:
        return Receipt(len(todo) - len(failures), len(work.blocks) - len(todo), tuple(failures))
    layer = step.merge.close(bench)
    store = bench.sink.path if isinstance(bench.sink, ZarrSink) and bench.sink.path.exists() else None
    shelf.put(record.with_layer(step.writes, layer), [step.writes], history(step, mark, inputs), adopt=store)
    shutil.rmtree(place, ignore_errors=True)
    return Receipt(len(todo), len(work.blocks) - len(todo))


def _bench(work: Work, layer: str, folder: Path) -> Bench:
    sink = ZarrSink(folder / "image.zarr", layer, work.shape, work.space, work.blocks, work.labels_of)
    return Bench(work.blocks, work.shape, work.space, folder / "spool", sink, work.halo)


def _block(step: Blockwise, work: Work, bench: Bench, shelf: Shelf, name: str, index: int) -> int:
    """The work of one unit: read with halo, compute, keep."""
    got, size = answer(step, work, shelf.record(name), index)
    step.merge.keep(got, bench)
    return size


def _unit(record: Record, step: Blockwise, index: int) -> str:
    return f"{record.name}/{step.writes}/{index}"


def _named(error: CorpuscleError, record: Record, step: Blockwise, index: int) -> CorpuscleError:
    """The error with its place: record, layer, block."""
    where = f"{record.name}/{step.writes} block {index}"
    return type(error)(f"{error.message}", where=where, fix=error.fix, rule=error.rule)
