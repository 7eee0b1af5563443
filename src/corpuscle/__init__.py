"""A foundry for bioimage data sets: raw microscope files in, a published benchmark out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from corpuscle.core.record import Record
    from corpuscle.corpus.corpus import Corpus

__version__ = "0.1.0"
__all__ = ["__version__", "open", "read"]


def open(root: Path | str) -> Corpus:
    """The corpus in a folder: ``corpuscle.open(dir)["record"]["layer"].read(box, level=1)`` gives pixels.

    It may also lie behind an address, as ``https://host/corpus`` or ``s3://bucket/corpus``, and is read from there.

    Raises CorpusError where there is none. Nothing is imported or read before it is asked for.
    """
    from corpuscle.corpus.corpus import Corpus

    return Corpus.open(root)


def read(path: Path | str, scene: str | None = None) -> Record:
    """One scene of any file that is known, as a record whose arrays are read when somebody asks.

    Raises FormatError where the file is not sound, and FormatUnknown where no reader knows it.
    """
    from corpuscle import formats

    return formats.read(path, scene)
