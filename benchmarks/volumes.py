"""The volumes that the engine is measured on: made once, from a seed, and kept outside the repository."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.installed import cache
from corpuscle.core import Image, Space
from corpuscle.formats import omezarr

NM = 0.012
FILL = 1.2815515655
"""Standard deviations above the mean that a tenth of a normal distribution exceeds."""


def em(side: int) -> Path:
    """A cube of electron microscopy as OME-Zarr: textures of several sizes, dark membranes, the noise of a detector.

    16 bits a voxel, 0 to 4095, which Zstandard with bit shuffling makes 1.4 times smaller.
    """
    return _kept(f"em-{side}", lambda: _em(side))


def blobs(side: int) -> Path:
    """A mask of blobs that fill a tenth of a cube, as OME-Zarr: smoothed noise above a threshold."""
    return _kept(f"blobs-{side}", lambda: _gathered(_blobs(side), (side,) * 3))


def stack(mib: int, *, side: int = 1024) -> Path:
    """An uncompressed TIFF stack of 16 bits, square pages: a cube of `em`, half their size, mirrored over and over."""
    path = cache() / "volumes" / f"em-{mib}.tif"
    if not path.exists():
        half = side // 2
        cube = omezarr.read_image(em(half)).read()
        aside = path.with_name(f".{path.name}")
        pages: np.memmap[Any, np.dtype[np.uint16]] = tifffile.memmap(
            aside,
            shape=(mib * 2**19 // side**2, side, side),
            dtype=np.uint16,
            bigtiff=mib >= 4000,
            metadata={"axes": "ZYX"},
        )
        for z in range(len(pages)):
            plane = cube[z % half if z // half % 2 == 0 else -1 - z % half]
            top = np.concatenate([plane, plane[:, ::-1]], axis=1)
            pages[z, :half], pages[z, half:] = top, top[::-1]
        pages.flush()
        del pages
        aside.rename(path)
    return path


def finest(folder: Path) -> Path:
    """The largest Zarr array in a folder, or the folder itself where it is one."""
    documents = sorted(folder.rglob("zarr.json"))
    arrays = {p.parent: d["shape"] for p in documents if (d := json.loads(p.read_bytes()))["node_type"] == "array"}
    return max(arrays, key=lambda a: prod(arrays[a]))


def _em(side: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(side)
    texture = np.zeros((side,) * 3, np.float32)
    for sigma in (2.0, 5.0, 12.0):
        texture += _smooth(rng, side, sigma)
    wall = _smooth(rng, side, 6.0)
    texture *= 250
    texture += 2000
    texture -= 900 * np.exp(-((wall / np.float32(0.12)) ** 2))
    texture += 120 * rng.standard_normal(texture.shape, np.float32)
    return np.clip(texture, 0, 4095).astype(np.uint16)


def _smooth(rng: np.random.Generator, side: int, sigma: float) -> NDArray[np.float32]:
    """Noise of standard deviation 1 that changes over `sigma` voxels; made small, and enlarged."""
    step = max(1, int(sigma // 2))
    small = rng.standard_normal((-(-side // step) + 1,) * 3, np.float32)
    small = ndimage.gaussian_filter(small, sigma / step, mode="wrap")
    small /= small.std()
    for axis in range(3):
        small = _longer(small, axis, step, side)
    return small


def _longer(array: NDArray[np.float32], axis: int, step: int, side: int) -> NDArray[np.float32]:
    """Points between points, on straight lines."""
    at = np.arange(side) / np.float32(step)
    low = at.astype(int)
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    below = array.take(low, axis)
    if step > 1:
        below += share * (array.take(np.minimum(low + 1, array.shape[axis] - 1), axis) - below)
    return below


def _blobs(side: int, *, sigma: float = 4.0, slab: int = 64) -> Iterator[NDArray[np.uint8]]:
    """Slabs along z. Noise is drawn plane by plane, so it does not matter how thick a slab is."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    spread = np.sum((weights / weights.sum()) ** 2) ** 1.5
    for z in range(0, side, slab):
        planes = range(z - reach, min(z + slab, side) + reach)
        noise = np.stack(
            [np.random.default_rng((side, p % side)).standard_normal((side, side), np.float32) for p in planes]
        )
        smooth = ndimage.gaussian_filter(noise, sigma, mode="wrap")
        yield (smooth[reach:-reach] > FILL * spread).astype(np.uint8)


def _gathered(slabs: Iterator[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    first = next(slabs)
    whole = np.empty(shape, first.dtype)
    whole[: len(first)] = first
    z = len(first)
    for slab in slabs:
        whole[z : z + len(slab)] = slab
        z += len(slab)
    return whole


def _kept(name: str, make: Callable[[], NDArray[Any]]) -> Path:
    folder = cache() / "volumes"
    path = folder / f"{name}.zarr"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        for torn in folder.glob(f".{path.name}*"):
            shutil.rmtree(torn)
        omezarr.write(Image(make(), Space("zyx", scale=(NM,) * 3)), path)
    return path
