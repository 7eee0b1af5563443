"""Object images: one colour per object, or few colours such that no two that touch share one; decided by evidence.

What is in the wild (CVAT masks, BBBC039, hand-made): 24-bit colours, palette indices or grey values, in
the Pascal-VOC palette or any other, on black or on some other background. All of these decode without
loss. A picture that went through JPEG or was resized smoothly has colours that no object has, and is
refused with the numbers that show it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Fact, Image, Layer, Record, Space
from corpuscle.core.plate import parse
from corpuscle.errors import FormatError
from corpuscle.formats import png, voc
from corpuscle.formats.contract import Loss, Scene, image_of, lost, pick
from corpuscle.formats.evidence import flat, unmixed, whole_pieces
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.source import aside, head, whole

NAME = "rgbmask"
How: TypeAlias = Literal["colour", "palette", "grey", "graph", "empty"]
# A photograph never packs 50-fold; flat colours do.
_FLAT = 50
_SAYS = "corpuscle:objects"
_SAID = b"tEXt" + _SAYS.encode() + b"\0"
# A photograph packs less than this, and a colour of it seldom goes on for more pixels.
_SHADED = 4
_RUN = 3.0
_LOOKED = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Objects, and how they were told apart.

    Parameters
    ----------
    labels
        (y, x) int32, 0 is background, 1..n.
    how
        ``colour``, ``palette`` or ``grey`` where each colour, index or value is one object; ``graph``
        where colours are used again and each connected piece is one object.
    colours
        The code of each object: R << 16 | G << 8 | B, or the index or value.
    background
        The code of what is no object.
    split
        Labels of objects that are in more than one piece (8-connected).
    wrapped
        Whether a palette of 256 may have run out and begun again, so that two objects are one
        (cvat issue 3360): all 255 colours are used.
    """

    labels: NDArray[np.int32]
    how: How
    colours: tuple[int, ...]
    background: int
    split: tuple[int, ...] = ()
    wrapped: bool = False

    @property
    def n(self) -> int:
        """How many objects."""
        return len(self.colours)

    @property
    def facts(self) -> dict[str, Fact]:
        """What a record should say of it."""
        told = {
            "objects": Fact(self.n, source="computed"),
            "decoded_by": Fact(self.how, source="computed"),
            "background": Fact(f"{self.background:06x}", source="computed"),
        }
        if self.split:
            told["split_objects"] = Fact(",".join(map(str, self.split)), source="computed")
        if self.wrapped:
            told["palette_wrap_suspected"] = Fact(True, source="computed")
        return told


