"""A question put to a corpus, and how an answer is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corpuscle.core import Layer, Record, truth_of
from corpuscle.errors import CorpuscleError, SettingsError
from corpuscle.metrics.tally import Tally, metric_id, metric_of


@dataclass(frozen=True, slots=True)
class Task:
    """Given the layers it `reads`, produce something like the layer `truth`.

    Parameters
    ----------
    metric
        Truth and guess in, a tally out; settings are bound with `functools.partial`, by name.
    group
        The level of `Record.groups` that no split may cut and that a bootstrap draws whole: the
        fields of one well are one observation, not sixteen.
    """

    name: str
    reads: tuple[str, ...]
    truth: str
    metric: Callable[[Layer, Layer], Tally]
    group: str

    def __post_init__(self) -> None:
        if not self.name or not self.truth or truth_of(self.truth) != self.truth:
            raise SettingsError(f"a task has a name and a truth, not {self.name!r} and {self.truth!r}", rule="task")
        if self.truth in self.reads:
            raise SettingsError(f"the task {self.name} reads its own truth {self.truth!r}", rule="task-reads-truth")


def describe(task: Task) -> dict[str, Any]:
    """The task as plain JSON values, with the version, settings and conventions of its metric.

    Raises SettingsError where the metric carries no version.
    """
    mark, settings = metric_of(task.metric)
    conventions = {k: list(v) if isinstance(v, tuple) else v for k, v in mark.conventions.items()}
    return {
        "name": task.name,
        "reads": list(task.reads),
        "truth": task.truth,
        "group": task.group,
        "metric": {
            "id": metric_id(task.metric),
            "name": mark.name,
            "version": mark.version,
            "settings": settings,
            "conventions": conventions,
        },
    }


def score_record(task: Task, record: Record, guess: str) -> Tally:
    """The tally of one guess at one record; nothing is predicted here.

    Raises LayerMissing where the record lacks truth or guess, SettingsError where the guess is at
    another truth, and what the metric raises, with the record named.
    """
    if truth_of(guess) != task.truth:
        raise SettingsError(
            f"{guess!r} is a guess at {truth_of(guess)!r}, and the task {task.name} asks for {task.truth!r}",
            where=record.name,
            rule="guess-other-truth",
        )
    truth, answer = record[task.truth], record[guess]
    try:
        return task.metric(truth, answer)
    except CorpuscleError as error:
        if error.where:
            raise
        raise type(error)(f"{guess}: {error.message}", where=record.name, fix=error.fix, rule=error.rule) from error
