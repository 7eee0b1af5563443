"""A data set, from raw files to benchmark, in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from corpuscle.bench.task import Task
from corpuscle.blocks.step import Step, Whole, reads, rebind, writes
from corpuscle.blocks.whole import call
from corpuscle.core import Record, Study
from corpuscle.corpus.split import Split
from corpuscle.errors import CorpuscleError, FormatError, SettingsError


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the real raw data, and the digest it must have, where it is known."""

    url: str
    sha256: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A record as ingest finds it: lazy layers, the files behind them, what to tell a person about it.

    `late` adds what only reading pixels tells, in the worker that will write them: the record, and more notes.
    `annotation` is the file among them without which the picture is still a record.
    `again` makes the record from the other files when one turns out bad on reading, if it can be made without.
    """

    record: Record
    files: tuple[Path, ...]
    notes: tuple[CorpuscleError, ...] = ()
    late: Callable[[Record], tuple[Record, tuple[CorpuscleError, ...]]] | None = None
    again: Callable[[Path], Record | None] | None = None
    annotation: Path | None = None

    def __str__(self) -> str:
        return str(self.files[0]) if self.files else self.record.name


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole data set in one value.

    Parameters
    ----------
    name, study
        What it is called and what is known of it.
    needs
        What the raw folder may hold, for a person.
    ingest
        Raw folder in, records out, each lazy; a file that cannot be read comes out as the error
        that says why, and the others come all the same.
    fake
        Writes raw files of a small world in the true layout; the keyword `size` says how large.
    probe
        A tiny record that new settings are tried on before anything is built with them.
    splits
        The splits that the raw folder carries.
    steps, tasks
        What is made of the records, and what is asked of them.
    """

    name: str
    study: Study
    needs: str
    ingest: Callable[[Path], Iterator[Found | FormatError]]
    fake: Callable[..., None]
    splits: Callable[[Path], Iterable[Split | CorpuscleError]]
    steps: tuple[Step, ...] = ()
    tasks: tuple[Task, ...] = ()
    sources: tuple[Source, ...] = field(default=())
    probe: Callable[[], Record] | None = None


def configured(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with parameters of its steps set: ``{"nuclei@local.factor": 0.7}``.

    A SettingsError names the steps, or the parameters of the step, that there are.
    """
    steps = list(recipe.steps)
    for key, value in settings.items():
        layer, dot, name = key.rpartition(".")
        at = [i for i, s in enumerate(steps) if layer in writes(s)]
        if not dot or not at:
            have = sorted({w for s in steps for w in writes(s)})
            raise SettingsError(f"{key!r} names no step", fix=f"write LAYER.PARAMETER=VALUE, LAYER of {have}")
        steps[at[0]] = rebind(steps[at[0]], name, value)
        if name != "channel":  # which channels there are, only the data can tell
            _try(recipe, steps[at[0]], key, value)
    return replace(recipe, steps=tuple(steps))


def _try(recipe: Recipe, step: Step, key: str, value: Any) -> None:
    """Run a step on the recipe's probe, so that a setting it cannot mean is refused once and at once."""
    if recipe.probe is None or not isinstance(step, Whole):
        return
    record = recipe.probe()
    try:
        call(step, [record[n] for n in reads(step)], record.name)
    except CorpuscleError as e:
        raise SettingsError(f"{key}={value!r}: {e.message}", fix=e.fix, rule="setting-value") from e
    except (TypeError, ValueError, ArithmeticError, LookupError) as e:
        raise SettingsError(f"{key}={value!r}: {e}", rule="setting-value") from e
