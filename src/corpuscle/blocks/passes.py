"""A Blockwise step over one record: pass after pass, each of units that a killed run takes up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.gauge import trim
from corpuscle.blocks.grid import Work, answer, plan_work
from corpuscle.blocks.mend import TIERS, Left, clear
from corpuscle.blocks.merge import Bench, Each, Once
from corpuscle.blocks.progress import Progress, Receipt
from corpuscle.blocks.shelf import Made, Shelf
from corpuscle.blocks.sink import ZarrSink
from corpuscle.blocks.step import Blockwise, frees_lock, reads
from corpuscle.blocks.whole import history, is_made
from corpuscle.core import Image, Layer, Record
from corpuscle.core.disk import store_error
from corpuscle.errors import CorpuscleError
from corpuscle.formats import storage
from corpuscle.store.digest import of_json
from corpuscle.store.packed import read_part, write_parts

CACHE = 384 << 20
SMALLEST = 16 << 20
EDGE = 64  # a halo cuts chunks, which are read whole
SETTLED = "settled"
LONG = 2.0  # seconds: what a shorter pass leaves behind is not worth looking for


def blocks_of(step: Blockwise, mark: str, shelf: Shelf, record: Record, conditions: Conditions) -> Receipt:
    """Carry a step out for one record, and settle the layer; nothing, if it is made already.

    The passes are: every block computed and kept; the rounds of the merge; the tiers of the sink. Each unit of
    each pass is noted in the ledger under this step, these inputs and this grid, so a run that was killed goes on
    where it was, and one of other settings starts afresh. What is found damaged on the way is made a second time.
    """
    made = shelf.made(record.name)
    place = shelf.workplace(record.name, step.writes)
    if is_made(record, step, mark, made):
        clear(place, conditions.ledger)  # a kill after the layer was settled may have left it
        return Receipt(skipped=1)
    work = plan_work(step, record, conditions.block)
    inputs = {n: made[n].digest for n in reads(step)}
    key = of_json([mark, inputs, list(work.blocks.shape), list(work.blocks.tile)])
    folder = place / key[:16]
    bench = bench_of(work, step.writes, folder)
    left = Left(key, step.merge, bench, conditions.ledger)
    if folder.is_dir():
        left.look_over()
    else:
        # Work under other settings, or from other inputs, is of no use to this run.
        clear(place, conditions.ledger)
        for name in _names(step):
            conditions.ledger.forget(f"{key}/{name}")
        try:
            folder.mkdir(parents=True)
        except OSError as e:
            raise store_error(e, folder) from e
    passes = _Passes(key, f"{step.writes} of {record.name}", conditions, frees_lock(step.op), left)
    if not _through(passes, step, work, shelf, record):
        return passes.receipt()
    try:
        _settle(step, history(step, mark, inputs), bench, shelf, record)
    except CorpuscleError as e:
        left.after(e)
        raise
    for name in _names(step):  # from here on the layer's own history says what it was made from
        conditions.ledger.forget(f"{key}/{name}")
    clear(place, conditions.ledger)
    return passes.receipt()


def _through(passes: _Passes, step: Blockwise, work: Work, shelf: Shelf, record: Record) -> bool:
    """All passes, and once more what had to be mended; whether nothing failed at last."""
    for _ in range(2):
        passes.failures.clear()
        passes.mended = False
        _once_through(passes, step, work, shelf, record)
        if not passes.mended:
            break
    return not passes.failures


def _once_through(passes: _Passes, step: Blockwise, work: Work, shelf: Shelf, record: Record) -> None:
    bench, workers = passes.left.bench, passes.conditions.engine.workers
    threads = passes.threads and workers > 1
    cache = cache_for(work, record, step, share=1 if threads else workers)
    block = Block(step, work, bench, shelf, record.name, passes.key, cache)
    passes.over("blocks", block, range(len(work.blocks)))
    for round_ in step.merge.rounds():
        match round_:
            case Each(name, turn):
                passes.over(name, partial(_turn, turn, bench), range(len(work.blocks)))
            case Once(name, settle):
                passes.once(name, partial(settle, bench))
    if step.merge.pixels and not passes.failures and not _moved(bench):
        for n, units in enumerate(bench.sink.tiers()):
            passes.over(TIERS[n], bench.sink.build, units)


def _settle(step: Blockwise, told: Made, bench: Bench, shelf: Shelf, record: Record) -> None:
    """Hand the layer to the shelf. A kill may come when its image has been moved there and nothing tells of it yet."""
    if not step.merge.pixels:
        shelf.put(record.with_layer(step.writes, step.merge.layer(bench)), [step.writes], told)
        return
    note = bench.spool.parent / SETTLED
    if _moved(bench):
        layer: Layer = bench.sink.outline()
        digest = read_part(note, "digest").decode()
    else:
        layer, digest = step.merge.layer(bench), bench.sink.digest()
        write_parts(note, {"digest": digest.encode()})
    told = replace(told, digest=digest)
    shelf.put(record.with_layer(step.writes, layer), [step.writes], told, adopt=bench.sink.path)


def _moved(bench: Bench) -> bool:
    """Whether the finished image has left for the shelf already."""
    return (bench.spool.parent / SETTLED).exists() and not bench.sink.path.exists()


def bench_of(work: Work, layer: str, folder: Path) -> Bench:
    """What the merge of a step works with, in a folder of its own."""
    sink = ZarrSink(folder / "image.zarr", layer, work.shape, work.space, work.blocks, work.labels_of)
    return Bench(work.blocks, work.space, folder / "spool", sink, work.halo)


def _names(step: Blockwise) -> tuple[str, ...]:
    """The passes that a step may have."""
    return ("blocks", *(r.name for r in step.merge.rounds()), *(TIERS if step.merge.pixels else ()))


@dataclass(frozen=True, slots=True)
class Block:
    """The work of one unit of the first pass: read with halo, compute, keep. Answers how many bytes it read."""

    step: Blockwise
    work: Work
    bench: Bench
    shelf: Shelf
    name: str
    key: str
    cache: int = 0

    def __call__(self, index: int) -> int:
        """Carry out the block of this number."""
        if self.cache and storage.kept() != self.cache:
            storage.keep(self.cache)
        got, size = answer(self.step, self.work, _in_hand(self.shelf, self.name, self.key), index)
        self.step.merge.keep(got, self.bench)
        return size


def cache_for(work: Work, record: Record, step: Blockwise, *, share: int) -> int:
    """How many bytes of decoded chunks a process should keep, so that what two halos share is decoded once.

    Enough for what a slab of blocks reads, or a row, or one block, whichever `CACHE` bytes hold when `share`
    processes divide them. 0 where blocks share nothing.
    """
    if not any(work.halo):
        return 0
    grown = [min(t + 2 * h + EDGE, n) for t, h, n in zip(work.blocks.tile, work.halo, work.shape, strict=True)]
    size = sum(x.dtype.itemsize for n in reads(step) if isinstance(x := record[n], Image))
    for whole in range(1, len(grown) + 1):  # a slab is whole but along the first axis, a row but along two, ...
        need = int(1.1 * size * prod(grown[:whole]) * prod(work.shape[whole:]))
        if need <= CACHE // share:
            return max(need, SMALLEST)
    return SMALLEST


@lru_cache(maxsize=2)
def _in_hand(shelf: Shelf, name: str, key: str) -> Record:
    """The record that a step reads, opened once per process; `key` tells one state of it from another."""
    del key
    return shelf.record(name)


def _turn(turn: Callable[[int, Bench], None], bench: Bench, index: int) -> int:
    turn(index, bench)
    return 0


@dataclass(slots=True)
class _Passes:
    """Passes over one layer, one after the other; after a failure the rest are left for another run."""

    key: str
    stage: str
    conditions: Conditions
    threads: bool
    left: Left
    mended: bool = False
    done: int = 0
    skipped: int = 0
    failures: list[CorpuscleError] = field(default_factory=list)

    def receipt(self) -> Receipt:
        return Receipt(self.done, self.skipped, tuple(self.failures))

    def over(self, name: str, work: Callable[[Any], Any], units: Sequence[Any]) -> None:
        """Carry out what the ledger does not know of a pass yet."""
        if self.failures:
            return
        key, ledger = f"{self.key}/{name}", self.conditions.ledger
        finished = ledger.finished(key)
        todo = [i for i in range(len(units)) if str(i) not in finished]
        self.skipped += len(units) - len(todo)
        stage = self.stage if name == "blocks" else f"{self.stage}: {name}"
        layer = self.stage.split(" of ", 1)[0]
        progress = Progress(stage, total=len(units), skipped=len(units) - len(todo), step=layer)

        unit = name

        def drawn() -> Iterator[tuple[int, Any]]:
            nonlocal unit
            for i in todo:
                unit = f"{name} {i}"
                ledger.begin(key, str(i))
                yield i, units[i]

        try:
            for outcome in self.conditions.engine.map(partial(_numbered, work), drawn(), threads=self.threads):
                unit = f"{name} {outcome.unit[0]}"
                if outcome.error is None:
                    ledger.note(key, str(outcome.unit[0]), seconds=round(outcome.seconds, 4))
                    self.done += 1
                    size = outcome.value if isinstance(outcome.value, int) else 0
                    progress = progress.tick(done=1, bytes_=size)
                else:
                    if outcome.error.where == str(outcome.unit):
                        outcome.error.where = ""
                    self._failed(outcome.error, unit)
                    progress = progress.tick(failed=1)
                self.conditions.watch(progress)
        except CorpuscleError as e:  # of the ledger, which cannot grow, or of the engine, which lost all its workers
            self._failed(e, unit)
        if progress.now - progress.started > LONG:
            # Else what threads of this process kept of one step would be held through all that follow.
            storage.keep(storage.CACHE_BYTES)
            trim()

    def once(self, name: str, work: Callable[[], None]) -> None:
        """Carry out, in this process, what comes once between two passes."""
        if self.failures or "0" in self.conditions.ledger.finished(f"{self.key}/{name}"):
            return
        layer = self.stage.split(" of ", 1)[0]
        progress = Progress(f"{self.stage}: {name}", total=1, step=layer, alone=True)
        try:
            work()
        except CorpuscleError as e:
            self._failed(e, name)
            return
        self.conditions.ledger.note(f"{self.key}/{name}", "0")
        self.conditions.watch(progress.tick(done=1))

    def _failed(self, error: CorpuscleError, unit: str) -> None:
        self.mended |= self.left.after(error)
        self.failures.append(self._named(error, unit))

    def _named(self, error: CorpuscleError, unit: str) -> CorpuscleError:
        """The error with its place: layer, record, pass, unit; and what it said of its own place."""
        layer, record = self.stage.split(" of ", 1)
        where = f"{record}/{layer} {unit.replace('blocks', 'block')}"
        message = f"{error.message} ({error.where})" if error.where else error.message
        return type(error)(message, where=where, fix=error.fix, rule=error.rule)


def _numbered(work: Callable[[Any], Any], unit: tuple[int, Any]) -> Any:
    """Carry out a unit that comes with its number, under which the ledger knows it."""
    return work(unit[1])
