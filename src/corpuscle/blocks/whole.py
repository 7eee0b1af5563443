"""Steps that take a record as it is: one after another in the worker that has it in hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from corpuscle.blocks.fingerprint import describe, fingerprint, versions
from corpuscle.blocks.shelf import Made, Shelf
from corpuscle.blocks.step import Step, Whole, applies, reads, writes
from corpuscle.core import Image, Layer, Record
from corpuscle.errors import CorpuscleError, StepError

SMALL = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Chain:
    """Consecutive Whole steps with their fingerprints, run as one unit per record."""

    steps: tuple[Whole, ...]
    fingerprints: tuple[str, ...]

    @classmethod
    def of(cls, steps: Sequence[Whole]) -> Chain:
        """The steps, fingerprinted once here rather than once a record."""
        return cls(tuple(steps), tuple(fingerprint(s) for s in steps))


@dataclass(frozen=True, slots=True)
class Did:
    """What a unit did: layers made, layers found already made, and what it met on the way and got round.

    `left` is work that it found and that is too much for one worker.
    """

    made: int = 0
    skipped: int = 0
    bytes: int = 0
    errors: tuple[CorpuscleError, ...] = ()
    notes: tuple[CorpuscleError, ...] = ()
    left: Any = None


def history(step: Step, mark: str, inputs: Mapping[str, str]) -> Made:
    """The mark that a finished layer carries."""
    return Made(mark, dict(inputs), step={"op": describe(step.op), "reads": list(reads(step)), "libraries": versions()})


def is_made(record: Record, step: Step, mark: str, made: Mapping[str, Made]) -> bool:
    """Whether every layer that the step writes is there, made by this very step from these very inputs."""
    inputs = {n: made[n].digest for n in reads(step)}
    return all(
        n in made and made[n].fingerprint == mark and dict(made[n].inputs) == inputs and n in record.layers
        for n in writes(step)
    )


def run_chain(chain: Chain, shelf: Shelf, name: str) -> Did:
    """Every step of the chain that applies to the record and is not done: the work of one unit."""
    record = shelf.record(name)
    did = Did()
    for step, mark in zip(chain.steps, chain.fingerprints, strict=True):
        made = shelf.made(name)
        if not applies(step, record):
            if stale := _left(step, record, made):
                record = record.without(stale)
                shelf.put(record, [], Made("", {}))
            continue
        if is_made(record, step, mark, made):
            did = replace(did, skipped=did.skipped + 1)
            continue
        record = _in_hand(record, reads(step))
        answers = call(step, [record[n] for n in reads(step)], name)
        for n, layer in answers.items():
            record = record.with_layer(n, layer)
        shelf.put(record, list(answers), history(step, mark, {n: made[n].digest for n in reads(step)}))
        size = sum(x.nbytes for n in reads(step) if isinstance(x := record[n], Image))
        did = replace(did, made=did.made + 1, bytes=did.bytes + size)
    return did


def _left(step: Step, record: Record, made: Mapping[str, Made]) -> list[str]:
    """Layers that this very op made before, under settings by which the record was one of its own."""
    op = describe(step.op)["name"]
    return [n for n in writes(step) if n in record.layers and made[n].step.get("op", {}).get("name") == op]


def call(step: Step, layers: Sequence[Any], where: str) -> dict[str, Layer]:
    """The op's answers by the names they are written under."""
    op: Callable[..., Any] = step.op
    answer = op(*layers)
    names = writes(step)
    answers = (answer,) if isinstance(step.writes, str) else tuple(answer)
    if len(answers) != len(names):
        raise StepError(f"the op answered {len(answers)} layers for {names}", where=where, rule="step-answers")
    return dict(zip(names, answers, strict=True))


def _in_hand(record: Record, names: Sequence[str]) -> Record:
    """The record with small images read once, for all the steps that follow."""
    for n in names:
        layer = record[n]
        if isinstance(layer, Image) and layer.nbytes <= SMALL and not hasattr(layer.array, "__array_interface__"):
            record = record.with_layer(n, replace(layer, array=layer.read()))
    return record
