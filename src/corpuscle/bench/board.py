"""A leaderboard whose rows say what they were measured on, with what, and may only be ranked where that is the same."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from corpuscle import __version__
from corpuscle.bench.bootstrap import Average, Score
from corpuscle.errors import SettingsError
from corpuscle.metrics.tally import Tally

FORMAT = "corpuscle-board-row/1"


@dataclass(frozen=True, slots=True)
class Row:
    """What one guess scored in one split of one corpus, bound to everything the figures depend on.

    Parameters
    ----------
    split
        Which records were scored, in a word: ``published/test``, ``audited/test``. The two stand side by
        side and are never ranked together.
    metric
        What `metric_id` says: name, version and settings.
    corpus
        Digest of the corpus: its inputs and truth.
    step
        Fingerprint of the step that made the guess; None where it came from outside.
    n_records
        Records that were scored.
    flags
        Why to look twice: see `flags`.
    """

    task: str
    guess: str
    split: str
    metric: str
    corpus: str
    step: str | None
    n_records: int
    scores: tuple[Score, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def score(self, name: str, *, average: Average = "micro") -> Score:
        """The score of this name; raises SettingsError where the row has none."""
        for score in self.scores:
            if score.metric == name and score.average == average:
                return score
        known = sorted({s.metric for s in self.scores})
        raise SettingsError(f"no {average} score {name!r}, only {known}", where=self.guess, rule="board-score")

    def to_json(self) -> str:
        """One line of canonical JSON, keys sorted; undefined numbers are null."""
        plain = {"format": FORMAT, **asdict(self), "scores": [_plain(s) for s in self.scores]}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Row:
        """The row of a line that `to_json` wrote; raises SettingsError for anything else."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad(f"not JSON: {error}") from error
        if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
            raise _bad(f"not of format {FORMAT}")
        scores = plain.pop("scores", None)
        if not isinstance(scores, list):
            raise _bad("it has no list of scores")
        return cls(
            **_typed(plain, _ROW),
            step=_step(plain.get("step")),
            scores=tuple(_score(s) for s in scores),
            environment=_strings(plain.get("environment")),
            flags=_flags(plain.get("flags")),
        )

    def lines(self) -> list[str]:
        """One JSON object per score, for machines that read line by line."""
        about = {"task": self.task, "guess": self.guess, "split": self.split}
        return [json.dumps({**about, **_plain(s)}, ensure_ascii=False, allow_nan=False) for s in self.scores]


def environment() -> dict[str, str]:
    """What the figures were computed with."""
    return {
        "corpuscle": __version__,
        "numpy": version("numpy"),
        "platform": f"{sys.platform}-{platform.machine()}",
        "python": platform.python_version(),
        "scipy": version("scipy"),
    }


def flags(tallies: Mapping[str, Tally]) -> tuple[str, ...]:
    """Reasons to distrust a guess.

    ``identical``: it equals the truth to the pixel wherever that holds objects. No method does so on a real
    image, and no two people do: it was computed from the truth, or the truth from it.
    """
    same = [name for name, tally in tallies.items() if getattr(tally, "n_identical", 0)]
    if not same:
        return ()
    return (
        f"identical: the guess equals the truth in {len(same)} of {len(tallies)} records, {min(same)!r} among them",
    )


def rank(
    rows: Iterable[Row], *, by: str = "mean_f1", average: Average = "micro", lowest: bool = False
) -> list[tuple[int, Row]]:
    """Places and rows, best first; equal scores share a place, undefined ones come last.

    Raises SettingsError where the rows differ in task, split, metric version, corpus digest or number of
    records: such figures do not answer one question.
    """
    given = list(rows)
    for what in ("task", "split", "metric", "corpus", "n_records"):
        if len(told := sorted({str(getattr(row, what)) for row in given})) > 1:
            raise SettingsError(
                f"rows of different {what} do not compare: {', '.join(told)}",
                fix="measure them again on one corpus, with one version",
                rule=f"board-{what.replace('_', '-')}",
            )
    sign = 1 if lowest else -1

    def key(row: Row) -> tuple[bool, float]:
        value = row.score(by, average=average).value
        return (True, 0.0) if math.isnan(value) else (False, sign * value)

    ordered = sorted(given, key=lambda row: (key(row), row.guess))
    keys = [key(row) for row in ordered]
    return [(keys.index(k) + 1, row) for k, row in zip(keys, ordered, strict=True)]


_ROW: Mapping[str, type] = {"task": str, "guess": str, "split": str, "metric": str, "corpus": str, "n_records": int}
_WORDS: Mapping[str, type] = {"metric": str, "average": str, "note": str, "n": int, "n_groups": int, "n_undefined": int}


def _plain(score: Score) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(score).items()}


def _score(plain: object) -> Score:
    if not isinstance(plain, dict):
        raise _bad("a score is an object")
    words = _typed(plain, _WORDS)
    if words["average"] not in ("micro", "macro"):
        raise _bad(f"an average is micro or macro, not {words['average']!r}")
    value, low, high = (_number(plain.get(k)) for k in ("value", "low", "high"))
    return Score(value=value, low=low, high=high, **words)


def _typed(plain: dict[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    for name, kind in types.items():
        if type(plain.get(name)) is not kind:
            raise _bad(f"{name} is {plain.get(name)!r}, not {kind.__name__}")
    return {name: plain[name] for name in types}


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise _bad(f"{value!r} is no finite number")
    return float(value)


def _step(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _bad(f"step is {value!r}, not str or null")
    return value


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise _bad("environment is an object of strings")
    return value


def _flags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise _bad("flags is a list of strings")
    return tuple(value)


def _bad(message: str) -> SettingsError:
    return SettingsError(f"this is no row of a board: {message}", rule="board-row")
