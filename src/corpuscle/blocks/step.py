"""What to do to records, as values that can be printed, stored and compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from corpuscle.blocks.merge import Merge, Paste
from corpuscle.blocks.region import Region
from corpuscle.core import Length, Record, px
from corpuscle.errors import SettingsError, StepError


@dataclass(frozen=True, slots=True)
class Blockwise:
    """Run `op` over images block by block, and merge what it answers into a new layer.

    Parameters
    ----------
    op
        Any function of arrays, its parameters bound with `functools.partial`. It sees the `axes`
        it asks for, once for each index of the others; if it sees c, it answers without it. It is
        given what it has an unbound parameter for: `spacing`, the voxel size along the spatial axes
        it sees; `corner`, the index of the first voxel it sees; `target`, the `Box` it is to answer
        for, halo included.
    reads, writes
        Layer names. Images that are read together have one shape along the block. A layer that is
        no image, such as a table of what to keep, is handed over whole.
    halo
        How far the op looks beyond its block: ``um(4)`` or ``px(16)``.
    axes
        What the op sees, among those that the image has.
    at
        Work on the coarsest pyramid level whose voxels are no larger than this.
    region
        The input box that an output box needs, where that is not the same box plus halo.
    merge
        How answers become one layer.
    when
        Which records the step is for; by default, all that have what it reads.
    labels_of
        If the answer is labels, the image layer they belong to.
    """

    op: Callable[..., Any]
    reads: str | tuple[str, ...]
    writes: str
    halo: Length = field(default_factory=lambda: px(0))
    axes: str = "zyx"
    at: Length | None = None
    region: Region | None = None
    merge: Merge = field(default_factory=Paste)
    when: Callable[[Record], bool] | None = None
    labels_of: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """Run `op` once per record, over layers as they are. Several `writes` take as many answers."""

    op: Callable[..., Any]
    reads: str | tuple[str, ...]
    writes: str | tuple[str, ...]
    when: Callable[[Record], bool] | None = None


@dataclass(frozen=True, slots=True)
class Across:
    """Run `op` once per group, over the layers of all its records, into a record of the group's own.

    `op` gets one iterator per name it reads, lazily, in the order of the records' names, and is
    never handed all pixels at once: a flat field from all wells, heights to a kidney, days to a series.
    """

    op: Callable[..., Any]
    reads: str | tuple[str, ...]
    writes: str
    by: str = "plate"
    when: Callable[[Record], bool] | None = None


Step: TypeAlias = Blockwise | Whole | Across


def reads(step: Step) -> tuple[str, ...]:
    """The layers a step reads, as a tuple."""
    return (step.reads,) if isinstance(step.reads, str) else step.reads


def writes(step: Step) -> tuple[str, ...]:
    """The layers a step writes, as a tuple."""
    return (step.writes,) if isinstance(step.writes, str) else step.writes


def applies(step: Step, record: Record) -> bool:
    """Whether the record has what the step reads, and is one of those it is for."""
    return all(name in record.layers for name in reads(step)) and (step.when is None or step.when(record))


def function(op: Callable[..., Any]) -> Callable[..., Any]:
    """The function under any number of partials; closures, lambdas and bound methods are refused.

    What they capture cannot be named, so it could neither be fingerprinted nor sent to a worker.
    """
    while isinstance(op, partial):
        op = op.func
    if not inspect.isfunction(op) and not inspect.isbuiltin(op) and not hasattr(op, "__wrapped__"):
        if not callable(op) or not hasattr(op, "__module__") or not hasattr(op, "__name__"):
            raise StepError(f"{op!r} is not a named function", fix="use a function of a module, bound with partial")
        return op
    if getattr(op, "__closure__", None) or "<" in getattr(op, "__qualname__", "") or inspect.ismethod(op):
        raise StepError(
            f"{op!r} is a closure, lambda or method: what it captures cannot be fingerprinted",
            fix="use a function of a module, bound with functools.partial",
            rule="step-closure",
        )
    return op


def bound(op: Callable[..., Any]) -> dict[str, Any]:
    """The keyword parameters bound to an op, outermost last."""
    out: dict[str, Any] = {}
    if isinstance(op, partial):
        if op.args:
            raise StepError(f"bind the parameters of {op.func!r} by keyword", rule="step-positional")
        out |= bound(op.func)
        out |= op.keywords
    return out


def wants(op: Callable[..., Any], name: str) -> bool:
    """Whether the op has a parameter of this name that nobody has bound."""
    return name in inspect.signature(op).parameters and name not in bound(op)


def frees_lock(op: Callable[..., Any]) -> bool:
    """Whether the op says that it frees the interpreter's lock, so that threads may share its work: see `core.free`."""
    return bool(getattr(function(op), "frees_lock", False))


def rebind(step: Step, name: str, value: Any) -> Step:
    """The step with one parameter of its op, or of its `when`, set to another value.

    >>> from functools import partial
    >>> from corpuscle.core.pyramid import downsample
    >>> rebind(Whole(partial(downsample, labels=False), "a", "b"), "labels", True).op.keywords
    {'labels': True}
    """
    of_op, of_when = bound(step.op), {} if step.when is None else bound(step.when)
    known = of_when | of_op
    if name not in known:
        raise SettingsError(
            f"{'/'.join(writes(step))} has no parameter {name!r}, only {sorted(known)}", rule="setting-unknown"
        )
    was = known[name]
    number = isinstance(was, (int, float)) and not isinstance(was, bool)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) if number else type(value) is type(was)
    if was is not None and not fits:
        raise SettingsError(f"{name} is now {was!r}; {value!r} is of another kind", rule="setting-kind")
    # What both know, such as a channel, means the same to both.
    if name in of_op:
        step = replace(step, op=partial(step.op, **{name: value}))
    if name in of_when and step.when is not None:
        step = replace(step, when=partial(step.when, **{name: value}))
    return step
