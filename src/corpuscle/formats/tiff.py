"""TIFF: OME-TIFF, ImageJ, plain and multi-page, BigTIFF and pyramids, read page by page; written as OME-TIFF."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Channel, Fact, Image, Layer, Record, Space
from corpuscle.errors import FormatError, SpaceError
from corpuscle.formats.contract import Loss, Scene, image_of, lost, named, pick
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import aside, head
from corpuscle.formats.windows import Window

# tifffile is imported where it is used, through the modules named here: a sniff must not wait for it.
if TYPE_CHECKING:
    from corpuscle.formats.tiffmeta import Told

NAME = "tiff"
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STORED = ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "c8", "c16"]


def sniff(path: Path) -> bool:
    """Whether it starts with the byte order and number of TIFF or BigTIFF."""
    return head(path, 4) in _MAGIC


def scenes(path: Path) -> tuple[Scene, ...]:
    """Every series of the file: an image of OME-XML, an ImageJ hyperstack, or pages that are alike."""
    images, facts = _images(path)
    return tuple(Scene.of(name, image, layer=_layer(image), facts=facts) for name, image in images)


def read(path: Path, scene: str | None = None) -> Record:
    """One series as layer ``raw``, or ``labels`` where the file was written from labels here.

    The pixel size is that of OME-XML or ImageJ; dots per inch are not one, unless finer than 10 um a
    pixel. Pages that nothing tells the meaning of are an axis ``page``. Where the OME-XML is broken the fact
    ``ome_xml`` says how, and the pages are read as those of a plain TIFF. Raises FormatError: see
    `tiffpages.opened` and `tiffmeta.vetted`; ``tiff-axes`` for axes that no image has,
    ``tiff-missing`` for planes that lie in files that are not there.
    """
    images, facts = _images(path)
    index = pick(tuple(name for name, _ in images), scene, where=path)
    name, image = images[index]
    label, groups = named(path)
    return Record(label if len(images) == 1 else f"{label}_{name}", groups, {_layer(image): image}, facts)


def write(layer: Layer, path: Path) -> tuple[Loss, ...]:
    """Write an image as OME-TIFF, deflate, one plane in memory at a time.

    Axes t, c, z in any order before yx; numbers of up to 32 bits, 64 for floats. Kept are pixels, scale,
    origin, channels and of what the labels are. Labels become uint16, or uint32 where they are larger,
    with their gaps.
    """
    import tifffile

    from corpuscle.formats.tiffmeta import description

    image = image_of(layer, format=NAME, path=path)
    axes = "".join(image.space.axes)
    if axes[-2:] != "yx" or not set(axes) <= set("tczyx") or 0 in image.shape:
        raise FormatError(
            f"OME-TIFF holds t, c, z before yx, not {image!r}",
            where=path,
            fix="write it again with axes named, y and x last",
            rule="tiff-axes",
        )
    dtype = _stored(image, path)
    single = all(n == 1 for n in image.shape[:-2])
    pixels: Any = image.read().astype(dtype, copy=False) if single else _planes(image, dtype)
    meta = description(image)
    # The same image gives the same bytes: OME-XML wants a UUID, and by itself tifffile draws one.
    meta["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted((k, str(v)) for k, v in meta.items()))))
    with (
        aside(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=image.box.size * dtype.itemsize > 3 << 30, ome=True) as file,
    ):
        file.write(pixels, shape=image.shape, dtype=dtype, compression="zlib", metadata=meta, photometric="minisblack")
    losses = lost(image, keeps={"scale", "origin", "channels", "labels_of"})
    changed = Loss("dtype", 1, (f"{image.dtype} to {dtype}",))
    return losses if dtype == image.dtype else (changed, *losses)


def _layer(image: Image) -> str:
    return "labels" if image.is_labels else "raw"


def _stored(image: Image, path: Path) -> np.dtype[Any]:
    dtype = image.dtype.newbyteorder("=")
    if image.is_labels:
        tops = [(int(p.min()), int(p.max())) for p in _planes(image, dtype)]
        low, high = min(a for a, _ in tops), max(b for _, b in tops)
        if low < 0 or high >= 1 << 32:
            raise FormatError(
                f"labels from {low} to {high}",
                where=path,
                fix="convert to whole numbers or floats first",
                rule="tiff-dtype",
            )
        return np.dtype("u1" if dtype == np.uint8 else "u2" if high < 1 << 16 else "u4")
    if dtype == np.bool_:
        return np.dtype("u1")
    if dtype.str[1:] not in _STORED:
        raise FormatError(
            f"OME-TIFF has no pixels of {dtype}",
            where=path,
            fix="convert to whole numbers or floats first",
            rule="tiff-dtype",
        )
    return dtype


def _planes(image: Image, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    plane = image.shape[-2:]
    for box in image.box.tiles((*(1,) * (len(image.shape) - 2), *plane)):
        yield image.read(Box(box.start, box.stop)).reshape(plane).astype(dtype, copy=False)


def _images(path: Path) -> tuple[list[tuple[str, Image]], dict[str, Fact]]:
    """Name and image of every series, and what is odd about the file."""
    from corpuscle.formats import tiffmeta, tiffpages

    out = []
    with tiffpages.opened(path) as file:
        fault = tiffpages.ome_fault(file)
        if file.is_ome:
            tiffmeta.vetted(file, path)
        found = list(file.series)
        if not found:
            raise FormatError(
                "holds no image", where=path, fix="copy the file again, or export it again", rule="tiff-corrupt"
            )
        _complete(file, found, path)
        plain = [str(s.name or "").strip() for s in found]
        for i, series in enumerate(found):
            name = plain[i] if plain[i] and plain.count(plain[i]) == 1 else str(i)
            told = tiffmeta.told(file, i, path)
            out.append((path.stem if len(found) == 1 else name, _image(series, i, told, path)))
    return out, {"ome_xml": Fact(f"unreadable: {fault}")} if fault else {}


def _complete(file: Any, found: list[Any], path: Path) -> None:
    """FormatError where ImageJ's or tifffile's own note tells of more planes than there are.

    They may write all planes behind a single page, of which a file that was cut short leaves some.
    """
    planes = sum(math.prod(s.shape) // math.prod(s.pages[0].shape) for s in found if s.pages[0] is not None)
    told = 0
    if file.is_imagej:
        told = int((file.imagej_metadata or {}).get("images", 1))
    elif file.is_shaped:
        pixels = sum(math.prod(note["shape"]) for note in file.shaped_metadata if "shape" in note)
        told = pixels // max(1, math.prod(file.pages.first.shape))
    if told > planes:
        raise FormatError(
            f"tells of {told} planes and holds {planes}", where=path, fix="copy the file again", rule="tiff-truncated"
        )


def _image(series: Any, number: int, told: Told, path: Path) -> Image:
    levels = [_level(series, number, k, path) for k in range(len(series.levels))]
    axes, array = levels[0]
    space, array, channels, labels_of = _placed(axes, array, told, path)
    coarser = []
    for axes_k, array_k in levels[1:]:
        if axes_k != axes or len(array_k.shape) != len(array.shape):
            continue
        factors = [max(1, round(a / b)) for a, b in zip(array.shape, array_k.shape, strict=True)]
        coarser.append(Image(array_k, space.coarser(factors), channels, labels_of))
    return Image(array, space, channels, labels_of, tuple(coarser))


def _placed(axes: str, array: Lazy, told: Told, path: Path) -> tuple[Space, Lazy, tuple[Channel, ...], str | None]:
    """Space, channels and labels; as our own annotation has them, where it fits the pixels."""
    names = ["page" if a == "?" else a for a in axes]
    origin: tuple[float, ...] = ()
    labels_of, channels = None, told.channels
    carried = told.carried
    shape = carried.get("shape")
    if isinstance(shape, list) and [n for n in shape if n != 1] == [n for n in array.shape if n != 1]:
        from corpuscle.formats import tiffmeta

        try:
            names = list(str(carried.get("axes")))
            origin = tuple(float(o) for o in carried.get("origin", ()))
            channels = tiffmeta.channels(carried.get("channels"))
            labels_of = carried.get("labels_of")
            array = _reshaped(array, tuple(int(n) for n in shape))
            if not isinstance(labels_of, str | None):
                raise TypeError("labels are of a layer that has a name")
        except (TypeError, ValueError) as e:
            raise FormatError(
                f"its annotation makes no sense: {e}",
                where=path,
                fix="export it again, with sound OME-XML",
                rule="tiff-ome",
            ) from e
    scale = tuple(told.scale.get(a) for a in names)
    try:
        space = Space(names, scale=scale, origin=origin)
        n = array.shape[names.index("c")] if "c" in names else 0
        return space, array, channels if len(channels) == n else (), labels_of
    except SpaceError as e:
        raise FormatError(
            f"its axes make no image: {e.message}",
            where=path,
            fix="write it again with axes named, y and x last",
            rule="tiff-axes",
        ) from e


def _reshaped(array: Lazy, shape: tuple[int, ...]) -> Lazy:
    """The same planes with axes of length one put in before them."""
    raw = array.lead == 0 and array.windowed
    inner = (3 if array.load.args[-1] else 2) if raw else len(array.shape) - array.lead  # type: ignore[attr-defined]
    if shape[len(shape) - inner :] != array.shape[len(array.shape) - inner :] or len(shape) < len(array.shape):
        raise ValueError(f"pixels of shape {array.shape} are not {shape}")
    if not raw:
        return replace(array, shape=shape, lead=len(shape) - inner)
    path, _, *rest = array.load.args  # type: ignore[attr-defined]
    return replace(array, shape=shape, load=partial(_raw, path, shape, *rest))


def _level(series: Any, number: int, k: int, path: Path) -> tuple[str, Lazy]:
    """One level of a series as letters of axes (? for pages of unknown meaning) and lazy planes."""
    from corpuscle.formats import tiffpages

    level = series.levels[k]
    shape, letters = tuple(int(n) for n in level.shape), str(level.axes)
    dtype = np.dtype(level.dtype)
    if dtype.kind not in "biufc" or len(shape) != len(letters) or not shape or min(shape) < 1:
        raise FormatError(
            f"a series of {dtype} in {letters} {shape}",
            where=path,
            fix="write it again with axes named, y and x last",
            rule="tiff-axes",
        )
    if any(page is None for page in level.pages):
        gone = sum(page is None for page in level.pages)
        raise FormatError(
            f"{gone} of its planes are in files that are not here",
            where=path,
            fix="bring the files it was exported with",
            rule="tiff-missing",
        )
    # Samples last become a c before y and x, and with c elsewhere too they are one too many.
    last = letters.endswith("YXS")
    moved = letters[:-3] + "SYX" if last else letters
    axes, lengths = _lettered(moved, (*shape[:-3], shape[-1], *shape[-3:-1]) if last else shape, path)
    page = level.pages[0]
    inner = 3 if last else 2
    if not axes.endswith("yx") or (last and lengths[-3] != shape[-1]):
        raise FormatError(
            f"axes {letters} do not end in those of a plane",
            where=path,
            fix="write it again with axes named, y and x last",
            rule="tiff-axes",
        )
    native = dtype.newbyteorder("=")
    if level.dataoffset is not None and not level.is_multifile:
        end = level.dataoffset + math.prod(shape) * dtype.itemsize
        if end > path.stat().st_size:
            raise FormatError(
                f"pixels up to byte {end} of {path.stat().st_size}",
                where=path,
                fix="copy the file again",
                rule="tiff-truncated",
            )
        load: Any = partial(_raw, str(path), lengths, _ordered(page, dtype).str, int(level.dataoffset), last)
        return axes, Lazy(lengths, native, load, paths=(str(path),), windowed=True)
    per_page = tuple(int(n) for n in page.shape)
    planes = math.prod(shape) // math.prod(per_page)
    if per_page == shape[len(shape) - len(per_page) :] and len(per_page) == inner and planes == len(level.pages):
        files = tuple(str(Path(p.parent.filehandle.path)) for p in level.pages) if level.is_multifile else (str(path),)
        offsets = np.array([int(p.offset) for p in level.pages], np.int64).tobytes()
        load = partial(tiffpages.pages, files, offsets, lengths[len(lengths) - inner :], native.str, last)
        return axes, Lazy(lengths, native, load, len(lengths) - inner, files, windowed=int(page.compression) == 1)
    return axes, Lazy(lengths, native, partial(_whole, str(path), number, k, last, lengths), 0, (str(path),))


def _ordered(page: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder(page.parent.byteorder)


def _raw(path: str, shape: tuple[int, ...], dtype: str, start: int, last: bool, index: int) -> Window:
    """All pixels of a series that lie in one piece; samples, which come `last` in the file, before y and x."""
    if not last:
        return Window(path, shape, dtype, start)
    n = len(shape)
    return Window(path, (*shape[:-3], *shape[-2:], shape[-3]), dtype, start, (*range(n - 3), n - 1, n - 3, n - 2))


def _whole(path: str, number: int, k: int, last: bool, shape: tuple[int, ...], index: int) -> NDArray[Any]:
    from corpuscle.formats import tiffpages

    return tiffpages.series(path, number, k, last, 0).reshape(shape)


def _lettered(letters: str, shape: tuple[int, ...], path: Path) -> tuple[str, tuple[int, ...]]:
    """Our letters for tifffile's: unknown ones side by side become one axis of pages, and single samples go."""
    axes, lengths = "", list[int]()
    for letter, n in zip(letters, shape, strict=True):
        low = letter.lower() if letter in "TCZYX" else "c" if letter == "S" and "C" not in letters else "?"
        if low == "?" and n == 1 and len(letters) > 2:
            continue
        if low == "?" and axes.endswith("?"):
            lengths[-1] *= n
            continue
        axes, lengths = axes + low, [*lengths, n]
    if len(set(axes)) != len(axes) or "y" not in axes or "x" not in axes:
        raise FormatError(
            f"axes {letters} of {shape} make no image",
            where=path,
            fix="write it again with axes named, y and x last",
            rule="tiff-axes",
        )
    return axes, tuple(lengths)
