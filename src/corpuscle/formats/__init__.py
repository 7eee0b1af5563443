"""File formats, one module each: what is in a file, its scenes as records, and records back to files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple, cast

from corpuscle.core.image import Image
from corpuscle.core.record import Layer, Record
from corpuscle.errors import FormatError, FormatUnknown
from corpuscle.formats.contract import Loss, Reader, Scene, Writer
from corpuscle.formats.place import Url, local, place
from corpuscle.formats.source import head

__all__ = ["FORMATS", "Format", "Loss", "Scene", "read", "scenes", "sniff", "write"]


class Format(NamedTuple):
    """One line of the table of formats.

    `wants` says, for a person, what its sniff looks for; `suffixes` say which files to *write* with it,
    and whom to ask why a file that nobody recognises is none.
    """

    name: str
    module: str
    wants: str
    suffixes: tuple[str, ...] = ()
    writes: bool = False


# In the order of asking: what is refused comes first, and an object image before the PNG that it also is.
FORMATS = (
    Format("refused", "corpuscle.formats.refused", "pickles, and XML with a document type, to be turned away"),
    Format("c01", "corpuscle.formats.c01", "00 00 00 10 and zlib, or a 40-byte bitmap header", (".c01", ".dib"), True),
    Format("npy", "corpuscle.formats.npy", "93 'NUMPY'", (".npy",), True),
    Format(
        "rgbmask",
        "corpuscle.formats.rgbmask",
        "a PNG of flat colours, or with a palette, or that says so",
        ("_objects.png",),
        True,
    ),
    Format("png", "corpuscle.formats.png", "89 'PNG'", (".png",), True),
    Format("tiff", "corpuscle.formats.tiff", "'II' or 'MM' and 42 or 43", (".tif", ".tiff"), True),
    Format("dsb2018", "corpuscle.formats.dsb2018", "images/ and masks/ of PNG, in folders or a zip"),
    Format("omezarr", "corpuscle.formats.omezarr", "a folder with OME-Zarr metadata", (".zarr",), True),
)

_OTHERS = "every reader but that of OME-Zarr"


def sniff(path: Path | str) -> str:
    """The name of the format of a file, by its content; behind a URL there is OME-Zarr alone.

    Raises `FormatUnknown`, which lists what each reader looked for, where no reader knows it.
    """
    path = place(path)
    if isinstance(path, Url):
        from corpuscle.formats import omezarr

        return omezarr.NAME if omezarr.sniff(path) else local(path, _OTHERS).name
    for format in FORMATS:
        if _reader(format).sniff(path):
            return format.name
    if not path.exists():
        raise FormatUnknown(
            "there is no such file", where=path, fix="check the name", rule="file-unreadable", asked=True
        )
    start = head(path, 8)
    found = f"it begins with {start.hex(' ')}" if start else "it is empty, or no file that can be read"
    tried = "; ".join(f"{f.name} wants {f.wants}" for f in FORMATS)
    fix = "convert it to one of these first"
    raise FormatUnknown(f"no reader knows this file: {found}; {tried}", where=path, fix=fix)


def scenes(path: Path | str, *, format: str | None = None) -> tuple[Scene, ...]:
    """What is inside a file, without reading pixels; in the format named, or else the one that `sniff` finds."""
    found = place(path)
    if isinstance(found, Url):
        from corpuscle.formats import omezarr

        return omezarr.scenes(_afar(found, format))
    return _reader(_format(found, format)).scenes(found)


def read(path: Path | str, scene: str | None = None, *, format: str | None = None) -> Record:
    """One scene of a file as a record whose arrays are read when somebody asks.

    To name the `format` helps where a file is of two: an object image is also a plain PNG. An OME-Zarr is also read
    from where it lies, by an address like ``https://host/image.zarr`` or ``s3://bucket/image.zarr``.
    """
    found = place(path)
    if isinstance(found, Url):
        from corpuscle.formats import omezarr

        return omezarr.read(_afar(found, format), scene)
    return _reader(_format(found, format)).read(found, scene)


def write(layer: Layer, path: Path | str, format: str | None = None) -> tuple[Loss, ...]:
    """Write a layer in the format named, or else in that of the suffix; returns what could not be kept."""
    path = local(place(path), "whoever writes")
    found = [f for f in FORMATS if f.writes and (f.name == format if format else _suffixed(f, path))]
    # A picture whose name says "objects" is one only when it holds objects.
    if not format and isinstance(layer, Image) and not layer.is_labels:
        found = [f for f in found if f.name != "rgbmask"]
    if not found:
        can = ", ".join(f"{f.name} ({' '.join(f.suffixes)})" for f in FORMATS if f.writes)
        what = f"{format!r} is" if format else f"a name ending in {path.suffix!r} tells"
        raise FormatUnknown(
            f"{what} no format that can be written, only {can}", where=path, fix="choose one of these", asked=True
        )
    return cast("Writer", import_module(found[0].module)).write(layer, path)


def _afar(url: Url, told: str | None) -> Url:
    """The URL, where nothing but OME-Zarr is wanted of it."""
    if told not in (None, "omezarr"):
        local(url, f"the reader {told}")
    return url


def _format(path: Path, told: str | None) -> Format:
    try:
        name = told or sniff(path)
    except FormatUnknown:
        # The reader that the name promises can say best why this is not one of its files.
        for format in FORMATS:
            if path.is_file() and format.name != "rgbmask" and _suffixed(format, path):
                return format
        raise
    found = [f for f in FORMATS if f.name == name]
    if not found:
        known = ", ".join(f.name for f in FORMATS)
        raise FormatUnknown(
            f"there is no format {name!r}, only {known}", where=path, fix="choose one of these", asked=True
        )
    return found[0]


def _suffixed(format: Format, path: Path) -> bool:
    return path.name.lower().endswith(format.suffixes)


def _reader(format: Format) -> Reader:
    try:
        return cast("Reader", import_module(format.module))
    except ImportError as e:
        raise FormatError(
            f"the reader {format.name} cannot be loaded: {e}", fix="install corpuscle again", rule="format-reader"
        ) from e
