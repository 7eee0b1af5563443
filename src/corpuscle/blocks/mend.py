"""Work that an earlier run left: looked over before it is gone on with, and what is damaged is done again."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from corpuscle.blocks.merge import Bench, Each, Merge
from corpuscle.errors import CorpuscleError
from corpuscle.store.ledger import Ledger
from corpuscle.store.packed import TORN

UNREADABLE = frozenset({"zarr-corrupt", "sink-block"})
TIERS = tuple(f"tier {n}" for n in range(1, 33))


@dataclass(frozen=True, slots=True)
class Left:
    """What is there already of a layer in the making, and what the ledger says of it under `key`."""

    key: str
    merge: Merge
    bench: Bench
    ledger: Ledger

    def look_over(self, *, deep: bool = False) -> bool:
        """Have the blocks written again whose shards are torn, or gone; `deep`: also those with a flipped bit.

        Answers whether there were any. The deep look reads every byte, and is for when a damage has been met.
        """
        sink = self.bench.sink
        if not self.merge.pixels or not sink.begun:
            return False
        found = sink.sweep(deep=deep)
        written = self.ledger.finished(f"{self.key}/{self._each[-1]}")
        spoilt = [i for i, box in enumerate(self.bench.blocks) if str(i) in written and not sink.kept(box, deep=deep)]
        for i in spoilt:
            self.reopen(i)
        return found or bool(spoilt)

    def after(self, error: CorpuscleError) -> bool:
        """Whether an error was met in what lies here, and what it was met in will be made again."""
        if self.bench.spool.parent not in Path(error.where).parents:
            return False
        if error.rule == TORN:
            self.reopen(int(Path(error.where).name.removesuffix(".spool")))
            return True
        return error.rule in UNREADABLE and self.look_over(deep=True)

    def reopen(self, index: int) -> None:
        """Have a block done again in every pass, and all that is done once; the others need not notice."""
        once = [r.name for r in self.merge.rounds() if not isinstance(r, Each)]
        for name, unit in [*((n, str(index)) for n in self._each), *((n, "0") for n in once)]:
            if unit in self.ledger.finished(f"{self.key}/{name}"):
                self.ledger.begin(f"{self.key}/{name}", unit)
        for name in TIERS:
            self.ledger.forget(f"{self.key}/{name}")

    @property
    def _each(self) -> list[str]:
        """The passes over all blocks; the last is the one that writes pixels."""
        return ["blocks", *(r.name for r in self.merge.rounds() if isinstance(r, Each))]


def clear(place: Path, ledger: Ledger) -> None:
    """Take away all work on a layer, under whatever settings: the books first, so after a kill it is cleared again."""
    if not place.is_dir():
        return
    begun = {p.name for p in place.iterdir()}
    for key in list(ledger.keys()):
        if key.partition("/")[0][:16] not in begun:
            continue
        ledger.forget(key)
    shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are at work beside it
        place.parent.rmdir()
