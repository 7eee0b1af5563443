"""The canvases of one field: light that adds up, and outlines that never overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.worlds.cells import Patch
from corpuscle.worlds.optics import Light, grain

SMALLEST = 6
"""Area in px² below which nobody outlines anything."""


class Slide:
    """What the cells of a field have put on it so far.

    `light` is in electrons per pixel. `outline` draws as a person does: round a thing, where its blurred cover falls
    to a share of its greatest, with a hand that trembles by about half a pixel.
    """

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.light = np.zeros(shape, np.float32)
        self._rng = rng
        self._hand = float(rng.normal(0.46, 0.05))
        self._tremor = 0.12 * grain(shape, 6.0, rng)
        self._claims = np.zeros(shape, np.float32)
        self._labels = np.zeros(shape, np.int32)
        self._drawn = 0

    def shine(self, patch: Patch, strength: float, *, texture: Light | None = None) -> None:
        """Add a patch's light, made uneven by a texture of the whole field."""
        if meets := patch.meet(self.light.shape):
            there, here = meets
            lit = np.float32(strength) * patch.values[here]
            self.light[there] += lit if texture is None else lit * texture[there]

    def outline(self, cover: Patch) -> None:
        """Draw round a thing; where two meet, the one that covers a pixel more fully keeps it."""
        if not (meets := cover.meet(self.light.shape)):
            return
        there, here = meets
        full = cover.values[here] / max(float(cover.values.max()), 1e-6)
        level = float(np.clip(self._rng.normal(self._hand, 0.12), 0.2, 0.72))
        mine = (full > level + self._tremor[there]) & (full > self._claims[there])
        self._drawn += 1
        self._labels[there][mine] = self._drawn
        self._claims[there][mine] = full[mine]

    def truth(self) -> NDArray[np.int32]:
        """Objects 1..n in the order they were drawn, each its largest 8-connected piece of `SMALLEST` px² or more."""
        out = np.zeros_like(self._labels)
        n = 0
        for k, where in enumerate(ndimage.find_objects(self._labels), 1):
            if where is None:
                continue
            pieces, _ = ndimage.label(self._labels[where] == k, np.ones((3, 3)))
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            if sizes.max() >= SMALLEST:
                n += 1
                out[where][pieces == sizes.argmax()] = n
        return out
