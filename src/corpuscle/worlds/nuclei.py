"""A plate of fluorescent nuclei as a Cellomics reader leaves it, with the truth beside it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.errors import SettingsError
from corpuscle.formats import c01, png, rgbmask
from corpuscle.worlds.culture import Habit, grow
from corpuscle.worlds.optics import Camera, Light, blur, shade, veil
from corpuscle.worlds.plate import PARTS, Site, plan

UM_PER_PX = 0.454
"""A 20x objective and a camera binned by two."""

_CAMERA = Camera(gain=1.2)
_STUDY = {
    "title": "A simulated plate of stained nuclei",
    "description": "Computed images of cell nuclei as an automated microscope would take them, with their truth.",
    "organisms": [],
    "stains": [],
    "modality": "simulated widefield fluorescence microscopy",
    "licences": {part: {"spdx": "CC0-1.0", "source": "simulated"} for part in ("images", "annotations")},
}
_README = """Simulated: every image in this folder was computed, none was taken.

<plate>/<plate>_<well>f<field>d0.C01    nuclear stain, 12 bits in 16
<plate>/<plate>_<well>f<field>d1.C01    a dimmer stain of cell bodies and vesicles, on some plates
<plate>/<plate>_<well>f<field>o1.C01    outlines left by the reader's own software; they are no truth
<plate>/..._objects.png                 the truth of the annotated fields, a colour of the VOC palette per object
split.json                              train, dev and test as published; some wells lie in two parts, as they
                                        do in the published split of the real images, and an audit names them

world: {size}, seed: {seed}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field as it was imaged.

    Parameters
    ----------
    plate, well, field
        Where it is.
    channels
        uint16 counts by channel name, d0 the nuclear stain.
    labels
        The truth, int32 of objects 1..n, whether or not somebody annotated the field.
    """

    plate: str
    well: str
    field: int
    channels: Mapping[str, NDArray[np.uint16]]
    labels: NDArray[np.int32]


def fields(size: str = "small", *, seed: int = 0) -> Iterator[Field]:
    """Every field of a world, one at a time, in the order of `plan`; each depends on its seed and place alone."""
    for site in plan(size, seed=seed):
        yield image(site)


def image(site: Site) -> Field:
    """Grow the cells of a field and take its picture: scatter, haze, uneven light, shot and read noise."""
    rng = np.random.default_rng(site.key)
    shape = (site.side, site.side)
    culture = grow(shape, site.habit, rng)
    lamp = _lamp(shape, site)
    haze = np.float32(70 * rng.uniform(0.8, 1.25))
    channels = {"d0": _CAMERA.expose((veil(culture.light, near=0.11, far=0.06) + haze) * lamp, rng)}
    if site.channels > 1:
        bodies = 420 * culture.bodies + _vesicles(culture.bodies, rng)
        channels["d1"] = _CAMERA.expose((veil(bodies, near=0.08, far=0.05) + 30) * lamp, rng)
    return Field(site.plate, site.well, site.field, channels, culture.labels)


def write(raw: Path, *, size: str = "small", seed: int = 0) -> None:
    """Write a world's raw files: a folder per plate, with the truth of annotated fields.

    Beside them lie `split.json`, `study.json` and `README.txt`. The same size and seed give the same bytes.
    Raises SettingsError, before anything is written, where `raw` is a file or lies under one, or when the folder holds
    files that are none of this world's.
    """
    sites = plan(size, seed=seed)
    raw = Path(raw)
    _refuse_strangers(raw, sites)
    for site in sites:
        folder = raw / site.plate
        folder.mkdir(parents=True, exist_ok=True)
        field = image(site)
        for channel, pixels in field.channels.items():
            data = c01.encode(pixels, um_per_px=UM_PER_PX, compressed=True)
            (folder / f"{site.name}{channel}.C01").write_bytes(data)
        if site.overlay:
            data = c01.encode(outlines(field.channels["d0"]), um_per_px=None, compressed=True, overlay=True)
            (folder / f"{site.name}o1.C01").write_bytes(data)
        if site.part:
            colours = png.encode(rgbmask.encode(field.labels))
            (folder / f"{site.name}d0_objects.png").write_bytes(colours)
    split = {part: [f"{s.name}d0" for s in sites if s.part == part] for part in PARTS}
    (raw / "split.json").write_text(json.dumps(split, indent=1) + "\n", encoding="utf-8")
    (raw / "study.json").write_text(json.dumps(_STUDY, indent=1) + "\n", encoding="utf-8")
    (raw / "README.txt").write_text(_README.format(size=size, seed=seed), encoding="utf-8")


def write_scale(raw: Path, n: int, *, seed: int = 0) -> None:
    """Write `n` C01 files of 512 x 512 px, each with pixels of its own, fast enough for tests of scale.

    A dozen scenes, turned and mirrored, are exposed again and again; 16 fields to a well, so one plate holds 6144.
    There is no truth and no second channel. Raises SettingsError for a negative count or seed.
    """
    if n < 0 or seed < 0:
        raise SettingsError(f"a count and a seed are 0 or more, not {n} and {seed}", rule="world-seed")
    side, views = 512, 8
    rng = np.random.default_rng([seed, 384])
    scenes = [_scene(side, np.random.default_rng([seed, 384, k])) for k in range(min(12, -(-n // views)))]
    # Windows of one long strip of noise, begun anywhere, stand for fresh noise at a tenth of its cost.
    noise = rng.standard_normal(4 * side * side, dtype=np.float32)
    head = c01.encode(np.zeros((side, side), np.uint16), um_per_px=UM_PER_PX, compressed=False)[: -2 * side * side]
    starts = rng.integers(0, noise.size - side * side, n)
    made: set[Path] = set()
    for k in range(n):
        light, sigma = scenes[k // views % len(scenes)]
        fresh = noise[starts[k] : starts[k] + side * side].reshape(side, side)
        pixels = _turned(np.clip(light + sigma * fresh, 0, _CAMERA.full), k % views).astype("<u2")
        place, field = divmod(k, 16)
        plate, spot = divmod(place, 16 * 24)
        row, column = divmod(spot, 24)
        folder = Path(raw) / f"SIMscale_{plate:012d}"
        if folder not in made:
            folder.mkdir(parents=True, exist_ok=True)
            made.add(folder)
        pack = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
        data = c01.MAGIC + pack.compress(head) + pack.compress(pixels.tobytes()) + pack.flush()
        (folder / f"{folder.name}_{chr(ord('A') + row)}{column + 1:02d}f{field:02d}d0.C01").write_bytes(data)


def outlines(counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """What a vendor's analysis leaves in its overlay: 1-px outlines, 13 of objects it counted and 2 of others.

    It thresholds a third of the way from the field's median to its brightest thousandth, and does not count what
    touches the border or is below 300 px².
    """
    smooth = blur(counts, 2.0)
    level = np.median(smooth)
    objects, _ = ndimage.label(smooth > level + 0.35 * (np.percentile(smooth, 99.9) - level), np.ones((3, 3)))
    edge = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    value = np.where(np.bincount(objects.ravel()) < 300, 2, 13)
    value[edge] = 2
    value[0] = 0
    inner = ndimage.grey_erosion(objects, footprint=ndimage.generate_binary_structure(2, 1), mode="nearest") == objects
    return np.where(inner, 0, value[objects]).astype(np.uint16)


def _lamp(shape: tuple[int, int], site: Site) -> Light:
    """The uneven light of a plate's run: the same for all its fields."""
    rng = np.random.default_rng(site.key[:2])
    centre = (float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.4, 0.6)))
    return shade(shape, centre=centre, fall=float(rng.uniform(0.14, 0.19)))


