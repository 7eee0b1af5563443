"""Everything corpuscle raises on purpose: one base, and each child is also the builtin a caller expects."""

from __future__ import annotations

import json
from pathlib import Path


class CorpuscleError(Exception):
    """Base of every error raised on purpose, so one `except` can catch them all.

    Parameters
    ----------
    message
        What was wrong and why, in one sentence.
    where
        The file, unit or byte that it is about.
    fix
        What to do about it.
    rule
        A short stable id, for machines.
    asked
        Whether the fault is in what was asked for, where that is not so, or so, for all errors of its kind.

    >>> e = FormatError("the zlib stream ends early", where="a.C01", fix="copy the file again", rule="c01-truncated")
    >>> print(e)
    a.C01: the zlib stream ends early (copy the file again) [c01-truncated]
    """

    rule = "error"
    asked: bool = False
    """Whether the fault is in what was asked for, rather than in what was found: exit code 2, and not 1."""

    def __init__(
        self, message: str, *, where: str | Path = "", fix: str = "", rule: str = "", asked: bool | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = str(where)
        self.fix = fix
        self.rule = rule or type(self).rule
        self.asked = type(self).asked if asked is None else asked

    def __str__(self) -> str:
        where = f"{self.where!r}: " if _odd(self.where) else f"{self.where}: " if self.where else ""
        fix = f" ({self.fix})" if self.fix else ""
        return f"{where}{self.message}{fix} [{self.rule}]"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the default would lose everything but the message.
        return _revive, (type(self), self.message, self.where, self.fix, self.rule, self.asked)

    def as_json(self) -> str:
        """One line for machines: file, rule, reason, fix."""
        return json.dumps({"file": self.where, "rule": self.rule, "reason": self.message, "fix": self.fix})


def _odd(text: str) -> bool:
    return not text.isprintable()


def _revive(kind: type[CorpuscleError], message: str, where: str, fix: str, rule: str, asked: bool) -> CorpuscleError:
    return kind(message, where=where, fix=fix, rule=rule, asked=asked)


class SpaceError(CorpuscleError, ValueError):
    """Two things do not live in the same space, or a length has no meaning in it."""

    rule = "space"


class LayerError(CorpuscleError, ValueError):
    """A layer's parts disagree with one another."""

    rule = "layer"


class FormatError(CorpuscleError, ValueError):
    """A file is not what its reader expects."""

    rule = "format"


class FormatUnknown(FormatError):
    """No reader knows this file."""

    rule = "format-unknown"


class LayerMissing(CorpuscleError, KeyError):
    """A record lacks the layer asked for."""

    asked = True
    rule = "layer-missing"

    __str__ = CorpuscleError.__str__


class RecordMissing(CorpuscleError, KeyError):
    """A corpus lacks the record asked for."""

    asked = True
    rule = "record-missing"

    __str__ = CorpuscleError.__str__


class CorpusError(CorpuscleError, ValueError):
    """A corpus on disk is not as its layout says."""

    rule = "corpus"


class StoreError(CorpuscleError, OSError):
    """Something could not be written or read back whole."""

    rule = "store"


class StepError(CorpuscleError, RuntimeError):
    """A step cannot run as it is declared, or its op failed on a block."""

    rule = "step"


class PlanError(CorpuscleError, MemoryError):
    """What is asked for cannot fit, found out before anything ran."""

    asked = True
    rule = "plan"


class SettingsError(CorpuscleError, ValueError):
    """A setting or argument that cannot be meant."""

    asked = True
    rule = "settings"


class ExtraMissing(CorpuscleError, ImportError):
    """An optional part is not installed."""

    asked = True
    rule = "extra-missing"


def extra_missing(extra: str, what: str) -> ExtraMissing:
    """The error for an absent optional part, with its install line."""
    return ExtraMissing(f"{what} needs an optional part", fix=f"pip install 'corpuscle[{extra}]'")
