"""The few shapes that a plot is drawn with, as SVG text; every mark can say in a tooltip what it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B")
"""Okabe and Ito's palette, told apart with any colour vision; the palest last."""
INK, QUIET, GRID = "#1b1f24", "#57606a", "#e3e7eb"
WIDE = 7.3
"""A letter of 12 px is at most about so wide, whatever font stands in."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From `lo`..`hi` of the data to `start`..`stop` of the drawing.

    >>> Scale(0, 10, 100, 200)(5)
    150.0
    """

    lo: float
    hi: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Where a value is drawn."""
        span = self.hi - self.lo or 1.0
        return self.start + (value - self.lo) / span * (self.stop - self.start)


def ticks(lo: float, hi: float, *, most: int = 6) -> list[float]:
    """Round numbers from `lo` to `hi`, at most about `most` of them.

    >>> ticks(0, 1, most=6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not hi > lo:
        return [lo]
    raw = (hi - lo) / max(1, most - 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * (1 - 1e-9))
    first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's label: short, thousands apart.

    >>> number(0.30000000000000004), number(12000.0), number(2.0)
    ('0.3', '12,000', '2')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _titled(shape: str, tag: str, title: str) -> str:
    return f"{shape}><title>{escape(title)}</title></{tag}>" if title else f"{shape}/>"


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = GRID, width: float = 1, title: str = "") -> str:
    """A straight line."""
    shape = f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="{colour}" stroke-width="{width}"'
    return _titled(shape, "line", title)


def path(points: Iterable[tuple[float, float]], *, colour: str, width: float = 2, title: str = "") -> str:
    """A line through points."""
    d = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    shape = f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
    return _titled(shape, "path", title)


def dot(x: float, y: float, *, colour: str, r: float = 4, hollow: bool = False, title: str = "") -> str:
    """A filled or hollow disc."""
    fill = "#fff" if hollow else colour
    shape = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" fill="{fill}" stroke="{colour}" stroke-width="1.6"'
    return _titled(shape, "circle", title)


def rect(
    x: float, y: float, w: float, h: float, *, fill: str, edge: str = "none", r: float = 0, title: str = ""
) -> str:
    """A rectangle, its corners rounded by `r`."""
    shape = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="{_n(r)}" fill="{fill}" stroke="{edge}"'
    return _titled(shape, "rect", title)


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: float = 12, bold: bool = False
) -> str:
    """Words whose baseline lies at y."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{colour}" font-size="{_n(size)}"{weight}>'
        f"{escape(words)}</text>"
    )


def figure(width: float, height: float, shapes: Iterable[str], *, label: str) -> str:
    """A drawing of its own; `label` says in words what it shows, to those who cannot see it."""
    return (
        f'<svg class="plot" viewBox="0 0 {_n(width)} {_n(height)}" style="max-width:{_n(width)}px" role="img" '
        f'aria-label="{escape(label)}">{"".join(shapes)}</svg>'
    )


def bottom_axis(
    scale: Scale, y: float, *, top: float, name: str, marks: Iterable[float], grid: bool = True
) -> list[str]:
    """Ticks, labels and name of an axis along the foot of a plot, with quiet lines up to `top`."""
    out = []
    for v in marks:
        if grid:
            out.append(line(scale(v), top, scale(v), y))
        out.append(text(scale(v), y + 16, number(v), anchor="middle", colour=QUIET, size=11))
    out.append(text((scale.start + scale.stop) / 2, y + 34, name, anchor="middle", colour=QUIET))
    return out


def left_axis(scale: Scale, x: float, *, right: float, name: str, marks: Iterable[float]) -> list[str]:
    """The same along the left side; the name stands above the plot, where it reads level."""
    out = []
    for v in marks:
        out.append(line(x, scale(v), right, scale(v)))
        out.append(text(x - 6, scale(v) + 4, number(v), anchor="end", colour=QUIET, size=11))
    out.append(text(x - 6, min(scale.start, scale.stop) - 12, name, colour=QUIET))
    return out


def apart(wanted: list[float], *, gap: float) -> list[float]:
    """Positions near the wanted ones, none closer than `gap` to the next: for labels at the end of lines.

    >>> apart([10, 11, 40], gap=10)
    [5.5, 15.5, 40.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    clusters: list[list[int]] = []
    middle: list[float] = []
    for i in order:
        clusters.append([i])
        middle.append(float(wanted[i]))
        while len(clusters) > 1:
            a, b = clusters[-2], clusters[-1]
            if middle[-1] - middle[-2] >= gap * (len(a) + len(b)) / 2:
                break
            joined = a + b
            clusters[-2:] = [joined]
            middle[-2:] = [sum(wanted[j] for j in joined) / len(joined)]
    out = [0.0] * len(wanted)
    for cluster, at in zip(clusters, middle, strict=True):
        for k, i in enumerate(cluster):
            out[i] = at + (k - (len(cluster) - 1) / 2) * gap
    return out
