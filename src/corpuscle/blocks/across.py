"""Steps over the records of a group: a flat field from all wells, heights to a kidney, days to a series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from corpuscle.blocks.shelf import Made, Shelf
from corpuscle.blocks.step import Across, applies, reads
from corpuscle.blocks.whole import Did, call, history, is_made
from corpuscle.core import Layer, Record
from corpuscle.store.digest import of_json


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one group, in the order of their names."""

    name: str
    groups: Mapping[str, str]
    members: tuple[str, ...]


def groups(step: Across, shelf: Shelf, names: Sequence[str]) -> list[Group]:
    """The groups of the records that the step is for; a record outside any group of this kind is left out."""
    found: dict[str, list[str]] = {}
    above: dict[str, dict[str, str]] = {}
    for name in names:
        record = shelf.record(name)
        if step.by in record.groups and applies(step, record):
            key = f"{step.by}:{record.group(step.by)}"
            found.setdefault(key, []).append(name)
            upto = list(record.groups).index(step.by) + 1
            above[key] = dict(list(record.groups.items())[:upto])
    return [Group(k, above[k], tuple(sorted(v))) for k, v in sorted(found.items())]


def run_group(step: Across, mark: str, shelf: Shelf, group: Group) -> Did:
    """Make the layer of one group, unless it is made already from these very inputs."""
    inputs = {
        n: of_json([[m, shelf.made(m)[n].digest] for m in group.members if n in shelf.made(m)]) for n in reads(step)
    }
    if group.name in shelf.names():
        record = shelf.record(group.name)
        made = dict(shelf.made(group.name))
        for n, digest in inputs.items():
            made[n] = Made("", {}, digest)
        if is_made(record, step, mark, made):
            return Did(skipped=1)
    else:
        record = Record(group.name, group.groups)
    answers = call(step, [_each(shelf, group, n) for n in reads(step)], group.name)
    for n, layer in answers.items():
        record = record.with_layer(n, layer)
    shelf.put(record, list(answers), history(step, mark, inputs))
    return Did(made=1)


def _each(shelf: Shelf, group: Group, layer: str) -> Iterator[Layer]:
    for name in group.members:
        yield shelf.record(name)[layer]
