"""Generated fields of nuclei, and the ways in which a copy may differ from its original."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Bytes: TypeAlias = NDArray[np.uint8]


def nuclei(seed: int, *, side: int = 256, count: int = 25, noise: float = 2.0) -> Bytes:
    """Textured ellipses of various brightness on a dark, noisy ground."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 10.0)
    y, x = np.mgrid[-24:25, -24:25]
    for _ in range(count):
        cy, cx = rng.integers(0, side, 2)
        angle, long = rng.uniform(0, np.pi), rng.uniform(0.75, 1.3)
        u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        spot = 1 / (1 + np.exp(np.hypot(u * long, v / long) - rng.uniform(6, 12)))
        spot *= rng.uniform(40, 120) * (1 + 0.2 * ndimage.gaussian_filter(rng.normal(size=y.shape), 2) * 8)
        top, left = max(0, cy - 24), max(0, cx - 24)
        part = image[top : cy + 25, left : cx + 25]
        part += spot[top - cy + 24 :, left - cx + 24 :][: part.shape[0], : part.shape[1]]
    return grey(ndimage.gaussian_filter(image, 0.8) + rng.normal(0, noise, image.shape))


def grey(image: NDArray[Any]) -> Bytes:
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


def jpeg(image: Bytes, quality: int = 85) -> Bytes:
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(held, "JPEG", quality=quality)
    return np.array(Image.open(held))


def rescaled(image: Bytes, by: float, how: Image.Resampling = Image.Resampling.BILINEAR) -> Bytes:
    size = (round(image.shape[1] * by), round(image.shape[0] * by))
    return np.array(Image.fromarray(np.ascontiguousarray(image)).resize(size, how))


def gamma(image: Bytes, power: float) -> Bytes:
    top = max(1.0, float(image.max()))
    return grey((image / top) ** power * top)


def normalised(image: Bytes) -> Bytes:
    low, high = np.percentile(image, [0.1, 99.9])
    return grey((image - low) / max(high - low, 1) * 255)


def noisy(image: Bytes, share: float = 0.02) -> Bytes:
    low, high = np.percentile(image, [1, 99.5])
    return grey(image + np.random.default_rng(0).normal(0, share * (high - low), image.shape))


def cropped(image: Bytes, share: float = 0.05) -> Bytes:
    top, left = round(image.shape[0] * share), round(image.shape[1] * share / 2)
    return image[top:, left : image.shape[1] - left]


ALTERED: dict[str, Callable[[Bytes], Bytes]] = {
    "flip y": lambda a: a[::-1],
    "flip x": lambda a: a[:, ::-1],
    "transposed": lambda a: a.T,
    "rotated 90": lambda a: np.rot90(a),
    "rotated 180": lambda a: np.rot90(a, 2),
    "rotated 270": lambda a: np.rot90(a, 3),
    "jpeg 85": jpeg,
    "+1": lambda a: grey(a + 1.0),
    "gain and offset": lambda a: grey(a * 0.6 + 7),
    "gamma 0.8": lambda a: gamma(a, 0.8),
    "gamma 1.25": lambda a: gamma(a, 1.25),
    "percentiles": normalised,
    "half": lambda a: rescaled(a, 0.5),
    "half, nearest": lambda a: rescaled(a, 0.5, Image.Resampling.NEAREST),
    "0.73": lambda a: rescaled(a, 0.73, Image.Resampling.LANCZOS),
    "1.4": lambda a: rescaled(a, 1.4),
    "double": lambda a: rescaled(a, 2.0, Image.Resampling.BICUBIC),
    "noise": noisy,
    "cropped": cropped,
    "rotated, rescaled, +1": lambda a: grey(rescaled(np.rot90(a), 0.6) + 1.0),
    "rotated, rescaled, +1, jpeg": lambda a: jpeg(grey(rescaled(np.rot90(a, 3), 0.5) + 1.0)),
    "transposed, percentiles, enlarged": lambda a: rescaled(normalised(a.T), 1.7),
    "jpeg, flipped, gamma, half": lambda a: rescaled(gamma(jpeg(a)[:, ::-1], 0.85), 0.5),
    "cropped, rotated, jpeg": lambda a: jpeg(np.rot90(cropped(a, 0.04))),
}
