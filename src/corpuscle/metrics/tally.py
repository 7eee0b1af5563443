"""Counts that add, the scores they come to, and the version a metric goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import SettingsError

Counts = NDArray[np.float64]
Setting = str | int | float | bool | None
Conventions = Mapping[str, Setting | tuple[Setting, ...]]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Tally(Protocol):
    """What one comparison of truth and guess comes to, before any ratio is taken."""

    def __add__(self, other: Self, /) -> Self:
        """The tally of both comparisons together."""
        ...

    def scores(self) -> dict[str, float]:
        """Name of a score to its value; nan where it is not defined."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A tally that is a plain vector of counts, so that thousands are added and scored at once."""

    @property
    def counts(self) -> Counts:
        """The tally as a vector, of the same length for every tally of its kind."""
        ...

    @staticmethod
    def rates(counts: Counts) -> dict[str, Counts]:
        """The scores of summed counts of shape (..., k), each of shape (...)."""
        ...


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called, which version of its definition this is, and the conventions it holds to.

    The version rises whenever any score of any input would change. Scores of two versions are never
    compared.
    """

    name: str
    version: int
    conventions: Conventions = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def metric(name: str, *, version: int, conventions: Conventions) -> Callable[[F], F]:
    """Marks a function of truth and guess as a version of a metric.

    >>> @metric("same", version=2, conventions={})
    ... def same(truth, guess, *, strict=False): ...
    >>> metric_id(partial(same, strict=True))
    'same/2(strict=True)'
    """
    mark = Metric(name, version, dict(conventions))

    def marked(function: F) -> F:
        # A plain attribute leaves it a plain function: it pickles, binds and reads as one.
        function.__dict__["metric"] = mark
        return function

    return marked


def metric_of(function: Callable[..., Any]) -> tuple[Metric, dict[str, Setting]]:
    """The metric behind a function, and the settings bound to it by partials.

    Raises SettingsError where the function carries no version, or a partial binds by position.
    """
    settings: dict[str, Setting] = {}
    while isinstance(function, partial):
        if function.args:
            raise SettingsError(
                "a metric's settings are bound by name, not by position",
                fix="partial(metric, name=value)",
                rule="metric",
            )
        settings = {**function.keywords, **settings}
        function = function.func
    mark = getattr(function, "metric", None)
    if not isinstance(mark, Metric):
        name = getattr(function, "__name__", repr(function))
        raise SettingsError(
            f"{name} carries no metric version, so its scores could be compared with nothing",
            fix="mark it with corpuscle.metrics.tally.metric",
            rule="metric-version",
        )
    return mark, dict(sorted(settings.items()))


def metric_id(function: Callable[..., Any]) -> str:
    """Name, version and bound settings in one line: equal lines mean comparable scores."""
    mark, settings = metric_of(function)
    bound = ", ".join(f"{k}={v!r}" for k, v in settings.items())
    return f"{mark}({bound})" if bound else str(mark)


def plus(a: T, b: T) -> T:
    """The sum of two tallies, field by field; fields are whole numbers or tuples of them, so it is exact."""
    if type(a) is not type(b):
        kinds = f"{type(a).__name__} and {type(b).__name__}"
        raise SettingsError(f"tallies of two kinds do not add: {kinds}", rule="tally-kind")
    total = []
    for f in fields(a):  # type: ignore[arg-type]
        x, y = getattr(a, f.name), getattr(b, f.name)
        total.append(tuple(i + j for i, j in zip(x, y, strict=True)) if isinstance(x, tuple) else x + y)
    return type(a)(*total)


def vector(tally: object) -> Counts:
    """The fields of a tally, one after the other."""
    out: list[int] = []
    for f in fields(tally):  # type: ignore[arg-type]
        value = getattr(tally, f.name)
        out.extend(value if isinstance(value, tuple) else (value,))
    return np.array(out, np.float64)


def named(zero: object, counts: Counts) -> dict[str, Counts]:
    """The inverse of `vector` for many tallies at once: a tuple field keeps its length as last axis."""
    out: dict[str, Counts] = {}
    at = 0
    for f in fields(zero):  # type: ignore[arg-type]
        value = getattr(zero, f.name)
        wide = len(value) if isinstance(value, tuple) else 1
        part = counts[..., at : at + wide]
        out[f.name] = part if isinstance(value, tuple) else part[..., 0]
        at += wide
    return out


def ratio(over: Counts, under: Counts) -> Counts:
    """`over / under`, nan where `under` is 0: a share of nothing is not defined."""
    some = under != 0
    return np.where(some, over / np.where(some, under, 1), np.nan)
