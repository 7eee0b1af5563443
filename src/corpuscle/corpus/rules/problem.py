"""What a check finds: a rule that is broken, where, in what way, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN = "restore it from a copy, or build it again"

RULES: dict[str, str] = {
    "axes-swapped": "The axes are not those of the array, or not in the order t, c, z, y, x.",
    "card-stale": "README.md is not the card that the corpus makes of itself.",
    "check-failed": "A record could not be checked to the end.",
    "chunk-checksum": "A chunk, or the index of a shard, does not fit its checksum: a byte was flipped.",
    "column-missing": "A table lacks a column that it must have.",
    "corpus-checksum": "corpus.json was changed since it was written.",
    "corpus-digest": "The digests in corpus.json are not those of the records and the study.",
    "corpus-format": "The corpus is of a format that is not known here.",
    "corpus-unfinished": "The corpus was begun and never completed.",
    "dtype-wrong": "The pixels are of another type than was written, or differ in type between levels.",
    "edge-dangling": "An edge of a graph names a node that is not there.",
    "field-missing": "A well and the records disagree on which fields are there.",
    "file-missing": "A file that the corpus lists is not there.",
    "file-orphan": "A file or folder belongs to nothing.",
    "file-seal": "A sealed file was changed since it was written.",
    "id-duplicate": "The same object or node twice in one table or graph.",
    "run-changed": "A kept run is not what its name, the digest of its content, says.",
    "run-torn": "A kept run cannot be read.",
    "index-stale": "index.parquet is not what the record files say.",
    "json-torn": "A file is no JSON, or was cut off.",
    "label-orphan": "Labels that no record lists, or that number the objects of an image that is not there.",
    "label-shape": "Labels of another shape than the image that they number.",
    "labels-float": "Labels that are not whole numbers.",
    "labels-list": "The list of the labels of an image is not what lies beneath it.",
    "layer-differs": "What is on disk is not what the record says was written.",
    "layer-kind": "A layer is of another kind than its record says.",
    "layer-missing": "A layer that a record lists is not there.",
    "level-missing": "A level of a pyramid is not there.",
    "level-wrong": "A level of a pyramid is not the one below it, downsampled.",
    "licence-missing": "A part of the corpus for which no licence is stated.",
    "licence-unknown": "A licence that is no SPDX identifier of a known licence.",
    "metadata-wrong": "Metadata that cannot be meant.",
    "object-cut": "An object of the truth lies in more than one piece, and its record does not say so.",
    "path-outside": "A path or a link that leads out of the corpus.",
    "record-checksum": "A record file was changed since it was written.",
    "record-duplicate": "Two records of one name.",
    "record-fields": "A record file lacks or misstates a field.",
    "record-format": "A record is of a format that is not known here.",
    "record-missing": "A record that the index lists is not there.",
    "scale-zero": "A scale that is zero, negative or not a number.",
    "shard-missing": "A shard is not there, and would be read as zeros.",
    "shard-torn": "A shard was cut off, or holds bytes that belong to no chunk.",
    "slug-mismatch": "A record does not lie where its name wants it.",
    "split-absent": "A split names a record that is not there.",
    "split-duplicate": "A split has the same record twice.",
    "study-fields": "The study lacks or misstates a field.",
    "study-placeholder": "The study holds a placeholder.",
    "table-corrupt": "A table or graph cannot be read back.",
    "well-missing": "A plate and the records disagree on which wells are there.",
}
"""Every rule by its id."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Parameters
    ----------
    rule
        One of `RULES`.
    place
        Where: a path within the corpus, with forward slashes.
    message
        What is wrong there.
    fix
        What to do about it.
    """

    rule: str
    place: str
    message: str
    fix: str = AGAIN

    def __post_init__(self) -> None:
        assert self.rule in RULES, f"rule {self.rule!r} is not in the table"
        for name in ("place", "message", "fix"):
            text = str(getattr(self, name))
            object.__setattr__(self, name, text.encode("utf-8", "backslashreplace").decode()[:2000])

    @property
    def order(self) -> tuple[str, str, str]:
        """By what problems are sorted: place, rule, message."""
        return self.place, self.rule, self.message
