"""One cell: the outlines of its nucleus and body, and the patches of light they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.worlds.optics import Light, blur

ANGLES = 96
"""Directions at which an outline's radius is kept."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A star-shaped closed line: its radius in px at evenly spaced angles about a centre (row, column).

    `turn` is the angle, in radians, of the first radius.
    """

    centre: tuple[float, float]
    radii: NDArray[np.float32]
    turn: float = 0.0

    @property
    def reach(self) -> float:
        """The largest radius."""
        return float(self.radii.max())

    @property
    def area(self) -> float:
        """Enclosed area in px².

        >>> round(Outline((0, 0), np.full(ANGLES, 10, np.float32)).area)
        314
        """
        return float(np.mean(np.square(self.radii)) * np.pi)

    def towards(self, angle: float) -> float:
        """The radius in a direction given in radians from the column axis."""
        k = round((angle - self.turn) / (2 * np.pi) * ANGLES) % ANGLES
        return float(self.radii[k])


@dataclass(frozen=True, slots=True)
class Patch:
    """A small image that lies at `corner` of a larger one, and may hang over its edge."""

    corner: tuple[int, int]
    values: Light

    def meet(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Slices of the larger image and of the patch where they meet; None where they do not."""
        there: list[slice] = []
        here: list[slice] = []
        for at, n, size in zip(self.corner, self.values.shape, shape, strict=True):
            a, b = max(0, at), min(size, at + n)
            if a >= b:
                return None
            there.append(slice(a, b))
            here.append(slice(a - at, b - at))
        return (there[0], there[1]), (here[0], here[1])


def oval(area: float, aspect: float) -> NDArray[np.float32]:
    """Radii of an ellipse of this area in px², `aspect` times as long as wide, long along the first angle.

    >>> r = oval(np.pi * 200, 2.0)
    >>> float(r[0].round(2)), float(r[ANGLES // 4].round(2))
    (20.0, 10.0)
    """
    a, b = np.sqrt(area / np.pi * aspect), np.sqrt(area / np.pi / aspect)
    t = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    return np.asarray(a * b / np.hypot(b * np.cos(t), a * np.sin(t)), np.float32)


def dented(radii: NDArray[np.float32], rng: np.random.Generator, *, dents: float) -> NDArray[np.float32]:
    """The radii with waves of 2 to 6 per turn, of relative height `dents`, and the same area."""
    t = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    k = np.arange(2, 7)[:, None]
    height = dents * rng.standard_normal((5, 1)) / k**0.8
    wave = np.exp((height * np.cos(k * t + rng.uniform(0, 2 * np.pi, (5, 1)))).sum(0))
    out = radii * wave
    return np.asarray(out * np.sqrt(np.mean(np.square(radii)) / np.mean(np.square(out))), np.float32)


def spindle(nucleus: Outline, rng: np.random.Generator, *, times: float, aspect: float) -> Outline:
    """The outline of a cell body about its nucleus, drawn out into one to four tips.

    It encloses `times` the nucleus's area, and less where the nucleus is large.
    """
    area = times * nucleus.area * (1500 / nucleus.area) ** 0.4
    body = dented(oval(area, aspect), rng, dents=0.12)
    t = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    tips = rng.integers(1, 5)
    where = np.concatenate([[0.0, np.pi], rng.uniform(0, 2 * np.pi, 2)])[:tips] + rng.normal(0, 0.2, tips)
    long = rng.uniform(0.15, 1.0, tips)
    for at, much in zip(where, long, strict=True):
        body = (body * (1 + much * np.exp((np.cos(t - at) - 1) * 30))).astype(np.float32)
    # A body nowhere ends inside its own nucleus.
    turn = nucleus.turn + rng.normal(0, 0.15)
    shift = round((turn - nucleus.turn) / (2 * np.pi) * ANGLES)
    return Outline(nucleus.centre, np.maximum(body, 1.15 * np.roll(nucleus.radii, -shift)), turn)


def polar(outline: Outline, *, margin: float, step: int = 1) -> tuple[tuple[int, int], NDArray[Any], NDArray[Any]]:
    """A patch about an outline: its corner, and for each pixel the distance from the centre and the radius that way.

    `step` is the size of a patch's pixel; corner, distances and radii then count in such pixels.
    """
    half = int(np.ceil((outline.reach + margin) / step)) + 1
    middle = [c / step for c in outline.centre]
    corner = (int(np.floor(middle[0])) - half, int(np.floor(middle[1])) - half)
    y = np.arange(corner[0], corner[0] + 2 * half + 1, dtype=np.float32)[:, None] - np.float32(middle[0])
    x = np.arange(corner[1], corner[1] + 2 * half + 1, dtype=np.float32)[None, :] - np.float32(middle[1])
    angle = (np.arctan2(y, x) - np.float32(outline.turn)) * np.float32(ANGLES / (2 * np.pi))
    low = np.floor(angle)
    k = low.astype(np.int32)
    share = angle - low
    table = outline.radii / np.float32(step)
    radius = table[k % ANGLES] * (1 - share) + table[(k + 1) % ANGLES] * share
    return corner, np.hypot(y, x), radius


def dome(outline: Outline, *, sigma: float, flat: float) -> tuple[Patch, Patch]:
    """The light of a lens-shaped body of brightness 1, and the cover of its outline, both blurred by `sigma` px.

    Brightness follows thickness: ``(1 - (r / R)²) ** flat``, so 0 is a slab and 0.5 an ellipsoid.
    """
    corner, distance, radius = polar(outline, margin=3 * sigma + 1)
    cover = np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)
    inside = np.minimum(distance / np.maximum(radius, 0.5), 0.98)
    thick = (1 - inside * inside) ** np.float32(flat) * cover
    return Patch(corner, blur(thick, sigma)), Patch(corner, blur(cover, sigma))


def body(outline: Outline, *, step: int, slope: float, power: float) -> Patch:
    """The light of a cell body, 1 at its centre and thinning to nothing at its edge, on a grid `step` px coarse."""
    corner, distance, radius = polar(outline, margin=2, step=step)
    inside = np.minimum(distance / np.maximum(radius, 0.5), 1)
    return Patch(corner, ((1 - inside**slope) ** power).astype(np.float32))
