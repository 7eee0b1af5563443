"""Bars drawn as a small SVG, one for each program, and whether a figure reached what it was to reach."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
JUDGED = "Each bar is judged by the medians and by the best turns, and the worse of the two is told."
WIDE, TALL, LEFT, RIGHT = 640, 24, 220, 90


def draw(name: str, bars: Sequence[tuple[str, float]], *, unit: str, ours: str = "corpuscle") -> str:
    """Write a picture for the page, and answer the line that shows it. Bars of `ours` are dark."""
    most = max(v for _, v in bars)
    tall = TALL * len(bars) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{tall}" viewBox="0 0 {WIDE} {tall}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDE}" height="{tall}" fill="#fff"/>',
    ]
    for i, (label, value) in enumerate(bars):
        y = 4 + TALL * i
        long = max(1.0, (WIDE - LEFT - RIGHT) * value / most)
        fill = "#24527a" if label.startswith(ours) else "#b9c4ce"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{long:.1f}" height="{TALL - 6}" fill="{fill}"/>',
            f'<text x="{LEFT + long + 6:.1f}" y="{y + 16}">{value:.3g} {escape(unit)}</text>',
        ]
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / f"{name}.svg").write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")
    return f"![{unit} by program](images/{name}.svg)"


def verdict(what: str, value: float | None, *, least: float | None = None, most: float | None = None) -> str:
    """A figure against its bar, in a sentence.

    >>> verdict("times dask", 2.4, least=2.5)
    'times dask: 2.4, wanted at least 2.5: MISSED.'
    >>> verdict("times bare", 1.04, most=1.1)
    'times bare: 1.04, wanted at most 1.1: met.'
    >>> verdict("times dask", None, least=2.5)
    'times dask: not measured, wanted at least 2.5.'
    """
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    if value is None or value != value:
        return f"{what}: not measured, wanted {wanted}."
    met = value >= least if least is not None else value <= float(most or 0)
    return f"{what}: {value:.3g}, wanted {wanted}: {'met' if met else 'MISSED'}."
