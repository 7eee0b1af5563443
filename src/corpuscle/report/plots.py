"""The plots of a page: scores with their intervals, curves, sizes, histograms, plates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from corpuscle.bench.board import Row
from corpuscle.bench.bootstrap import Score
from corpuscle.report.draw import (
    COLOURS,
    GRID,
    INK,
    QUIET,
    WIDE,
    Scale,
    apart,
    bottom_axis,
    dot,
    figure,
    left_axis,
    line,
    number,
    path,
    rect,
    text,
    ticks,
)
from corpuscle.report.survey import Brightness

SIZES = (("<25px", "< 25"), ("25-100px", "25 to 100"), ("100-1000px", "100 to 1000"), ("1000-2100px", "1000 to 2100"),
         (">=2100px", "2100 and more"))  # fmt: skip
LIGHT, DARK = (0xE8, 0xF1, 0xF8), (0x0B, 0x3C, 0x6F)
BARE = "#eceff2"
"""A well that was imaged, and of which nothing is counted."""
PLATES = ((8, 12), (16, 24), (32, 48))


def colours(guesses: Sequence[str]) -> dict[str, str]:
    """A colour for each guess, the same on the whole page."""
    return {g: COLOURS[i % len(COLOURS)] for i, g in enumerate(guesses)}


def scores(boards: Mapping[str, Sequence[Row]], metric: str, *, name: str, colour: Mapping[str, str]) -> str:
    """A dot and its interval for each guess in each split; the splits one below the other, for the eye to compare."""
    guesses = [r.guess for rows in boards.values() for r in rows]
    left = 16 + WIDE * max((len(g) for g in guesses), default=0)
    top, step, gap, right = 26.0, 22.0, 34.0, 54.0
    width = max(520.0, left + 340)
    lowest = min((_low(r.score(metric)) for rows in boards.values() for r in rows), default=0.0)
    floor = 0.0 if math.isnan(lowest) else max(0.0, math.floor(lowest * 10 - 0.5) / 10)
    x = Scale(floor, 1, left, width - right)
    y, shapes = top, []
    for split, rows in boards.items():
        shapes.append(text(0, y, split, bold=True))
        n = rows[0].n_records
        shapes.append(text(width, y, f"{n} record{'s' * (n != 1)}", anchor="end", colour=QUIET, size=11))
        for row in rows:
            y += step
            shapes += _whisker(row, row.score(metric), x, y - 4, colour[row.guess], name)
            shapes.append(text(left - 12, y, row.guess, anchor="end"))
        y += gap
    foot = y - gap + 14
    axis = bottom_axis(x, foot, top=top + 6, name=f"{name} (micro average, 95 % interval)", marks=ticks(floor, 1))
    return figure(width, foot + 42, [*axis, *shapes], label=f"{name} of each guess in each split, with intervals")


def _whisker(row: Row, score: Score, x: Scale, y: float, colour: str, name: str) -> list[str]:
    told = _told(row, score, name)
    if math.isnan(score.value):
        return [text(x.start, y + 4, "undefined", colour=QUIET, size=11)]
    out = []
    if not math.isnan(score.low):
        out.append(line(x(max(score.low, x.lo)), y, x(score.high), y, colour=colour, width=2.5, title=told))
    out.append(dot(x(max(score.value, x.lo)), y, colour=colour, r=5, title=told))
    out.append(text(x.stop + 10, y + 4, f"{score.value:.3f}", size=11))
    return out


def _low(score: Score) -> float:
    return score.value if math.isnan(score.low) else score.low


def _told(row: Row, score: Score, name: str) -> str:
    interval = "" if math.isnan(score.low) else f" [{score.low:.3f}, {score.high:.3f}]"
    return (
        f"{row.guess}: {name} {score.value:.3f}{interval}; {row.split}, {score.n} records in "
        f"{score.n_groups} groups; {row.metric}{f'; {score.note}' if score.note else ''}"
    )


def curves(rows: Sequence[Row], *, colour: Mapping[str, str]) -> str:
    """F1 against the IoU that a match must reach, a line for each guess with its name at the end."""
    names = sorted({s.metric for r in rows for s in r.scores if re.fullmatch(r"f1@\.\d\d", s.metric)})
    at = {n: int(n[-2:]) / 100 for n in names}
    width, height, left, top, right = 620.0, 330.0, 34.0, 30.0, 20 + WIDE * max(len(r.guess) for r in rows)
    x, y = Scale(min(at.values()), max(at.values()), left, width - right), Scale(0, 1, height - 44, top)
    shapes = left_axis(y, left, right=x.stop, name="F1", marks=ticks(0, 1))
    tenths = [v for v in at.values() if round(100 * v) % 10 == 0]
    shapes += bottom_axis(x, y.start, top=top, name="IoU that a match must reach", marks=tenths, grid=False)
    ends = [(r, r.score(names[-1]).value) for r in rows]
    places = apart([y(0 if math.isnan(v) else v) for _, v in ends], gap=15)
    for (row, _), label in zip(ends, places, strict=True):
        points = [(x(at[n]), y(v)) for n in names if not math.isnan(v := row.score(n).value)]
        if not points:
            continue
        shapes.append(path(points, colour=colour[row.guess], title=row.guess))
        for n in names:
            score = row.score(n)
            if not math.isnan(score.value):
                told = _told(row, score, f"F1 at IoU {at[n]:.2f}")
                shapes.append(dot(x(at[n]), y(score.value), colour=colour[row.guess], r=3, title=told))
        shapes.append(line(points[-1][0] + 4, points[-1][1], x.stop + 13, label, colour=colour[row.guess]))
        shapes.append(text(x.stop + 16, label + 4, row.guess))
    return figure(width, height, shapes, label=f"F1 against IoU threshold of {len(rows)} guesses on {rows[0].split}")


def sizes(rows: Sequence[Row], *, colour: Mapping[str, str]) -> str:
    """Recall at IoU 0.5 by size of the truth object, the guesses side by side in each class."""
    known = [(m, label) for m, label in SIZES if any(s.metric == f"recall@.50[{m}]" for s in rows[0].scores)]
    width, height, left, top = 620.0, 330.0, 34.0, 30.0
    y = Scale(0, 1, height - 58, top)
    shapes = left_axis(y, left, right=width, name="recall", marks=ticks(0, 1))
    band = (width - left) / max(1, len(known))
    for k, (metric, label) in enumerate(known):
        middle = left + band * (k + 0.5)
        shapes.append(text(middle, y.start + 18, f"{label} px", anchor="middle", colour=QUIET, size=11))
        if k:
            shapes.append(line(middle - band / 2, top, middle - band / 2, y.start))
        for i, row in enumerate(rows):
            score = row.score(f"recall@.50[{metric}]")
            at = middle + (i - (len(rows) - 1) / 2) * min(18, band / (len(rows) + 1))
            told = _told(row, score, f"recall of objects of {label} px")
            if math.isnan(score.value):
                continue
            if not math.isnan(score.low):
                shapes.append(
                    line(at, y(score.low), at, y(score.high), colour=colour[row.guess], width=2.2, title=told)
                )
            shapes.append(dot(at, y(score.value), colour=colour[row.guess], r=4.5, title=told))
    shapes.append(
        text((left + width) / 2, height - 22, "size of the object in the truth", anchor="middle", colour=QUIET)
    )
    shapes += _legend([(r.guess, colour[r.guess]) for r in rows], left, height - 2)
    return figure(width, height + 6, shapes, label=f"recall by object size of {len(rows)} guesses on {rows[0].split}")


def _legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> list[str]:
    out = []
    for name, colour in entries:
        out += [dot(x + 5, y - 4, colour=colour, r=4.5), text(x + 15, y, name)]
        x += 32 + WIDE * len(name)
    return out


def histogram(values: NDArray[np.float64], *, name: str, what: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """How many values lie where; `marks` are named places along the axis, their names in a row of their own above."""
    kept = values[np.isfinite(values)]
    above_it = 18.0 if marks else 0.0
    width, height, left, top = 620.0, 250.0 + above_it, 44.0, 30.0 + above_it
    hi = float(np.quantile(kept, 0.995)) if len(kept) else 1.0
    lo = min(0.0, float(kept.min(initial=0.0)))
    steps = ticks(lo, max(hi, lo + 1), most=int(min(44, max(16, math.sqrt(len(kept)) * 1.5))))
    step = steps[1] - steps[0]
    if len(kept) and (kept == np.rint(kept)).all():
        step = max(1.0, round(step))
    edges = np.arange(math.floor(lo / step), math.floor(hi / step) + 2) * step
    above = int(np.count_nonzero(kept >= edges[-1]))
    count, _ = np.histogram(np.minimum(kept, edges[-1] - step / 2), edges)
    x = Scale(float(edges[0]), float(edges[-1]), left, width - 18)
    y = Scale(0, float(max(1, count.max(initial=1))), height - 44, top)
    shapes = left_axis(y, left, right=x.stop, name=what, marks=[v for v in ticks(0, y.hi, most=5) if v == int(v)])
    for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), count.tolist(), strict=True):
        if n:
            till = (
                f"to below {number(round(b, 2))}"
                if b < edges[-1] or not above
                else f"and more, {above} of them from {b:g}"
            )
            told = f"{n} {what} of {number(round(a, 2))} {till}"
            shapes.append(rect(x(a) + 0.5, y(n), x(b) - x(a) - 1, y(0) - y(n), fill=COLOURS[0], title=told))
    shapes += bottom_axis(x, y.start, top=top, name=name, marks=ticks(x.lo, x.hi, most=9), grid=False)
    for value, label in marks:
        at = x(min(max(value, x.lo), x.hi))
        # The line keeps clear of the name of the axis, which stands in the row below.
        clear = at > left + WIDE * len(what)
        shapes.append(line(at, 14 if clear else top - 6, at, y.start, colour=INK, width=1.2, title=label))
        near = at + 5 + WIDE * len(label) < width
        shapes.append(text(at + (5 if near else -5), 12, label, size=11, anchor="start" if near else "end"))
    return figure(width, height, shapes, label=f"histogram: {what} by {name}, {len(kept)} in all")


def brightness(rows: Sequence[Brightness], *, channel: str) -> str:
    """From the dark to the bright percentile of each record, in the order of records."""
    width, height, left, top = 620.0, 230.0, 56.0, 30.0
    y = Scale(0, max((r.high for r in rows), default=1.0) * 1.02, height - 34, top)
    step = (width - left - 8) / max(1, len(rows))
    shapes = left_axis(y, left, right=width - 8, name="intensity as recorded", marks=ticks(0, y.hi, most=5))
    for i, r in enumerate(rows):
        at = left + step * (i + 0.5)
        told = f"record {r.record}, channel {r.channel}: percentile 0.1 is {r.low:g}, percentile 99.9 is {r.high:g}"
        thick = max(1.0, min(7.0, step * 0.6))
        shapes.append(line(at, y(r.low), at, y(r.high), colour=COLOURS[0], width=round(thick, 1), title=told))
    what = f"{len(rows)} records, in the order of their names"
    shapes.append(text((left + width) / 2, height - 10, what, anchor="middle", colour=QUIET))
    return figure(width, height, shapes, label=f"percentiles 0.1 and 99.9 of channel {channel} in {len(rows)} records")


def plate_size(wells: Iterable[str]) -> tuple[int, int]:
    """Rows and columns of the smallest plate in use that has all these wells.

    >>> plate_size(["A01", "H12"]), plate_size(["I01"])
    ((8, 12), (16, 24))
    """
    places = [_place(w) for w in wells if _place(w)]
    row, column = (max((p[i] for p in places if p), default=0) for i in (0, 1))
    return next((p for p in PLATES if row < p[0] and column < p[1]), (row + 1, column + 1))


def _place(well: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([A-Z])([0-9]{1,3})", well)
    return (ord(match[1]) - ord("A"), int(match[2]) - 1) if match and int(match[2]) else None


def plate(
    name: str, wells: Mapping[str, tuple[float | None, str]], *, what: str, most: float, size: tuple[int, int]
) -> str:
    """A plate of `size` rows and columns from above: each well has a value, None where unknown, and words to point at.

    `most` is the value of the darkest colour.
    """
    at = {place: w for w in wells if (place := _place(w))}
    rows, columns = size
    cell, left, top = 22.0 if columns > 12 else 36.0, 22.0, 44.0
    shapes = [text(0, 14, name, bold=True)]
    shapes += [text(left + cell * (c + 0.5), top - 6, str(c + 1), anchor="middle", colour=QUIET, size=10)
               for c in range(columns)]  # fmt: skip
    shapes += [text(left - 7, top + cell * (r + 0.5) + 4, chr(ord("A") + r), anchor="end", colour=QUIET, size=10)
               for r in range(rows)]  # fmt: skip
    for r in range(rows):
        for c in range(columns):
            x, y = left + cell * c, top + cell * r
            if (r, c) not in at:
                shapes.append(rect(x + 1, y + 1, cell - 2, cell - 2, fill="#ffffff", edge=GRID, r=3))
                continue
            value, told = wells[at[r, c]]
            fill = BARE if value is None else _shade(value / most if most else 0)
            shapes.append(rect(x + 1, y + 1, cell - 2, cell - 2, fill=fill, edge="#8b98a5", r=3, title=told))
            if value is None:
                shapes.append(text(x + cell / 2, y + cell / 2 + 4, "–", anchor="middle", colour=QUIET))
            else:
                pale = value > most * 0.5
                small = 9 if columns > 12 else 11
                shapes.append(text(x + cell / 2, y + cell / 2 + 4, number(value), anchor="middle", size=small,
                                   colour="#ffffff" if pale else INK))  # fmt: skip
    return figure(left + cell * columns + 4, top + cell * rows + 8, shapes, label=f"plate {name}: {what} by well")


def _shade(share: float) -> str:
    mixed = (round(a + (b - a) * min(1.0, max(0.0, share))) for a, b in zip(LIGHT, DARK, strict=True))
    return "#" + "".join(f"{v:02x}" for v in mixed)
