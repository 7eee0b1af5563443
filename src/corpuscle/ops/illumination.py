"""What the light and the surroundings add to an image, and how to take it away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from corpuscle.errors import LayerError, SettingsError
from corpuscle.ops import coarse
from corpuscle.ops.accept import intensities, positive

# How many fields are held at once, as grids, to take their median: the memory of `flat_field`.
_FIELDS = 4096
# Each wider look counts this much less, so that it speaks only where the nearer ones see nothing.
_FADE = 1e-2


def background(
    img: ArrayLike, objects: NDArray[np.bool_], *, reach: float, detail: float | None = None
) -> NDArray[np.float32]:
    """The background under and around objects: what is seen beside them, within about `reach` pixels.

    A mean with Gaussian weights over the pixels that are not `objects` (normalised convolution: Knutsson and
    Westin 1993), taken on a grid with cells of `detail` pixels (left out: half of `reach`). In the middle of large
    objects nothing is near, and wider means of three and nine times the reach step in; where all is object, the
    image's own least value.

    Raises
    ------
    LayerError
        Not a 2D array of finite numbers, or `objects` of another shape.
    SettingsError
        Lengths that are not above 0.

    >>> flat = background(np.full((9, 9), 7), np.eye(9) > 0, reach=2)
    >>> float(abs(flat - 7).max()) < 1e-5
    True
    """
    pixels = intensities(img, ndim=(2,), op="background").astype(np.float32, copy=False)
    if objects.shape != pixels.shape:
        raise LayerError(f"objects of shape {objects.shape} over an image of {pixels.shape}", rule="shape-differs")
    reach = positive(reach, "reach")
    cell = positive(detail, "detail") if detail is not None else reach / 2
    if pixels.size == 0:
        return pixels.copy()
    base = pixels.min()
    reach = min(reach, float(max(pixels.shape)))
    cells = coarse.grid(pixels.shape, cell)
    free = ~objects
    # Wider looks on coarser grids, so that they cost next to nothing.
    looks = [(coarse.mean((pixels - base) * free, cells), coarse.mean(free, cells))]
    for _ in range(2):
        wider = coarse.grid(looks[-1][0].shape, 3)
        looks.append((coarse.mean(looks[-1][0], wider), coarse.mean(looks[-1][1], wider)))
    total, seen = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    for turn, (light, clear) in reversed(list(enumerate(looks))):
        wide = [reach * 3**turn * k / n for k, n in zip(light.shape, pixels.shape, strict=True)]
        total = ndimage.gaussian_filter(light, wide) + np.float32(_FADE) * coarse.fine(total, light.shape)
        seen = ndimage.gaussian_filter(clear, wide) + np.float32(_FADE) * coarse.fine(seen, light.shape)
    known = seen > _FADE**4
    local = np.where(known, total / np.where(known, seen, 1), 0).astype(np.float32)
    return np.asarray(coarse.fine(local, pixels.shape) + base, np.float32)


def flat_field(images: Iterable[ArrayLike], *, smooth: float = 0.1, detail: int = 64) -> NDArray[np.float32]:
    """The illumination that many fields of one plate share: smooth, with mean 1.

    Each field is reduced to a grid of `detail` cells along its longer side, each cell to its mean, and each field
    is divided by its own median; the median over fields then passes by the objects, as long as any place is
    background in most fields. A Gaussian of `smooth` times the longer side removes what is left of them. Divide
    by it with `correct`. The order of the fields does not matter. Memory: one grid per field, of 4096 fields at
    most; later fields are not looked at.

    Source: the retrospective median of Singh et al. 2014, J. Microsc. 256, section 2.2.

    Raises
    ------
    LayerError
        Fields of different shapes, not 2D, or none with any light in it.
    SettingsError
        `smooth` or `detail` out of range.

    >>> flat_field([np.full((32, 32), 5), np.full((32, 32), 9)]).mean()
    np.float32(1.0)
    """
    if detail < 2:
        raise SettingsError(f"detail is at least 2 cells, got {detail}")
    if not 0 < smooth <= 1:
        raise SettingsError(f"smooth is a share of the longer side, above 0 and at most 1, got {smooth}")
    shape: tuple[int, ...] | None = None
    grids: list[NDArray[np.float32]] = []
    for image in images:
        field = intensities(image, ndim=(2,), op="flat_field")
        shape = shape or field.shape
        if field.shape != shape:
            raise LayerError(f"fields of one plate share a shape: {field.shape} after {shape}", rule="shape-differs")
        if field.size == 0:
            continue
        cells = coarse.mean(field, coarse.grid(shape, max(1.0, max(shape) / detail)))
        middle = float(np.median(cells))
        if middle > 0:
            grids.append(cells / np.float32(middle))
        if len(grids) == _FIELDS:
            break
    if shape is None or not grids:
        raise LayerError(
            "no field has any light to tell the illumination from", fix="give the raw fields", rule="flat-dark"
        )
    shared = np.median(np.stack(grids), axis=0).astype(np.float32)
    shared = ndimage.gaussian_filter(shared, smooth * max(shared.shape), mode="nearest")
    profile = coarse.fine(shared, shape)
    # An unlit corner would be divided by nothing: a twentieth of the light is as dark as a profile gets.
    profile = np.maximum(profile, np.float32(0.05) * profile.max())
    return np.asarray(profile / profile.mean(dtype=np.float64), np.float32)


def correct(img: ArrayLike, profile: NDArray[Any], *, offset: float = 0.0) -> NDArray[Any]:
    """The image as it would be under even light: ``(img - offset) / profile + offset``, in its own type.

    `offset` is what the camera counts in the dark. Integers are rounded and kept within their type.

    Raises
    ------
    LayerError
        A profile of another shape, or one that is not positive everywhere.

    >>> correct(np.array([[10, 20]], np.uint8), np.array([[0.5, 2.0]])).tolist()
    [[20, 10]]
    """
    pixels = intensities(img, op="correct")
    if profile.shape != pixels.shape[pixels.ndim - profile.ndim :] or not (profile > 0).all():
        raise LayerError(
            f"a profile of shape {profile.shape} for an image of {pixels.shape} is positive everywhere and fits it",
            rule="profile",
        )
    even = (pixels.astype(np.float64) - offset) / profile + offset
    if pixels.dtype.kind == "f":
        return np.asarray(even.astype(pixels.dtype))
    limits = np.iinfo(pixels.dtype)
    return np.asarray(np.clip(np.rint(even), limits.min, limits.max).astype(pixels.dtype))
