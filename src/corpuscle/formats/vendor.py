"""What a file says of itself, word for word: kept beside what could be mapped to nouns of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from corpuscle.formats.ngff import Version
from corpuscle.formats.pyramids import group

OME_XML = "OME/METADATA.ome.xml"
"""Where it lies in what bioformats2raw writes, so where others look for it."""
LONGEST = 1 << 24
# What becomes pixels, axes, scale and channels of an image; the rest of OME-XML has no noun here.
_MAPPED = {
    "OME": {"schemaLocation", "UUID", "Creator"},
    "Image": {"ID", "Name"},
    "Pixels": {
        *("ID", "DimensionOrder", "Type", "SignificantBits", "BigEndian", "Interleaved", "TimeIncrement"),
        *("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT", "PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ"),
        *("PhysicalSizeXUnit", "PhysicalSizeYUnit", "PhysicalSizeZUnit", "TimeIncrementUnit"),
    },
    "Channel": {"ID", "Name", "SamplesPerPixel"},
    "TiffData": {"IFD", "FirstC", "FirstT", "FirstZ", "PlaneCount", "NumPlanes"},
    "UUID": {"FileName"},
    "BinData": {"BigEndian", "Length"},
    "LightPath": set(),
}
# What says how the pixels lie in the file, and nothing of what is on them.
_LAYOUT = frozenset(
    {
        *(
            "StripOffsets",
            "StripByteCounts",
            "RowsPerStrip",
            "TileOffsets",
            "TileByteCounts",
            "TileWidth",
            "TileLength",
        ),
        *("ImageWidth", "ImageLength", "BitsPerSample", "SampleFormat", "SamplesPerPixel", "ExtraSamples", "FillOrder"),
        *("Compression", "Predictor", "PlanarConfiguration", "PhotometricInterpretation", "JPEGTables", "SubIFDs"),
        *("NewSubfileType", "Orientation"),
    }
)
_READ = frozenset({"XResolution", "YResolution", "ResolutionUnit"})


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a file says: files to keep it in, by their path in a store; and what of it is mapped to nothing.

    `unmapped` counts by name: elements and attributes of OME-XML, tags of a TIFF.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    unmapped: Mapping[str, int] = field(default_factory=dict)


def said(path: Path, format: str, *, version: Version = "0.5") -> Vendor:
    """What a file of this format says of itself; nothing, where all it says is read into facts.

    OME-XML is kept as it is. Tags of the first page of another TIFF, and the attributes of another OME-Zarr, are kept
    as JSON under ``corpuscle.source`` in the attributes of a group called ``source``, of a store of this `version`.
    """
    if format == "tiff":
        return _tiff(path, version)
    if format == "omezarr":
        return _zarr(path, version)
    return Vendor()


def _tiff(path: Path, version: Version) -> Vendor:
    from corpuscle.formats import safexml, tiffpages

    with tiffpages.opened(path) as file:
        if file.is_ome and file.ome_metadata:
            text = str(file.ome_metadata)
            counts = _count(_foreign(safexml.parse(text, where=path)))
            return Vendor({**_group("OME", {}, version), OME_XML: text.encode()}, counts)
        tags = {tag.name: tag.value for tag in file.pages.first.tags if tag.name not in _LAYOUT}
        if file.is_imagej and file.imagej_metadata:
            tags["ImageJ"] = {k: v for k, v in file.imagej_metadata.items() if not isinstance(v, np.ndarray)}
    kept = {k: _plain(v) for k, v in tags.items()}
    if not kept:
        return Vendor()
    return _kept(
        version, {"format": "tiff", "file": path.name, "tags": kept}, [k for k in sorted(kept) if k not in _READ]
    )


def _zarr(path: Path, version: Version) -> Vendor:
    try:
        if (path / "zarr.json").exists():
            attributes = json.loads((path / "zarr.json").read_bytes()).get("attributes", {})
        else:
            attributes = json.loads((path / ".zattrs").read_bytes())
    except (OSError, ValueError, AttributeError, RecursionError):
        return Vendor()
    foreign = sorted(set(attributes) - {"ome", "multiscales", "omero", "corpuscle", "image-label", "_creator"})
    if not foreign:
        return Vendor()
    return _kept(version, {"format": "omezarr", "file": path.name, "attributes": attributes}, foreign)


def _foreign(root: Element) -> Iterator[str]:
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        known = _MAPPED.get(name)
        if known is None:
            yield name
            continue
        for key in element.attrib:
            if (short := key.rpartition("}")[2]) not in known:
                yield f"{name}.{short}"


def _count(names: Iterator[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name in names:
        out[name] = out.get(name, 0) + 1
    return dict(sorted(out.items()))


def _kept(version: Version, told: Mapping[str, Any], unmapped: Sequence[str]) -> Vendor:
    files = _group("source", {"corpuscle": {"source": dict(told)}}, version)
    counts = dict.fromkeys(unmapped, 1)
    if sum(len(data) for data in files.values()) > LONGEST:
        return Vendor({}, {**counts, "too long to be kept": 1})
    return Vendor(files, counts)


def _group(folder: str, attributes: Mapping[str, Any], version: Version) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in group(attributes, version).items()}


def _plain(value: Any) -> Any:
    """A value as JSON; bytes, which JSON has no word for, in base 64."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode("ascii") if text.isascii() else {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
