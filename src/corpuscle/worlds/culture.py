"""A field of cells: where they sit, what light they give, and the truth as a person would draw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from corpuscle.worlds.cells import Outline, Patch, body, dented, dome, oval, spindle
from corpuscle.worlds.fates import bud, divide, fall_apart, litter
from corpuscle.worlds.optics import Light, blur, enlarge, grain
from corpuscle.worlds.slide import Slide


@dataclass(frozen=True, slots=True)
class Habit:
    """How the cells of a field grow and are seen.

    Parameters
    ----------
    density
        Cells per million pixels.
    bright
        Electrons that a pixel of a middling nucleus gives.
    spread
        Standard deviation of the logarithm of brightness from cell to cell.
    flesh
        Brightness of a middling cell body at its thickest, beside its nucleus.
    mitotic, dying
        Shares of cells that divide, and that fall to pieces.
    micronuclei
        Mean count of micronuclei per cell.
    dust
        Specks that are no nuclei, per million pixels.
    fibre
        Whether a bright fibre lies across the field.
    defocus
        Extra blur of the whole field, in px.
    """

    density: float = 23.0
    bright: float = 900.0
    spread: float = 0.28
    flesh: float = 0.392
    mitotic: float = 0.04
    dying: float = 0.05
    micronuclei: float = 0.28
    dust: float = 14.0
    fibre: bool = False
    defocus: float = 0.0
    psf: float = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Culture:
    """What grew.

    `light` is the nuclear stain's, in electrons per pixel, before scatter and illumination; `bodies` the height of
    the cell bodies; `labels` the truth, int32 of objects 1..n, each one 8-connected piece.
    """

    light: Light
    bodies: Light
    labels: NDArray[np.int32]


def grow(shape: tuple[int, int], habit: Habit, rng: np.random.Generator) -> Culture:
    """A field of cells of this habit, `shape` in px.

    Nuclei are dented ovals of log-normal area, some in touching pairs; bodies are spindles that thin towards their
    edge, and it is their light, near a global threshold, that shot noise breaks into specks.
    """
    slide = Slide(shape, rng)
    texture = 1 + 0.075 * grain(shape, 2.0, rng) + 0.03 * grain(shape, 6.0, rng)
    sharp = float(np.hypot(habit.psf, habit.defocus))
    step = 2
    bodies = np.zeros([-(-n // step) for n in shape], np.float32)
    nuclei = _settle(shape, habit.density, rng)
    strengths = habit.bright * np.exp(habit.spread * evenly(len(nuclei), rng))
    fates = (rng.permutation(len(nuclei)) + rng.random()) / max(len(nuclei), 1)
    plumpness = evenly(len(nuclei), rng)
    for nucleus, strength, fate, plump in zip(
        nuclei, strengths.tolist(), fates.tolist(), plumpness.tolist(), strict=True
    ):
        sigma = float(np.hypot(sharp, rng.normal(0, 0.9)))
        if fate < habit.mitotic:
            divide(slide, nucleus, strength=strength, sigma=sigma, rng=rng)
            continue
        if fate < habit.mitotic + habit.dying:
            fall_apart(slide, nucleus, strength=strength, sigma=sigma, rng=rng)
            continue
        thick = habit.flesh * float(np.exp(0.13 * plump))
        flesh = spindle(nucleus, rng, times=rng.uniform(4.5, 8.5), aspect=rng.uniform(1.1, 2.1))
        lit = body(flesh, step=step, slope=rng.uniform(1.5, 2.0), power=rng.uniform(1.0, 1.3))
        _raise(bodies, lit, thick * (strength / habit.bright) ** 0.5)
        light, cover = dome(nucleus, sigma=sigma, flat=rng.uniform(0.1, 0.45))
        # Where the nucleus is, there is less cytoplasm above and below it.
        slide.shine(light, strength * (1 - 0.5 * thick), texture=texture)
        slide.outline(cover)
        bud(slide, nucleus, strength=strength, sigma=sigma, mean=habit.micronuclei, rng=rng)
    heights = blur(enlarge(bodies, step)[: shape[0], : shape[1]], float(np.hypot(2.0, habit.defocus)))
    heights *= 1 + 0.06 * grain(shape, 3.0, rng) + 0.06 * grain(shape, 12.0, rng)
    litter(slide, strength=habit.bright, sigma=sharp, specks=habit.dust, fibre=habit.fibre, rng=rng)
    return Culture(slide.light + np.float32(habit.bright) * heights, heights, slide.truth())


def evenly(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`n` numbers from the normal distribution, one out of each n-th of it, shuffled: few draws, yet the whole spread.

    >>> bool(abs(evenly(50, np.random.default_rng(0)).std() - 1) < 0.1)
    True
    """
    return np.asarray(ndtri((rng.permutation(n) + rng.uniform(0.1, 0.9, n)) / max(n, 1)))


def _settle(shape: tuple[int, int], density: float, rng: np.random.Generator) -> list[Outline]:
    """Nuclei in loose islands that keep their distance, but for some sisters that touch."""
    edge = 18
    room = np.array(shape, float) + 2 * edge
    count = int(density * room.prod() / 1e6 + rng.random())
    islands = rng.uniform(-edge, room - edge, (1 + count // 7, 2))
    placed: list[Outline] = []
    at = np.zeros((count, 2))
    size = np.zeros(count)
    # One in a hundred is a giant of several times the usual DNA.
    areas = 1740 * np.exp(0.33 * evenly(count, rng)) * np.where(rng.random(count) < 0.01, 2.2, 1.0)
    sisters = (rng.permutation(count) + rng.random()) / max(count, 1) < 0.15
    for k in range(count):
        n = len(placed)
        radii, r = _nucleus(float(np.clip(areas[k], 420, 6800)), rng)
        turn = float(rng.uniform(0, 2 * np.pi))
        gaps = size[:n] + r
        for attempt in range(48):
            if sisters[k] and n and attempt < 8:
                # As near to another as two nuclei get without lying on one another.
                mate, angle = placed[rng.integers(n)], float(rng.uniform(0, 2 * np.pi))
                gap = mate.towards(angle) + Outline((0, 0), radii, turn).towards(angle + np.pi) + rng.uniform(0, 8)
                centre = np.array(mate.centre) + gap * np.array([np.sin(angle), np.cos(angle)])
                apart = 0.8 * gaps
            else:
                home = islands[rng.integers(len(islands))]
                loose = rng.random() < 0.15
                centre = rng.uniform(-edge, room - edge) if loose else rng.normal(home, 110 * (1 + attempt / 12))
                apart = 1.25 * gaps + 8
            inside = np.all((centre > -edge) & (centre < room - edge))
            if inside and np.all(np.hypot(*(at[:n] - centre).T) > apart):
                at[n], size[n] = centre, r
                placed.append(Outline((float(centre[0]), float(centre[1])), radii, turn))
                break
    return placed


def _nucleus(area: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """Radii of a nucleus of this area in px², and the radius of the disc of its area; one in eight is lobed."""
    aspect = float(np.clip(np.exp(rng.normal(0.4, 0.2)), 1, 3))
    radii = dented(oval(area, aspect), rng, dents=0.16 if rng.random() < 0.12 else 0.05)
    return radii, float(np.sqrt(area / np.pi))


def _raise(bodies: Light, patch: Patch, height: float) -> None:
    """Put a cell body among its neighbours: where two meet, one gives way, they do not lie on one another."""
    if meets := patch.meet(bodies.shape):
        there, here = meets
        np.maximum(bodies[there], np.float32(height) * patch.values[here], out=bodies[there])
