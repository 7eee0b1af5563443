"""One small picture of a whole plate: every well a tile, so that a viewer need not open 384 images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpuscle.core.box import Box
from corpuscle.core.image import Channel, Image
from corpuscle.core.space import Space
from corpuscle.errors import CorpuscleError, FormatError
from corpuscle.formats import plates, vetted
from corpuscle.formats.omezarr import read_image, write
from corpuscle.formats.pyramids import group, put

NAME = "preview"
PLANE = 1024, 4096
RANGE = 0.1, 99.9


def write_preview(plate: Path, *, tile: int = 128, fields: Literal["middle", "all"] = "middle") -> tuple[str, ...]:
    """Draw the preview of a plate of OME-Zarr 0.5 and say in the plate's metadata where it is.

    The mosaic is an image of its own, ``preview``, in the plate's group: uint8, one tile of `tile` pixels squared per
    place of the plate, each channel scaled from its 0.1 to its 99.9 percentile over the plate. Wells without an image
    stay 0. It is cut so that all of a 384-well plate, in one channel, is read in about ten requests. Of a stack the
    middle plane is shown, of a series the first time.

    Parameters
    ----------
    fields
        The middle one of each well, or all of them side by side.

    Returns
    -------
    The fields that could not be read, as ``row/column/field: why``; their tiles stay 0.
    """
    where = str(plate)
    document = vetted.mapping(vetted.load(plate / "zarr.json"), "its metadata", where)
    attributes = vetted.mapping(document.get("attributes"), "attributes", where)
    about = plates.parse_plate(attributes, where=where)
    mosaic, names, failed = _mosaic(plate, about, tile, all_fields=fields == "all")
    scaled = np.stack([_scaled(channel) for channel in mosaic])
    image = Image(scaled, Space("cyx"), tuple(names))
    write(image, plate / NAME, name=NAME, replace=True, plane=PLANE, extra={"tile": tile})
    told: dict[str, Any] = {
        "path": NAME,
        "tile": tile,
        "fields": fields,
        "rows": len(about.rows),
        "columns": len(about.columns),
    }
    ours = vetted.mapping(attributes.get("corpuscle", {}), "corpuscle", where)
    for file, text in group(attributes | {"corpuscle": ours | {"preview": told}}, "0.5").items():
        put(plate / file, text)
    return tuple(failed)


def tile_box(plate: plates.Plate, well: str, tile: int) -> Box:
    """Where a well lies in the preview of its plate, in y and x.

    >>> tile_box(plates.Plate("p", ("A", "B"), ("1", "2"), ()), "B/1", 128)
    Box(start=(128, 0), stop=(256, 128))
    """
    row, column = well.split("/")
    y, x = plate.rows.index(row) * tile, plate.columns.index(column) * tile
    return Box((y, x), (y + tile, x + tile))


def _mosaic(
    plate: Path, about: plates.Plate, tile: int, *, all_fields: bool
) -> tuple[NDArray[np.float32], Sequence[Channel], list[str]]:
    """Mean intensities per channel, nan where there is no image."""
    shape = len(about.rows) * tile, len(about.columns) * tile
    planes: list[NDArray[np.float32]] = []
    names: list[Channel] = []
    failed = []
    for well in about.wells:
        found = plates.parse_well(_attributes(plate / well), where=str(plate / well))
        shown = found if all_fields else found[len(found) // 2 : len(found) // 2 + 1]
        side = math.ceil(math.sqrt(max(1, len(shown))))
        size = max(1, tile // side)
        corner = tile_box(about, well, tile).start
        for i, field in enumerate(shown):
            try:
                pixels, channels = _small(read_image(plate / well / field), size)
            except CorpuscleError as e:
                failed.append(f"{well}/{field}: {e.message}")
                continue
            for c in range(len(planes), len(pixels)):
                planes.append(np.full(shape, np.nan, np.float32))
                names.append(channels[c] if c < len(channels) else Channel(f"c{c}"))
            y, x = corner[0] + i // side * size, corner[1] + i % side * size
            h, w = pixels.shape[1:]
            y, x = y + (size - h) // 2, x + (size - w) // 2
            for plane, part in zip(planes, pixels, strict=False):
                plane[y : y + h, x : x + w] = part
    if not planes:
        planes, names = [np.full(shape, np.nan, np.float32)], [Channel("c0")]
    return np.stack(planes), names, failed


def _small(image: Image, size: int) -> tuple[NDArray[np.float32], tuple[Channel, ...]]:
    """The channels of an image, (c, y, x), with no side longer than `size`."""
    space = image.space
    if not {"y", "x"} <= set(space.axes):
        raise FormatError(f"an image in {space.axes} cannot be shown", fix="give it y and x", rule="preview-axes")
    levels = [image.level(k) for k in range(1 + len(image.levels))]
    level = next((v for v in reversed(levels) if max(v.shape[i] for i in v.space.spatial[-2:]) >= size), image)
    box = level.box
    start, stop = list(box.start), list(box.stop)
    for i, axis in enumerate(space.axes):
        if axis not in "cyx":
            start[i] = level.shape[i] // 2 if axis == "z" else 0
            stop[i] = start[i] + 1
    pixels = level.read(Box(tuple(start), tuple(stop))).astype(np.float32)
    kept = [a for a in space.axes if a in "cyx"]
    pixels = pixels.reshape([level.shape[space.index(a)] for a in kept])
    pixels = np.transpose(pixels, [kept.index(a) for a in "cyx" if a in kept])
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    h, w = pixels.shape[1:]
    scale = min(1.0, size / max(h, w))
    for along, n in ((1, h), (2, w)):
        pixels = _averaged(pixels, along, max(1, round(n * scale)))
    return pixels, image.channels


def _averaged(pixels: NDArray[np.float32], axis: int, n: int) -> NDArray[np.float32]:
    """The mean of `n` runs of nearly equal length along an axis."""
    long = pixels.shape[axis]
    edges = np.arange(n) * long // n
    counts = np.diff([*edges.tolist(), long]).reshape([-1 if i == axis else 1 for i in range(3)])
    return np.asarray(np.add.reduceat(pixels, edges, axis=axis) / counts, np.float32)


def _scaled(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """From 1 to 255 between the two percentiles of what is there; 0 where nothing is."""
    there = np.isfinite(plane)
    if not there.any():
        return np.zeros(plane.shape, np.uint8)
    low, high = np.percentile(plane[there], RANGE)
    shown = np.clip((plane - low) / max(high - low, 1e-12), 0, 1) * 254 + 1
    return np.where(there, np.rint(np.nan_to_num(shown)), 0).astype(np.uint8)


def _attributes(folder: Path) -> dict[str, Any]:
    document = vetted.mapping(vetted.load(folder / "zarr.json"), "its metadata", folder)
    return vetted.mapping(document.get("attributes"), "attributes", folder)
