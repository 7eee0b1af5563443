"""Carry steps out over records, on any engine; resume by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from corpuscle.blocks.across import Formula, groups, run_group, write_formula
from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.fingerprint import fingerprint
from corpuscle.blocks.passes import blocks_of
from corpuscle.blocks.progress import Progress, Receipt
from corpuscle.blocks.shelf import Shelf
from corpuscle.blocks.step import Across, Blockwise, Step, Whole, applies, writes
from corpuscle.blocks.whole import Chain, Did, run_chain
from corpuscle.errors import CorpuscleError

U = TypeVar("U")


def run(steps: Sequence[Step], shelf: Shelf, conditions: Conditions, *, names: Sequence[str] | None = None) -> Receipt:
    """Every step over every record that it is for, in the order of the steps.

    What is on the shelf already, made by the same step from the same inputs, is left alone. A
    unit that fails does not stop the others; a later step that reads what was not made skips the record.
    A PlanError where it would take more memory than `conditions` allow: then nothing has been started.
    """
    names = list(shelf.names()) if names is None else list(names)
    receipt = Receipt()
    if not names:
        return receipt
    if conditions.memory is not None:
        from corpuscle.blocks.rehearsal import stay_within  # which runs steps, as this does

        stay_within(steps, [shelf.record(n) for n in names], conditions)
    for part in _runs(steps):
        if isinstance(part, Chain):
            stage = ", ".join(w for s in part.steps for w in writes(s))
            receipt += each(partial(run_chain, part, shelf), names, stage, len(names), conditions)
        elif isinstance(part, Across):
            found = groups(part, shelf, names)
            work = partial(run_group, part, fingerprint(part), shelf)
            left: list[Formula] = []
            stage = f"{'/'.join(writes(part))} by {part.by}"
            receipt += each(work, found, stage, len(found), conditions, left=left.append)
            for formula in left:
                receipt += write_formula(formula, shelf, conditions)
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
    left: Callable[[Any], None] | None = None,
) -> Receipt:
    """One unit after another through the engine, watched; failures are gathered.

    `settled` hears of each unit that is safely on disk, `left` of work that a unit found and did not do.
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
            if left is not None and did.left is not None:
                left(did.left)
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
                receipt += blocks_of(step, mark, shelf, record, conditions)
            except CorpuscleError as e:
                receipt += Receipt(failures=(e,))
    return receipt
