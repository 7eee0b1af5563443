"""Arrays that know where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.box import Box
from corpuscle.core.space import Space
from corpuscle.errors import LayerError, SpaceError


class ArrayLike(Protocol):
    """Numpy, zarr, tensorstore, h5py, a reader's lazy page: anything with a shape that can be sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """The elements of a tuple of slices."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry along c: what was stained, and how it was lit. None where nobody knows.

    Wavelengths are in nanometres, as every filter wheel says them; `colour` is RRGGBB.
    """

    name: str
    dye: str | None = None
    excitation_nm: float | None = None
    emission_nm: float | None = None
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A lazy array in a space, intensities and labels alike.

    Parameters
    ----------
    array
        Anything with shape, dtype and slicing. It is read only where `read` asks.
    space
        As many axes as the array has.
    channels
        One per index along c; empty when there is no c, or nothing is known of its entries.
    labels_of
        The image layer whose objects these labels number; None for intensities. Labels are
        integers, 0 is background.
    levels
        The coarser levels of the pyramid, finest first; this image is level 0.

    >>> import numpy as np
    >>> Image(np.zeros((4, 6)), Space("yx")).read(Box((0, 0), (2, 3))).shape
    (2, 3)
    """

    array: ArrayLike
    space: Space
    channels: tuple[Channel, ...] = ()
    labels_of: str | None = None
    levels: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        if len(self.array.shape) != len(self.space.axes):
            raise SpaceError(f"an array of shape {tuple(self.array.shape)} in axes {self.space.axes}")
        if self.labels_of is not None and np.dtype(self.array.dtype).kind not in "iu":
            raise LayerError(f"labels are integers, not {self.array.dtype}", rule="labels-float")
        if self.channels:
            n = self.array.shape[self.space.index("c")]
            if len(self.channels) != n:
                raise LayerError(f"{len(self.channels)} channels named for {n} along c", rule="channels")

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return np.dtype(self.array.dtype)

    @property
    def box(self) -> Box:
        """The whole array."""
        return Box.of(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of level 0, uncompressed."""
        return self.box.size * self.dtype.itemsize

    @property
    def is_labels(self) -> bool:
        """Whether the pixels number objects."""
        return self.labels_of is not None

    def level(self, k: int) -> Image:
        """Level `k` of the pyramid; 0 is this image."""
        if k == 0:
            return self
        if not 0 < k <= len(self.levels):
            raise LayerError(f"no level {k}: there are {1 + len(self.levels)}", rule="level-missing")
        return self.levels[k - 1]

    def read(self, box: Box | None = None, *, level: int = 0) -> NDArray[Any]:
        """The pixels of a region, in memory; `box` counts in pixels of the level it reads."""
        image = self.level(level)
        return np.asarray(image.array[(box or image.box).slices])

    def crop(self, box: Box) -> Image:
        """The region as an image of its own, in memory, where it lies in the same world."""
        return Image(self.read(box), self.space.crop(box), self.channels, self.labels_of)

    def __repr__(self) -> str:
        size = " x ".join(f"{a} {n}" for a, n in zip(self.space.axes, self.shape, strict=True))
        kind = f"labels of {self.labels_of}" if self.labels_of else "image"
        return f"<{kind}: {size}, {self.dtype}, {1 + len(self.levels)} level(s), {_pixel(self.space)}>"


def _pixel(space: Space) -> str:
    known = [(space.axes[i], space.scale[i]) for i in space.spatial]
    if any(s is None for _, s in known):
        return "pixel size unknown"
    return " x ".join(f"{s:.4g}" for _, s in known) + " um"
