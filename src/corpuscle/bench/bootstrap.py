"""Scores of many records, with intervals that know which records belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from corpuscle.errors import SettingsError
from corpuscle.metrics.tally import Counted, Tally

Average = Literal["micro", "macro"]
Floats = NDArray[np.float64]
CHUNK = 1 << 22
"""Draws held in memory at once."""
FEW = 10


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one guess, and the interval that a resampling of groups gives it.

    Parameters
    ----------
    value
        nan where it is not defined.
    low, high
        The percentile interval; nan where there is none, and `note` says why.
    n
        Records behind the value: all for a micro average, those where it is defined for a macro average.
    average
        ``micro`` adds the tallies and scores the sum: every object counts alike. ``macro`` is the mean of
        each record's own score: every record counts alike, and those where it is undefined are left out.
    n_groups
        Groups that were drawn.
    n_undefined
        Records whose own score is undefined.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    average: Average
    n_groups: int
    n_undefined: int
    note: str = ""


def scores(
    tallies: Mapping[str, Tally],
    groups: Mapping[str, str],
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> list[Score]:
    """Micro and macro averages of every score, with intervals from a cluster bootstrap.

    Groups are drawn with replacement and bring all their records (Davison and Hinkley 1997, section 3.8):
    fields of one well share dye, density and focus, so drawing single fields would promise too much.
    The answer depends on names, tallies and seed, not on the order of the mappings.

    Parameters
    ----------
    tallies
        Record to its tally, all of one kind.
    groups
        Record to its group, for every record of `tallies`.
    level
        Share of the draws inside the interval.

    Raises SettingsError where there is no record, a group is missing, tallies are of several kinds, or a
    number makes no sense.
    """
    if not tallies:
        raise SettingsError("no record has been scored", rule="bench-empty")
    if missing := sorted(set(tallies) - set(groups)):
        raise SettingsError(f"{len(missing)} records have no group, among them {missing[0]!r}", rule="bench-group")
    if resamples < 1 or not 0 < level < 1:
        raise SettingsError(f"{resamples} resamples at a level of {level}", rule="bench-resamples")
    if len(kinds := sorted({type(t).__name__ for t in tallies.values()})) > 1:
        raise SettingsError(f"tallies of several kinds do not add: {', '.join(kinds)}", rule="bench-kind")
    records = sorted(tallies)
    kept = [tallies[r] for r in records]
    names, member = np.unique([groups[r] for r in records], return_inverse=True)
    own_rows = [t.scores() for t in kept]
    metrics = list(own_rows[0])
    own = np.array([[row[m] for m in metrics] for row in own_rows], np.float64)
    defined = np.isfinite(own)
    micro = _micro(kept, member, len(names))
    macro = _Macro(_by_group(np.where(defined, own, 0), member), _by_group(defined.astype(np.float64), member))
    once = np.ones((1, len(names)))
    draws = list(_draws(len(names), seed=seed, resamples=resamples)) if len(names) > 1 else []
    out = []
    averages: tuple[tuple[Average, _Micro | _Adding | _Macro], ...] = (("micro", micro), ("macro", macro))
    for average, of in averages:
        value = of(once)[0]
        drawn = np.concatenate([of(d) for d in draws]) if draws else np.empty((0, len(metrics)))
        for i, name in enumerate(metrics):
            low, high, note = _interval(drawn[:, i], level=level, n_groups=len(names), value=float(value[i]))
            undefined = int(np.count_nonzero(~defined[:, i]))
            n = len(records) - (undefined if average == "macro" else 0)
            out.append(Score(name, float(value[i]), low, high, n, average, len(names), undefined, note))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Micro:
    """Summed counts of each group, scored together: a product of matrices."""

    kind: Counted
    counts: Floats

    def __call__(self, draws: Floats) -> Floats:
        rates = self.kind.rates(_times(draws, self.counts))
        return np.stack(list(rates.values()), axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Adding:
    """The same for tallies that only know how to add."""

    sums: Sequence[Tally]

    def __call__(self, draws: Floats) -> Floats:
        rows = []
        for draw in draws:
            many = [t for t, k in zip(self.sums, draw, strict=True) for _ in range(int(k))]
            rows.append(list(reduce(add, many).scores().values()))
        return np.array(rows, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Macro:
    """Each group's summed scores and how many of them are defined."""

    sums: Floats
    defined: Floats

    def __call__(self, draws: Floats) -> Floats:
        n = _times(draws, self.defined)
        return np.where(n > 0, _times(draws, self.sums) / np.where(n > 0, n, 1), np.nan)


def _micro(kept: Sequence[Tally], member: NDArray[np.intp], n_groups: int) -> _Micro | _Adding:
    first = kept[0]
    if isinstance(first, Counted):
        return _Micro(first, _by_group(np.stack([t.counts for t in kept if isinstance(t, Counted)]), member))
    sums = [reduce(add, [t for t, m in zip(kept, member, strict=True) if m == g]) for g in range(n_groups)]
    return _Adding(sums)


def _draws(n: int, *, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each of n groups is drawn, a few resamples at a time."""
    rng = np.random.default_rng(seed)
    some = max(1, CHUNK // n)
    for start in range(0, resamples, some):
        rows = min(some, resamples - start)
        picks = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _by_group(values: Floats, member: NDArray[np.intp]) -> Floats:
    out = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(out, member, values)
    return out


def _times(draws: Floats, values: Floats) -> Floats:
    # Not `@`: a BLAS adds in an order that depends on its number of threads, and this answer must not.
    out: Floats = np.einsum("rg,gk->rk", draws, values, optimize=False)
    return out


def _interval(drawn: Floats, *, level: float, n_groups: int, value: float) -> tuple[float, float, str]:
    if math.isnan(value):
        return math.nan, math.nan, "undefined"
    if n_groups == 1:
        return math.nan, math.nan, "one group only: nothing to draw from"
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return math.nan, math.nan, "undefined in every draw"
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    note = f"{n_groups} groups only: the interval is likely too narrow" if n_groups < FEW else ""
    return float(low), float(high), note