def sniff(path: Path) -> bool:
    """Whether it is a PNG that says it holds objects, or has a palette, or whose colours lie flat.

    They do where 8-bit colours without shades pack more than 50-fold. Where they pack less, as on small or crowded
    images, the pixels are looked at, of up to 4 million: a colour that is no background goes on for several pixels,
    and they are not the greys of a photograph. A name that ends in ``_objects`` lets grey values count as well.
    """
    start = head(path)
    if start[:8] != png.MAGIC or len(start) < 33 or start[12:16] != b"IHDR":
        return False
    depth, colour, size = start[24], start[25], path.stat().st_size
    if colour == 3 or _SAID in start:
        return True
    pixels = int.from_bytes(start[16:20], "big") * int.from_bytes(start[20:24], "big")
    if depth == 8 and colour == 2 and 3 * pixels > _FLAT * max(1, size - 57):
        return True
    named = path.stem.lower().endswith("_objects") and colour == 0 and depth >= 8
    samples = pixels * {0: depth // 8, 2: 3, 6: 4}.get(colour, 0)
    if not ((depth == 8 and colour in (2, 6)) or named) or pixels > _LOOKED or size > 4096 + samples // _SHADED:
        return False
    try:
        found = png.decode(png.vet(whole(path), where=path, labels=True), where=path)
        return flat(found, _codes(found, path), run=_RUN / (2 if path.stem.lower().endswith("_objects") else 1))
    except FormatError:
        return False


def scenes(path: Path) -> tuple[Scene, ...]:
    """The one image of the file; that it holds objects is seen when it is read."""
    found = png.vet(whole(path), where=path, labels=True)
    shape = (found.height, found.width)
    return (Scene(_named(path)[0], ("y", "x"), shape, np.dtype(np.int32), "labels", (None, None)),)


def read(path: Path, scene: str | None = None) -> Record:
    """The objects as layer ``labels`` of ``raw``; facts tell how many, and how they were told apart.

    Decodes once to see whether it can be done at all: see `decode` for what is refused.
    """
    name, groups = _named(path)
    pick((name,), scene, where=path)
    found = load(path)
    array = Lazy(found.labels.shape, found.labels.dtype, partial(_labels, str(path)), paths=(str(path),))
    return Record(name, groups, {"labels": Image(array, Space("yx"), labels_of="raw")}, found.facts)


def load(path: Path, *, background: int | None = None) -> Decoded:
    """The objects in a PNG file: see `decode`. One that `write` wrote says so, and needs no evidence."""
    found = png.vet(whole(path), where=path, labels=True)
    pixels = png.decode(found, indices=True, where=path)
    if found.texts.get(_SAYS) == "voc" and found.colour == 2:
        return _declared(pixels, where=path)
    return decode(pixels, background=background, indexed=found.colour == 3, where=path)


def _declared(pixels: NDArray[Any], *, where: Path) -> Decoded:
    values, inverse, _, _ = _ranked(_codes(pixels, where))
    index = voc.indices(values.astype(np.int64))
    order = np.argsort(index)
    number = np.empty(len(values), np.int32)
    number[order] = np.arange(len(values)) + int(index.min() > 0)
    codes = tuple(int(c) for c in values[order] if c)
    return Decoded(number[inverse], "colour" if codes else "empty", codes, 0)


def decode(
    pixels: NDArray[Any], *, background: int | None = None, indexed: bool = False, where: str | Path = ""
) -> Decoded:
    """Labels out of an object image, by what its colours show.

    Parameters
    ----------
    pixels
        (y, x, 3) or (y, x, 4) uint8 colours, or (y, x) indices or values.
    background
        The code of the background, where a label map tells; else black, else the colour that most
        of the border has.
    indexed
        Whether (y, x) pixels are indices into a palette.

    Labels follow the palette index where colours are the first ones of the Pascal-VOC palette, the index
    or value where there are such, and else the first pixel in raster order.

    Raises FormatError: ``rgbmask-lossy`` (colours mixed along edges, or crumbs: JPEG, smooth resizing,
    anti-aliasing), ``rgbmask-background`` (no colour is that of the background), ``rgbmask-shape``.
    """
    codes = _codes(pixels, where)
    ground = _background(codes, where) if background is None else background
    values, inverse, _, first = _ranked(codes)
    objects = np.flatnonzero(values != ground)
    if not len(objects):
        return Decoded(np.zeros(codes.shape, np.int32), "empty", (), ground)
    at = int(np.searchsorted(values, ground))
    present = at < len(values) and values[at] == ground
    # Background 0, the others 1.. in the order of their codes.
    rank = np.arange(1, len(values) + 1, dtype=np.int32)
    if present:
        rank[at:] -= 1
        rank[at] = 0
    marks = rank[inverse]
    codes_of = values[objects].astype(np.int64)
    unmixed(pixels, codes, len(objects), where)
    pieces, sizes, owner = _pieces(marks)
    whole_pieces(sizes, len(objects), where)
    per_code = np.bincount(owner, minlength=len(objects) + 1)[1:]
    how, order = _decide(codes_of, per_code, flat=pixels.ndim == 2, indexed=indexed)
    if how == "graph":
        labels = pieces
        codes_out = codes_of[owner - 1]
        split: tuple[int, ...] = ()
    else:
        by = np.argsort(voc.indices(codes_of) if order == "voc" else codes_of, kind="stable")
        if order == "raster":
            by = np.argsort(first[objects], kind="stable")
        number = np.zeros(len(objects) + 1, np.int32)
        number[by + 1] = np.arange(1, len(objects) + 1)
        labels, codes_out = number[marks], codes_of[by]
        split = tuple(int(i) + 1 for i in np.flatnonzero(per_code[by] > 1))
    indices = codes_of if indexed else voc.indices(codes_of)
    wrapped = (indexed or pixels.ndim == 3) and len(objects) == 255 == int(indices.max())
    return Decoded(labels, how, tuple(int(c) for c in codes_out), ground, split, wrapped)


def encode(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """(y, x, 3) colours: background black, label i the colour i of the Pascal-VOC palette.

    The palette is that of CVAT for labels up to 255, and goes on beyond without using a colour twice,
    up to 2^24 - 1. Labels are kept where they are 1..n without gaps, and closed up where not.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or (labels.size and int(labels.min()) < 0):
        raise FormatError(
            f"no labels in yx: {labels.dtype} of shape {labels.shape}",
            fix="give labels or colours in yx",
            rule="rgbmask-shape",
        )
    values, inverse, _, _ = _ranked(labels)
    rank = np.arange(len(values)) + int(len(values) > 0 and values[0] != 0)
    if len(values) >= 1 << 24:
        raise FormatError(
            f"{len(values)} objects, and there are not so many colours",
            fix="write them as TIFF or OME-Zarr",
            rule="rgbmask-colours",
        )
    return np.asarray(voc.colours(rank)[inverse])


def write(layer: Layer, path: Path) -> tuple[Loss, ...]:
    """Write labels of yx as a PNG of Pascal-VOC colours.

    Lost are the numbers of the labels where they have gaps, and the dtype where it is not int32.
    """
    image = image_of(layer, format=NAME, path=path)
    if "".join(image.space.axes) != "yx" or not image.is_labels:
        raise FormatError(
            f"an object image holds labels in yx, not {image!r}",
            where=path,
            fix="write one plane of labels at a time",
            rule="rgbmask-axes",
        )
    labels = image.read()
    data = png.encode(encode(labels), texts={_SAYS: "voc"})
    with aside(path) as temporary:
        temporary.write_bytes(data)
    values = _ranked(labels)[0]
    values = values[values != 0]
    moved = tuple(f"{v} to {i}" for i, v in enumerate(values.tolist(), 1) if v != i)
    losses = lost(image, keeps={"labels_of"} if image.labels_of == "raw" else ())
    if moved:
        losses = (Loss("labels", len(moved), moved[:100]), *losses)
    changed = Loss("dtype", 1, (f"{image.dtype} to int32",))
    return losses if image.dtype == np.int32 else (changed, *losses)


def _named(path: Path) -> tuple[str, dict[str, str]]:
    """The image that the objects are in: the name without ``_objects``."""
    name = path.stem.removesuffix("_objects") or path.stem
    found = parse(name)
    return name, found.groups if found else {}


def _labels(path: str, index: int) -> NDArray[np.int32]:
    return load(Path(path)).labels


def _codes(pixels: NDArray[Any], where: str | Path) -> NDArray[Any]:
    if pixels.ndim == 2 and pixels.dtype.kind in "iu":
        return pixels.astype(np.int64)
    if pixels.ndim != 3 or pixels.shape[2] not in (2, 3, 4) or pixels.dtype != np.uint8 or pixels.size == 0:
        raise FormatError(
            f"no object image: {pixels.dtype} of shape {pixels.shape}",
            where=where,
            fix="give labels or colours in yx",
            rule="rgbmask-shape",
        )
    if pixels.shape[2] == 2:
        codes = pixels[..., 0].astype(np.int32)
    else:
        codes = pixels[..., 0].astype(np.int32)
        for i in (1, 2):
            codes <<= 8
            codes |= pixels[..., i]
    if pixels.shape[2] in (2, 4):
        # Where the alpha varies, what cannot be seen is background, whatever its colour.
        alpha = pixels[..., -1]
        codes = np.where(alpha == 0, 0, codes) if alpha.any() else codes
    return codes


def _ranked(
    codes: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """`numpy.unique` by runs of equal pixels, of which flat pictures have few.

    The values, sorted; the rank of each pixel's value; how many pixels each has; where each is first seen.
    """
    flat = codes.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])[: flat.size]
    lengths = np.diff(starts, append=flat.size)
    values, first, inverse = np.unique(flat[starts], return_index=True, return_inverse=True)
    areas = np.zeros(len(values), np.int64)
    np.add.at(areas, inverse, lengths)
    ranks = np.repeat(inverse.astype(np.int32), lengths).reshape(codes.shape)
    return values, ranks, areas, starts[first]


def _background(codes: NDArray[Any], where: str | Path) -> int:
    border = np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    modal, share = int(values[counts.argmax()]), counts.max() / len(border)
    if 0 in values or (share < 0.5 and (codes == 0).any()):
        return 0
    if share >= 0.5:
        return modal
    raise FormatError(
        f"no colour is that of the background: none is black, and the commonest has {share:.0%} of the border",
        where=where,
        fix="name the background colour, or pass labelmap.txt along",
        rule="rgbmask-background",
    )


def _pieces(marks: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Connected pieces of equal marks, 8-connected, in raster order; the size and the mark of each."""
    from skimage import measure

    label: Callable[..., NDArray[Any]] = measure.label
    pieces = label(marks, background=0, connectivity=2).astype(np.int32, copy=False)
    sizes = np.bincount(pieces.ravel())[1:]
    owner = np.zeros(len(sizes) + 1, np.int64)
    owner[pieces.ravel()] = marks.ravel()
    return pieces, sizes, owner[1:]


def _decide(
    codes: NDArray[np.int64], per_code: NDArray[np.int64], *, flat: bool, indexed: bool
) -> tuple[How, Literal["voc", "value", "raster"]]:
    """One colour per object, or colours used again; and the order that objects come in.

    A graph colouring needs few colours and uses most of them again. An object that its annotator or
    a neighbour cut in pieces is an exception among whole ones.
    """
    numbered = not flat and int(voc.indices(codes).max()) <= max(255, 2 * len(codes))
    again = float((per_code > 1).mean())
    few = len(codes) <= 4 and per_code.sum() > len(codes) and not numbered
    if again > 0.5 or few:
        return "graph", "raster"
    if flat:
        return ("palette" if indexed else "grey"), "value"
    return "colour", "voc" if numbered else "raster"
