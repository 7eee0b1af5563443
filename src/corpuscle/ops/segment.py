"""From an image of bright objects to labels: three baselines, and the one classical method."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from corpuscle.ops import coarse
from corpuscle.ops.accept import intensities, positive
from corpuscle.ops.diameter import inscribed
from corpuscle.ops.illumination import background
from corpuscle.ops.noise import grain
from corpuscle.ops.outline import filled_holes, outlined, steepness
from corpuscle.ops.split import centres, joined
from corpuscle.ops.threshold import otsu

METHODS = ("otsu_components", "gauss_otsu", "otsu_watershed", "local_watershed")
_TOUCHING = np.ones((3, 3), bool)
# At least this share of a field is background, or the first round takes haze for ground.
_DARK = 0.3
# So many spreads of the camera's noise, after smoothing, is no longer noise.
_CLEAR = 5.0
# The first look, with one background for all, takes what is above this share of the crest around it for objects.
_ROUGH = 0.6
# A core is at least this share of the crest around it: less than any outline, so that it never cuts one short.
_CREST = 0.42
# Fewer pixels than this have no outline to speak of.
_SPECK = 5.0


def otsu_components(img: ArrayLike) -> NDArray[np.int32]:
    """Each connected region above Otsu's threshold is an object: what a first script does.

    Raises
    ------
    LayerError
        Not a 2D array of finite numbers. The same holds for every method of this module.

    >>> otsu_components([[0, 9, 0, 0], [0, 9, 0, 8]]).tolist()
    [[0, 1, 0, 0], [0, 1, 0, 2]]
    """
    return _components(_bright(_plane(img, "otsu_components")))


def gauss_otsu(img: ArrayLike, *, sigma: float = 1.0) -> NDArray[np.int32]:
    """`otsu_components` of the image smoothed by a Gaussian of `sigma` pixels."""
    return _components(_bright(_smooth(_plane(img, "gauss_otsu"), sigma)))


def otsu_watershed(img: ArrayLike, *, sigma: float = 1.0, apart: float = 12.0) -> NDArray[np.int32]:
    """`gauss_otsu`, cut by a watershed of the distance to the background.

    Two objects have centres at least `apart` pixels from one another, along either axis.
    """
    mask = _bright(_smooth(_plane(img, "otsu_watershed"), sigma))
    inside = _distance(mask)
    seeds = centres(inside, apart=positive(apart, "apart"))
    return renumbered(_flood(-inside, seeds, mask))


def local_watershed(
    img: ArrayLike,
    *,
    diameter: float | None = None,
    outline: float = 0.48,
    contrast: float = 0.5,
    edge: float = 3.0,
    neck: float = 0.85,
    gap: float = 0.05,
    reach: float = 0.2,
    least: float = 0.07,
) -> NDArray[np.int32]:
    """Objects above the background around them, cut at their necks, each outlined at a share of its own height.

    In this order:

    1. A rough look with one background for the whole image, to learn what is surely not background.
    2. The background beside the objects, place by place (cytoplasm, haze, the halo of a neighbour), is taken away.
    3. Cores are what clearly stands out and is not far below the crest around it. They are flooded from the maxima of
       their distance to the outside; basins are joined where the neck between them is wide.
    4. Cores grow into all that stands out, and end where the intensity falls to their own `outline`.
    5. What is too small, or has no steep edge, is dropped.

    Lengths are in units of the typical diameter, so images of any magnification share one setting. Objects are
    brighter than their surroundings: an image that is dark on bright must be inverted first. What is fainter than
    `contrast` allows, about a quarter of the brightest, is not seen.

    The setting was chosen on the 30 train images of Aitslab-bioimaging1 alone: ``benchmarks/choose_classical.py``.

    Parameters
    ----------
    diameter
        Of a typical object, in pixels, at most the longer side; left out, it is estimated from the image.
    outline
        An object ends where its height above the background falls to this share of its upper quartile.
    contrast
        An object stands out by at least this share of Otsu's threshold, and by five times the noise.
    edge
        Least steepness of an outline, in Otsu's thresholds per diameter: nuclei have edges, cytoplasm has none.
    neck
        Two parts are one object where the neck between them is at least this share of the narrower one's width.
    gap
        How far from an object the background begins, in diameters.
    reach
        How far around the background is looked at, in diameters.
    least
        The diameter of the smallest object kept, in diameters.

    Raises
    ------
    LayerError
        Not a 2D array of finite numbers.
    SettingsError
        A setting that is negative or not finite.
    """
    given = {"outline": outline, "contrast": contrast, "edge": edge, "neck": neck, "gap": gap, "least": least}
    for name, value in given.items():
        positive(value, name, zero=True)
    positive(reach, "reach")
    pixels = _plane(img, "local_watershed")
    smooth = _smooth(pixels, 1.0)
    level = otsu(smooth)
    size = inscribed(smooth > level) if diameter is None else positive(diameter, "diameter")
    if not (np.isfinite(size) and np.isfinite(level)):
        return np.zeros(smooth.shape, np.int32)
    size = min(size, float(max(pixels.shape)))
    noise = _CLEAR * grain(pixels) / (2 * np.sqrt(np.pi))
    area = max(_SPECK, np.pi / 4 * (least * size) ** 2)
    height = smooth - np.float32(np.quantile(smooth, _DARK))
    rough = _core(height, max(contrast * otsu(height), noise), size=size, share=_ROUGH)
    near = ndimage.maximum_filter(rough, 2 * max(1, round(min(gap * size, max(pixels.shape)))) + 1)
    height = np.maximum(smooth - background(smooth, near, reach=reach * size), 0)
    level = otsu(height)
    if not np.isfinite(level):
        return np.zeros(smooth.shape, np.int32)
    parts = _parts(height, max(contrast * level, noise), size=size, neck=neck)
    found = outlined(parts, height, share=outline, area=area)
    return renumbered(found * (steepness(found, height) >= edge * level / size)[found])


def _core(height: NDArray[np.float32], least: float, *, size: float, share: float) -> NDArray[np.bool_]:
    """What is above `least` and above a share of the crest around it: a bright object raises the bar for its halo."""
    cells = coarse.grid(height.shape, size / 8)
    crest = ndimage.gaussian_filter(ndimage.maximum_filter(coarse.most(height, cells), 3), 2)
    bar = coarse.fine(crest, height.shape)
    bar *= share
    return filled_holes(height > np.maximum(bar, least, out=bar))


def _parts(height: NDArray[np.float32], least: float, *, size: float, neck: float) -> NDArray[np.int32]:
    """What is above `least`, cut into parts, one an object."""
    core = _core(height, least, size=size, share=_CREST)
    inside = ndimage.gaussian_filter(_distance(core), max(0.05 * size, 0.5)) * core
    seeds = centres(inside, apart=max(1.0, 0.1 * size))
    parts = joined(_flood(-inside, seeds, core), inside, seeds, neck=neck)
    return _flood(-height, parts, height > least)


def renumbered(lab: NDArray[Any]) -> NDArray[np.int32]:
    """The same objects, numbered 1..n in the order in which reading the image row by row meets them.

    >>> renumbered(np.array([[0, 7], [3, 7]])).tolist()
    [[0, 1], [2, 1]]
    """
    flat = np.ascontiguousarray(lab).ravel()
    where = np.flatnonzero(flat)
    first = np.full(int(flat.max(initial=0)) + 1, flat.size, np.int64)
    # Of several writes to one place the last one stays: reversed, that is the first pixel.
    first[flat[where[::-1]]] = where[::-1]
    order = np.argsort(first, kind="stable")
    number = np.zeros(len(first), np.int32)
    present = int((first < flat.size).sum())
    number[order[:present]] = np.arange(1, present + 1)
    return np.asarray(number[lab])


def _plane(img: ArrayLike, op: str) -> NDArray[Any]:
    return intensities(img, ndim=(2,), op=op)


def _smooth(pixels: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    sigma = positive(sigma, "sigma", zero=True)
    # A wider Gaussian would see no more, and take all memory.
    return np.asarray(ndimage.gaussian_filter(pixels.astype(np.float32), min(sigma, max(pixels.shape, default=0))))


def _bright(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    # Nothing is above nan: where there is no threshold there is no object.
    return np.asarray(pixels > otsu(pixels))


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    return renumbered(ndimage.label(mask, _TOUCHING)[0])


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(ndimage.distance_transform_edt(mask)).astype(np.float32)


def _flood(surface: NDArray[np.float32], seeds: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    if not seeds.any():
        return np.zeros(mask.shape, np.int32)
    return np.asarray(watershed(surface, seeds, mask=mask, connectivity=2), np.int32)  # type: ignore[no-untyped-call]