def _vesicles(bodies: Light, rng: np.random.Generator) -> Light:
    """Small bright points, the more the thicker the cell body."""
    ink = np.zeros_like(bodies)
    share = np.cumsum(bodies.ravel(), dtype=np.float64)
    count = int(share[-1] / 150)
    if count:
        at = np.searchsorted(share, rng.uniform(0, share[-1], count))
        np.add.at(ink.reshape(-1), at, rng.exponential(2600, count).astype(np.float32))
    return blur(ink, 1.4)


def _scene(side: int, rng: np.random.Generator) -> tuple[Light, Light]:
    """Expected counts of a field, and the standard deviation of each."""
    lit = veil(grow((side, side), Habit(), rng).light, near=0.11, far=0.06) + 70
    electrons = lit * shade((side, side), centre=(0.5, 0.5), fall=0.2)
    sigma = _CAMERA.gain * np.sqrt(electrons + _CAMERA.read**2)
    return (electrons * _CAMERA.gain + (_CAMERA.offset + 0.5)).astype(np.float32), sigma.astype(np.float32)


def _turned(pixels: Light, k: int) -> Light:
    return np.rot90(pixels.T if k & 4 else pixels, k & 3)


def _refuse_strangers(raw: Path, sites: tuple[Site, ...]) -> None:
    """Two worlds in one folder would be taken for one plate."""
    if (there := next((p for p in (raw, *raw.parents) if p.exists()), None)) is not None and not there.is_dir():
        raise SettingsError("that is a file", where=there, fix="name a folder", rule="world-folder")
    ends = ("d0.C01", "d1.C01", "o1.C01", "d0_objects.png")
    ours = {f"{site.name}{end}" for site in sites for end in ends} | {"split.json", "study.json", "README.txt"}
    for path in raw.rglob("*") if raw.is_dir() else ():
        if path.is_file() and path.name not in ours and not path.name.startswith("."):
            raise SettingsError(
                "the folder holds files of something else", where=path, fix="name an empty folder", rule="world-folder"
            )
