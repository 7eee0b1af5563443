"""Where an array sits in the world, as far as anybody knows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from corpuscle.core.box import Box
from corpuscle.core.length import Length
from corpuscle.errors import SpaceError

STANDARD = "tczyx"
SPATIAL = "zyx"


@dataclass(frozen=True, slots=True)
class Space:
    """One entry per array axis, in array order; micrometres along z y x, seconds along t.

    Parameters
    ----------
    axes
        Letters of ``tczyx`` and at most one named custom axis (``angle``, ``phase``). A plain
        string is read letter by letter.
    scale
        Size of a pixel along each axis, or None where nobody knows it. Never 0, never a made-up 1.
        Left out, every scale is unknown. The scale of c and of a custom axis is None.
    origin
        World position of the *centre* of the pixel at index 0: in the unit of the axis where the
        scale is known, else in pixels of level 0.
    times
        Seconds of each index along t, where they are not regular.
    binning
        How many pixels of level 0 one pixel spans along each axis: 1 at full resolution.
    frame
        The name of the coordinate frame; transforms lead from one to another.

    Readers settle units at the door, so nothing inside ever asks for one.

    >>> Space("zyx", scale=(2.0, 0.5, 0.5)).to_world((1, 2, 2))
    (2.0, 1.0, 1.0)
    >>> Space("yx").units
    ('px', 'px')
    """

    axes: tuple[str, ...]
    scale: tuple[float | None, ...] = ()
    origin: tuple[float, ...] = ()
    times: tuple[float, ...] | None = None
    binning: tuple[float, ...] = ()
    frame: str = "image"

    def __init__(
        self,
        axes: str | Iterable[str],
        scale: Sequence[float | None] = (),
        origin: Sequence[float] = (),
        times: Sequence[float] | None = None,
        binning: Sequence[float] = (),
        frame: str = "image",
    ) -> None:
        names = tuple(axes)
        n = len(names)
        put = object.__setattr__
        put(self, "axes", names)
        put(self, "scale", tuple(None if s is None else float(s) for s in scale) or (None,) * n)
        put(self, "origin", tuple(float(o) for o in origin) or (0.0,) * n)
        put(self, "times", None if times is None else tuple(float(t) for t in times))
        put(self, "binning", tuple(float(b) for b in binning) or (1.0,) * n)
        put(self, "frame", frame)
        self._check()

    def _check(self) -> None:
        n = len(self.axes)
        if not n == len(self.scale) == len(self.origin) == len(self.binning):
            raise SpaceError(
                f"axes {self.axes} need one scale, origin and binning each, got {self.scale}, {self.origin}"
            )
        if len(set(self.axes)) != n or "" in self.axes:
            raise SpaceError(f"axes must be distinct names, got {self.axes}")
        custom = [a for a in self.axes if a not in STANDARD]
        if len(custom) > 1:
            raise SpaceError(f"at most one axis may be other than t c z y x, got {custom}")
        for axis, s, o, b in zip(self.axes, self.scale, self.origin, self.binning, strict=True):
            if s is not None and not (0 < s < math.inf):
                raise SpaceError(f"the scale of axis {axis} is {s}: unknown is None, known is positive and finite")
            if not math.isfinite(o) or not (0 < b < math.inf):
                raise SpaceError(f"axis {axis} has origin {o} and binning {b}")
        if self.times is not None:
            if "t" not in self.axes:
                raise SpaceError("times without an axis t")
            if any(b <= a for a, b in zip(self.times, self.times[1:], strict=False)):
                raise SpaceError("times must increase from index to index")

    @property
    def units(self) -> tuple[str, ...]:
        """``um`` or ``s`` where the scale is known, ``px`` where it is not, ``index`` for c and custom axes."""
        return tuple(
            ("px" if s is None else "um")
            if a in SPATIAL
            else ("s" if s is not None or self.times is not None else "px")
            if a == "t"
            else "index"
            for a, s in zip(self.axes, self.scale, strict=True)
        )

    @property
    def spatial(self) -> tuple[int, ...]:
        """Which array axes are z, y or x.

        >>> Space("tczyx").spatial
        (2, 3, 4)
        """
        return tuple(i for i, a in enumerate(self.axes) if a in SPATIAL)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size along the spatial axes, the way skimage and edt want it; in level-0 pixels where unknown.

        All of one kind: if any spatial axis is unknown, every axis is told in pixels of level 0,
        so that no ratio of a micrometre to a pixel ever arises.

        >>> Space("cyx", scale=(None, 0.5, 0.5)).spacing, Space("yx").spacing
        ((0.5, 0.5), (1.0, 1.0))
        """
        known = [self.scale[i] for i in self.spatial]
        if any(s is None for s in known):
            return tuple(self.binning[i] for i in self.spatial)
        return tuple(float(s) for s in known if s is not None)

    def index(self, axis: str) -> int:
        """Where an axis stands in the array."""
        try:
            return self.axes.index(axis)
        except ValueError:
            raise SpaceError(f"no axis {axis} among {self.axes}") from None

    def pixels(self, length: Length, *, where: str = "") -> tuple[float, ...]:
        """A length in pixels of this array, per axis; 0 off the spatial axes.

        >>> from corpuscle.core.length import px, um
        >>> Space("zyx", scale=(2.0, 0.5, 0.5)).pixels(um(4))
        (2.0, 8.0, 8.0)
        >>> Space("yx").pixels(um(4), where="m1")
        Traceback (most recent call last):
        ...
        corpuscle.errors.SpaceError: m1: axis y has no known scale, so um(4) has no meaning here (...) [space]
        """
        out = []
        for a, s, b in zip(self.axes, self.scale, self.binning, strict=True):
            if a not in SPATIAL:
                out.append(0.0)
            elif length.unit == "px":
                out.append(length.value / b)
            elif s is None:
                raise SpaceError(
                    f"axis {a} has no known scale, so {length} has no meaning here",
                    where=where,
                    fix="give the length in px, or the pixel size in the source",
                )
            else:
                out.append(length.value / s)
        return tuple(out)

    def voxels(self, length: Length, *, where: str = "") -> tuple[int, ...]:
        """A length as whole pixels per axis, rounded up, as a halo wants it."""
        return tuple(math.ceil(p - 1e-9) for p in self.pixels(length, where=where))

    def to_world(self, index: Sequence[float]) -> tuple[float, ...]:
        """World position of an array index, in `units`."""
        return tuple(o + i * s for o, i, s in zip(self.origin, index, self._step(), strict=True))

    def to_index(self, position: Sequence[float]) -> tuple[float, ...]:
        """Array index of a world position: the inverse of `to_world`."""
        return tuple((p - o) / s for p, o, s in zip(position, self.origin, self._step(), strict=True))

    def _step(self) -> tuple[float, ...]:
        return tuple(b if s is None else s for s, b in zip(self.scale, self.binning, strict=True))

    def crop(self, box: Box) -> Space:
        """The space of ``array[box.slices]``."""
        times = self.times
        if times is not None:
            t = self.index("t")
            times = times[box.start[t] : box.stop[t]]
        return replace(self, origin=self.to_world(box.start), times=times)

    def coarser(self, factors: Sequence[int]) -> Space:
        """The space after averaging blocks of `factors` pixels: pixel centres move by half a block.

        >>> Space("yx", scale=(0.5, 0.5)).coarser((2, 2)).origin
        (0.25, 0.25)
        """
        step = self._step()
        return replace(
            self,
            scale=tuple(None if s is None else s * f for s, f in zip(self.scale, factors, strict=True)),
            origin=tuple(o + (f - 1) / 2 * s for o, f, s in zip(self.origin, factors, step, strict=True)),
            binning=tuple(b * f for b, f in zip(self.binning, factors, strict=True)),
        )

    def without(self, axis: str) -> Space:
        """The space of an array that has lost this axis, if it had it."""
        keep = [i for i, a in enumerate(self.axes) if a != axis]
        return Space(
            tuple(self.axes[i] for i in keep),
            tuple(self.scale[i] for i in keep),
            tuple(self.origin[i] for i in keep),
            None if axis == "t" else self.times,
            tuple(self.binning[i] for i in keep),
            self.frame,
        )
