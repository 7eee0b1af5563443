"""From light to counts: uneven illumination, scattered light, shot noise and a 12-bit camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Light: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camera:
    """A cooled camera behind a 12-bit converter.

    Parameters
    ----------
    offset
        Counts of a pixel that saw nothing.
    gain
        Counts per electron.
    read
        Electrons of read noise, as a standard deviation.
    full
        The largest count there is.

    >>> dark = Camera().expose(np.zeros((64, 64), np.float32), np.random.default_rng(0))
    >>> dark.dtype.name, bool(abs(dark.mean() - Camera().offset) < 1)
    ('uint16', True)
    """

    offset: float = 100.0
    gain: float = 1.8
    read: float = 4.0
    full: int = 4095

    def expose(self, electrons: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint16]:
        """Counts of one exposure: shot noise of the expected electrons per pixel, read noise, offset, clipping."""
        caught = rng.poisson(np.maximum(electrons, 0.0)).astype(np.float32)
        caught += self.read * rng.standard_normal(caught.shape, dtype=np.float32)
        return self.counts(caught)

    def counts(self, electrons: NDArray[Any]) -> NDArray[np.uint16]:
        """Counts of electrons that were already caught."""
        return np.clip(np.rint(electrons * self.gain + self.offset), 0, self.full).astype(np.uint16)


def blur(image: NDArray[Any], sigma: float) -> Light:
    """A Gaussian blur of `sigma` pixels; what lies outside the image is dark."""
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="constant", truncate=3.0, output=np.float32))


def shade(shape: tuple[int, int], *, centre: tuple[float, float], fall: float) -> Light:
    """Uneven illumination: 1 at `centre` (in shares of the field), less by `fall` half a field's width away.

    >>> shade((3, 5), centre=(0.5, 0.5), fall=0.2)[1, 2].round(3)
    np.float32(1.0)
    """
    y, x = (((np.arange(n) + 0.5) / n - c) ** 2 for n, c in zip(shape, centre, strict=True))
    return (1 / (1 + 4 * fall * (y[:, None] + x[None, :]))).astype(np.float32)


def veil(light: Light, *, near: float, far: float) -> Light:
    """The light with a share of it scattered: `near` over some 7 pixels, `far` over some 40.

    Thick cells and dirty glass give every bright thing a glow (the wide tail of a wide-field point spread
    function); at this width it is computed on a grid four times coarser.
    """
    cell = 4
    pad = [(0, -n % cell) for n in light.shape]
    even = np.pad(light, pad, mode="edge")
    small = even.reshape(even.shape[0] // cell, cell, even.shape[1] // cell, cell).mean((1, 3), dtype=np.float32)
    glow = near * _spread(small, 7 / cell) + far * _spread(small, 40 / cell)
    return (1 - near - far) * light + enlarge(glow, cell)[: light.shape[0], : light.shape[1]]


def enlarge(image: Light, times: int) -> Light:
    """Finer by a whole factor: pixels repeated, then evened out by two passes of a box as wide as they are.

    >>> enlarge(np.ones((2, 3), np.float32), 4).shape
    (8, 12)
    """
    out = np.repeat(np.repeat(image, times, 0), times, 1)
    for _ in range(2):
        out = ndimage.uniform_filter(out, times, mode="nearest", output=np.float32)
    return np.asarray(out)


def _spread(image: Light, sigma: float) -> Light:
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=2.5, output=np.float32))


def grain(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Light:
    """Smooth noise of standard deviation 1, `sigma` pixels coarse: chromatin, mottle, a trembling hand."""
    step = max(1, int(sigma // 2))
    small = rng.standard_normal([-(-n // step) for n in shape], dtype=np.float32)
    out = ndimage.gaussian_filter(small, sigma / step, mode="wrap", truncate=2.5, output=np.float32)
    # The blur of white noise by a Gaussian leaves a standard deviation of 1 / (2 sqrt(pi) sigma).
    out *= 2 * np.sqrt(np.pi) * sigma / step
    return enlarge(out, step)[: shape[0], : shape[1]] if step > 1 else out
