"""The few scores that a leaderboard shows of the many that a row has, and in what order the guesses stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpuscle.bench.board import Row, rank
from corpuscle.bench.bootstrap import Score
from corpuscle.errors import SettingsError

SHOWN = (
    ("f1@.50", "F1 at IoU 0.5"),
    ("mean_f1", "mean F1"),
    ("pq", "PQ"),
    ("aji_plus", "AJI+"),
    ("recall@.50[25-100px]", "recall 25–100 px"),
    ("dsb_map", "DSB 2018 score"),
    ("pixel_iou", "IoU of foreground"),
    ("pixel_dice", "Dice"),
    ("pixel_precision", "precision of pixels"),
    ("pixel_recall", "recall of pixels"),
    ("boundary_f@1px", "boundary F, 1 px"),
    ("boundary_f@2px", "boundary F, 2 px"),
    ("boundary_f@3px", "boundary F, 3 px"),
)
"""Scores that headline, in this order, and what people call them."""

RANKED = ("mean_f1", "pixel_dice", "boundary_f@2px")
"""What guesses are ranked by, where a row has it; else by the first score shown."""

CHOOSING = ("dev", "val", "valid", "validation", "train", "training")
"""The parts of a split in which a guess may be chosen, the best for it first."""

COUNTS = ("n_truth", "n_guess", "n_images", "n_empty", "n_identical", "splits", "merges")
MOST = 6


@dataclass(frozen=True, slots=True)
class Headline:
    """One leaderboard: columns as (score, what people call it), and rows with their places, best first.

    A guess that lacks some of the records has no place: its figures answer another question.
    """

    columns: tuple[tuple[str, str], ...]
    places: tuple[tuple[int | None, Row], ...]
    by: str


def headline(rows: Sequence[Row]) -> Headline:
    """The leaderboard of rows of one task and split, by micro averages.

    Raises SettingsError where the rows cannot be compared.
    """
    names = {s.metric for s in rows[0].scores}
    columns = tuple((m, label) for m, label in SHOWN if m in names)[:MOST]
    if not columns:
        own = [s.metric for s in rows[0].scores if s.average == "micro" and s.metric not in COUNTS]
        columns = tuple((m, m) for m in own[:MOST])
    by = next((m for m in RANKED if m in names), columns[0][0])
    most = max(r.n_records for r in rows)
    whole = rank([r for r in rows if r.n_records == most], by=by)
    rest = sorted((r for r in rows if r.n_records < most), key=lambda r: r.guess)
    return Headline(columns, (*whole, *((None, r) for r in rest)), by)


def boards(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by task and split, in the order in which they come."""
    out: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        out.setdefault((row.task, row.split), []).append(row)
    return out


def chosen(by_split: Mapping[str, Sequence[Row]]) -> tuple[str, str]:
    """The guess that stands first, and the split in which it does: one to choose in, and not to be tested in.

    That is the dev part of the first split which has one, else its training part, else all records.
    """
    for wanted in (*CHOOSING, ""):
        for split, rows in by_split.items():
            if split.rpartition("/")[2] == wanted or not wanted:
                return headline(rows).places[0][1].guess, split
    raise SettingsError("no guess was scored", fix="build guesses, or bring annotations", rule="bench-nothing")


def audited(split: str) -> str:
    """What the audit left of a part is called.

    >>> audited("published/test"), audited("all")
    ('published-audited/test', 'all')
    """
    scheme, slash, part = split.partition("/")
    return f"{scheme}-audited/{part}" if slash else split


def published(split: str) -> str:
    """The part that the audit started from: the inverse of `audited`, and itself for what is not audited."""
    scheme, slash, part = split.partition("/")
    return f"{scheme.removesuffix('-audited')}/{part}" if slash else split


def different(by_split: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """The splits without those audited parts that lost nothing: they would say the same figures twice."""
    out = {}
    for split, rows in by_split.items():
        twin = by_split.get(published(split))
        if split == published(split) or twin is None or twin[0].n_records != rows[0].n_records:
            out[split] = rows
    return out


def cell(score: Score) -> str:
    """A score with its interval, as text.

    >>> cell(Score("f1@.50", 0.75, 0.7, 0.8, 10, "micro", 5, 0))
    '0.750 [0.700, 0.800]'
    """
    if math.isnan(score.value):
        return "undefined"
    interval = "" if math.isnan(score.low) else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}"
