"""How long a run takes on many machines, and what it costs: arithmetic over a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from corpuscle.blocks.forecast import Forecast, Row
from corpuscle.errors import PlanError, SettingsError

SPARE = 0.1


@dataclass(frozen=True, slots=True)
class Nodes:
    """Machines that are alike.

    Parameters
    ----------
    count
        How many.
    memory
        Bytes in each; a tenth is left to the system and its file cache.
    cores
        Processors in each: so many workers at most, of one thread each.
    price
        Of one of them for an hour, in any currency; None where nothing is paid or nobody knows.
    bandwidth
        Bytes a second that the storage they share reads and writes, for all of them together; None: no limit.
    """

    count: int
    memory: int
    cores: int
    price: float | None = None
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        numbers = {"count": self.count, "memory": self.memory, "cores": self.cores, "bandwidth": self.bandwidth}
        for name, value in numbers.items():
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"nodes with {name} {value:g} do nothing", fix="give more", rule="plan-nodes")
        if self.price is not None and not 0 <= self.price < float("inf"):
            raise SettingsError(f"a price of {self.price:g}", fix="give what an hour costs", rule="plan-nodes")


@dataclass(frozen=True, slots=True)
class Share:
    """One step on the nodes: how many workers it has there, how long it takes, and what holds it up."""

    step: str
    units: int
    workers: int
    seconds: float
    limit: Literal["cores", "memory", "units", "storage", "coordinator"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A whole run on the nodes; `cost` is None where there is no price."""

    shares: tuple[Share, ...]
    nodes: Nodes

    @property
    def seconds(self) -> float:
        """From the first block to the last."""
        return sum(s.seconds for s in self.shares)

    @property
    def cost(self) -> float | None:
        """All nodes, for all that time."""
        return None if self.nodes.price is None else self.nodes.price * self.nodes.count * self.seconds / 3600


def spread(told: Forecast, nodes: Nodes) -> Spread:
    """The run over all nodes.

    Of each step there are as many rounds as blocks per worker, rounded up. A step takes as long as its rounds, or as
    the storage needs to read and write its bytes if that is longer, and then what the coordinator does alone. A node
    has as many workers as it has cores, or as fit into its memory.

    Raises PlanError where not even one worker fits into a node.
    """
    return Spread(tuple(_share(row, nodes) for row in told.rows), nodes)


def _share(row: Row, nodes: Nodes) -> Share:
    room = int(nodes.memory * (1 - SPARE) // max(1, row.memory))
    if room < 1:
        raise PlanError(
            f"one worker needs {row.memory / 1e9:.1f} GB for {row.step} and a node has {nodes.memory / 1e9:.1f}",
            fix="use nodes of more memory, or smaller blocks",
            rule="plan-memory",
        )
    workers = min(row.units, nodes.count * min(nodes.cores, room))
    rounds = ceil(row.units / workers)
    busy = max(rounds * row.seconds / row.units, row.longest)
    moved = row.bytes / nodes.bandwidth if nodes.bandwidth else 0.0
    limit: Literal["cores", "memory", "units", "storage", "coordinator"] = "cores" if room >= nodes.cores else "memory"
    if workers == row.units:
        limit = "units"
    if moved > busy:
        limit = "storage"
    if row.alone > max(busy, moved):
        limit = "coordinator"
    return Share(row.step, row.units, workers, max(busy, moved) + row.alone, limit)
