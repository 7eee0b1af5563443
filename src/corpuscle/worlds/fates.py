"""What becomes of cells, and what lies between them: division, death, micronuclei, dust and fibres."""

from __future__ import annotations

import numpy as np

from corpuscle.worlds.cells import Outline, Patch, dented, dome, oval
from corpuscle.worlds.optics import blur
from corpuscle.worlds.slide import Slide


def divide(slide: Slide, nucleus: Outline, *, strength: float, sigma: float, rng: np.random.Generator) -> None:
    """A round bright cell with a plate of chromosomes, or two plates that part.

    People outline the whole round cell, and sometimes the plates by themselves.
    """
    whole = _ball(nucleus.centre, rng.uniform(900, 1900), rng)
    glow, cover = dome(whole, sigma=sigma + 1, flat=0.5)
    slide.shine(glow, strength * rng.uniform(0.7, 1.1))
    axis = rng.uniform(0, 2 * np.pi)
    parted = rng.random() < 0.4
    apart = rng.uniform(8, 13)
    by_plates = rng.random() < 0.3
    for side in (-1, 1) if parted else (0,):
        radii = dented(oval(rng.uniform(180, 380), rng.uniform(1.6, 2.8)), rng, dents=0.14)
        plate = Outline(_near(whole.centre, side * apart, axis), radii, axis + np.pi / 2)
        light, plate_cover = dome(plate, sigma=sigma, flat=0.2)
        slide.shine(light, strength * rng.uniform(1.4, 2.6))
        if by_plates:
            slide.outline(plate_cover)
    if not by_plates:
        slide.outline(cover)


def fall_apart(slide: Slide, nucleus: Outline, *, strength: float, sigma: float, rng: np.random.Generator) -> None:
    """A dying cell: a heap of bright balls in a glow, each of them outlined."""
    shroud = _ball(nucleus.centre, rng.uniform(500, 1300), rng)
    slide.shine(dome(shroud, sigma=4.0, flat=0.5)[0], strength * rng.uniform(0.2, 0.5))
    balls = int(rng.integers(1, 6))
    start = rng.uniform(0, 2 * np.pi)
    for k in range(balls):
        area = float(np.clip(np.exp(rng.normal(np.log(200), 0.7)), 25, 800))
        angle = start + 2 * np.pi * (k + rng.uniform(-0.2, 0.2)) / balls
        place = _near(nucleus.centre, (balls > 1) * rng.uniform(12, 26), angle)
        light, cover = dome(_ball(place, area, rng), sigma=sigma, flat=0.4)
        slide.shine(light, strength * rng.uniform(0.8, 2.4))
        slide.outline(cover)


def bud(
    slide: Slide, nucleus: Outline, *, strength: float, sigma: float, mean: float, rng: np.random.Generator
) -> None:
    """Micronuclei beside a nucleus, fainter than it; a few cells have most of them, the smallest are a few pixels."""
    for _ in range(rng.poisson(mean * rng.gamma(0.6, 1 / 0.6))):
        area = float(np.clip(np.exp(rng.normal(np.log(32), 0.95)), 4, 420))
        angle = rng.uniform(0, 2 * np.pi)
        gap = np.sqrt(area / np.pi) + rng.choice([rng.uniform(1, 5), rng.uniform(5, 22)])
        speck = _ball(_near(nucleus.centre, nucleus.towards(angle) + gap, angle), area, rng)
        light, cover = dome(speck, sigma=min(sigma, 1.6), flat=0.3)
        slide.shine(light, strength * rng.uniform(0.3, 0.85))
        slide.outline(cover)


def litter(
    slide: Slide, *, strength: float, sigma: float, specks: float, fibre: bool, rng: np.random.Generator
) -> None:
    """What is no nucleus: dust in focus, mostly faint; things that float out of focus; at times a bright fibre.

    `specks` counts them per million pixels.
    """
    shape = slide.light.shape
    million = shape[0] * shape[1] / 1e6
    for _ in range(rng.poisson(specks * million)):
        speck = _ball(_anywhere(shape, rng), float(np.clip(np.exp(rng.normal(2.7, 0.7)), 3, 120)), rng, dents=0.2)
        light, _cover = dome(speck, sigma=sigma, flat=0.3)
        slide.shine(light, strength * float(np.clip(np.exp(rng.normal(-1.35, 0.9)), 0.02, 2.0)))
    for _ in range(rng.poisson(0.4 * specks * million)):
        floating = _ball(_anywhere(shape, rng), rng.uniform(300, 2500), rng)
        light, _cover = dome(floating, sigma=rng.uniform(8, 16), flat=0.5)
        slide.shine(light, strength * rng.uniform(0.04, 0.16))
    if fibre:
        slide.shine(_thread(shape, sigma, rng), strength * rng.uniform(0.8, 1.6))


def _thread(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Patch:
    """A curved thread a few pixels wide, some two hundred long: a walk whose direction drifts."""
    length = 900
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.03, length)) * 0.5
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)]) * 0.25, axis=1)
    path += np.array(_anywhere(shape, rng))[:, None] - path.mean(1, keepdims=True)
    low = np.floor(path.min(1)).astype(int) - 12
    size = np.ceil(path.max(1)).astype(int) + 12 - low
    ink = np.zeros(size, np.float32)
    np.add.at(ink, tuple(np.rint(path - low[:, None]).astype(int)), 1.0)
    line = blur(ink, sigma + rng.uniform(0.8, 1.6))
    return Patch((int(low[0]), int(low[1])), line / line.max())


def _ball(centre: tuple[float, float], area: float, rng: np.random.Generator, *, dents: float = 0.05) -> Outline:
    aspect = float(np.exp(abs(rng.normal(0, 0.15))))
    return Outline(centre, dented(oval(area, aspect), rng, dents=dents), rng.uniform(0, 2 * np.pi))


def _near(centre: tuple[float, float], distance: float, angle: float) -> tuple[float, float]:
    return centre[0] + distance * float(np.sin(angle)), centre[1] + distance * float(np.cos(angle))


def _anywhere(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))
