"""What can be planned without a recipe: a conversion, a filter, connected components, of a file or of a size."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpuscle import formats
from corpuscle.blocks.conversion import forecast_conversion
from corpuscle.blocks.extract import ghost
from corpuscle.blocks.forecast import Forecast
from corpuscle.blocks.merge import Stitch
from corpuscle.blocks.rehearsal import forecast
from corpuscle.blocks.step import Blockwise, Step
from corpuscle.core import Box, Image, Record, Space, px
from corpuscle.errors import FormatError, SettingsError
from corpuscle.formats import omezarr
from corpuscle.ops.components import components
from corpuscle.ops.smooth import gaussian, reach

Kind = Literal["convert", "filter", "components"]
SIGMA = 2.0
FILL = 0.1
AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A volume to plan for: its record, and a piece of pixels like those that it holds."""

    record: Record
    piece: NDArray[Any]
    real: bool

    @property
    def image(self) -> Image:
        """The picture in it."""
        return next(x for x in self.record.layers.values() if isinstance(x, Image))


def subject(told: str, *, side: int | None = None) -> Subject:
    """A file, or a size in the order of its axes with the type of its pixels.

    ``7168x4608x4608:float32`` is a volume of so many planes, rows and columns; of two numbers the image is flat. The
    pixels of a size are made up: smooth structure with noise in it, which compresses about as micrographs do.
    """
    if not Path(told).exists() and (size := re.fullmatch(r"(\d+(?:x\d+)+)(?::(\w+))?", told)):
        return _of_size([int(n) for n in size[1].split("x")], size[2] or "uint16", side)
    record = formats.read(Path(told))
    images = {n: x for n, x in record.layers.items() if isinstance(x, Image)}
    if not images:
        raise FormatError("holds no picture", where=told, fix="name a file of pixels", rule="plan-picture")
    name = next((n for n, x in images.items() if not x.is_labels), next(iter(images)))
    image = images[name]
    middle = Box(tuple(max(0, n // 2 - 32) for n in image.shape), tuple(min(n, n // 2 + 32) for n in image.shape))
    return Subject(Record("source", {}, {"raw": image}), image.read(middle), True)


def _of_size(shape: Sequence[int], dtype: str, side: int | None) -> Subject:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "uif" or kind.itemsize > 8:
        raise SettingsError(f"no image has pixels of {dtype!r}", fix="uint8, uint16, float32, ...", rule="plan-size")
    if len(shape) not in AXES or min(shape) < 1:
        raise SettingsError(f"no image has the shape {tuple(shape)}", fix="give 2 to 5 lengths", rule="plan-size")
    space = Space(AXES[len(shape)])
    deep = "z" in space.axes and shape[space.index("z")] >= 16
    side = side or (256 if deep else 2048)
    of = {i: side for i in space.spatial if deep or space.axes[i] != "z"}
    tile = [min(of.get(i, 1), n) for i, n in enumerate(shape)]
    # Two blocks along the last axis that is longer than one.
    along = max(range(len(shape)), key=lambda i: (shape[i] > tile[i], i))
    tile[along] = min(2 * tile[along], shape[along])
    record = Record("volume", {}, {"raw": ghost(shape, kind, space)})
    return Subject(record, made_up(tile, kind), False)


def made_up(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Pixels of smooth structure with noise of some five bits in it; the same every time."""
    rng = np.random.default_rng(0)
    inner = tuple(shape)[-3:]
    small = gaussian(rng.standard_normal([min(n, 64) for n in inner], np.float32), sigma=3.0, spacing=None)
    small /= max(1e-9, float(small.std()))
    tile = np.tile(small, [-(-n // min(n, 64)) for n in inner])[tuple(slice(n) for n in inner)]
    noisy = tile + rng.standard_normal(shape, np.float32) * np.float32(0.1)
    if dtype.kind == "f":
        return np.asarray(noisy.astype(dtype))
    top = min(np.iinfo(dtype).max, 4095)
    return np.asarray(np.clip((0.5 + noisy / 8) * top, 0, top).astype(dtype))


def objects_above(pixels: NDArray[Any], *, level: float, connectivity: int) -> NDArray[Any]:
    """What hangs together above a level."""
    return components(pixels > level, connectivity=connectivity)


def steps_of(kind: Literal["filter", "components"], of: Subject) -> tuple[Step, ...]:
    """What is tried: a Gaussian of sigma 2, or the components of the brightest tenth of all pixels."""
    image = of.image
    axes = "".join(a for a in image.space.axes if a in "zyx")
    match kind:
        case "filter":
            halo = px(reach(SIGMA))
            return (Blockwise(partial(gaussian, sigma=SIGMA, spacing=None), "raw", "filter", halo=halo, axes=axes),)
        case "components":
            level = 0.0 if image.is_labels else float(np.quantile(of.piece, 1 - FILL))
            connectivity = 26 if len(axes) == 3 else 8
            op = partial(objects_above, level=level, connectivity=connectivity)
            return (Blockwise(op, "raw", "components", halo=px(1), axes=axes, merge=Stitch(), labels_of="raw"),)


def plan(
    kind: Kind, of: Subject, *, workers: int, block: tuple[int, ...] | None = None, folder: Path | None = None
) -> Forecast:
    """What it would take, from one in a hundred blocks of a file, or from two of pixels that were made up.

    A conversion has blocks of its own; `block` is of the others.
    """
    if of.real:
        return _plan(kind, of, None, workers, block, folder)
    with tempfile.TemporaryDirectory(prefix="corpuscle-plan-", dir=folder) as place:
        store = Path(place) / "sample.zarr"
        omezarr.write(Image(of.piece, of.image.space), store, name="raw")
        return _plan(kind, of, omezarr.read_image(store), workers, block, folder)


def _plan(
    kind: Kind, of: Subject, sample: Image | None, workers: int, block: tuple[int, ...] | None, folder: Path | None
) -> Forecast:
    if kind == "convert":
        parts = None if sample is None else [sample]
        return forecast_conversion(of.image, workers=workers, sample=parts, folder=folder)
    records = None if sample is None else [Record("sample", {}, {"raw": sample})]
    steps = steps_of(kind, of)
    return forecast(steps, [of.record], workers=workers, block=block, sample=records, folder=folder)
