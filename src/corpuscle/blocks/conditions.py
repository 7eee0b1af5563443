"""Where and how a run happens. Nothing in here changes what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.progress import Watch, unwatched
from corpuscle.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Conditions:
    """The engine, the ledger, who watches, and bounds.

    Parameters
    ----------
    engine, ledger, watch
        Who carries units out, where they are noted, and who hears of progress.
    block
        The size of a block along the axes that an op sees; by default whole shards.
    memory
        Bytes that all processes together may take; a run that needs more is refused before it starts.
    """

    engine: Engine
    ledger: Ledger
    watch: Watch = unwatched
    block: tuple[int, ...] | None = None
    memory: int | None = None
