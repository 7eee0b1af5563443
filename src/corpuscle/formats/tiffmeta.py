"""What a TIFF file says of its pixels: OME-XML, ImageJ's text, or nothing but dots per inch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from corpuscle.core import Channel, Image
from corpuscle.errors import FormatError
from corpuscle.formats import safexml

KEY = "corpuscle:image"
"""The annotation that carries what OME-XML has no place for."""

MICROMETRES = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "pm": 1e-6, "Å": 1e-4, "angstrom": 1e-4, "mm": 1e3,
    "millimeter": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
# A plain TIFF that claims coarser pixels than this speaks to a printer: 72 dpi would be 353 um, 300 dpi 85 um.
_PRINTER_UM = 10.0
_PLANES = 1 << 20


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of one series: axis to scale, channels, and what our own annotation carries."""

    scale: Mapping[str, float] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()
    carried: Mapping[str, Any] = field(default_factory=dict)


def told(file: Any, number: int, path: Path) -> Told:
    """What the file says of the series of this number."""
    if file.is_ome:
        images = _images(vetted(file, path))
        return images[number] if number < len(images) else Told()
    if file.is_imagej:
        return _imagej(file)
    return Told(_printed(file.pages.first))


def vetted(file: Any, path: Path) -> Element:
    """The OME-XML, once its numbers are such that no reader of it can be made to work or allocate for ever.

    Raises FormatError: ``xml-entities``, ``xml-syntax``, ``tiff-ome`` (numbers of planes that no file has),
    ``tiff-outside`` (planes in a file of another folder).
    """
    root = safexml.parse(file.ome_metadata or "", where=path)
    for element in root.iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "Pixels":
            planes = math.prod(_count(element, f"Size{a}", path) for a in "TCZ")
            if planes > _PLANES:
                raise FormatError(
                    f"OME-XML tells of {planes} planes",
                    where=path,
                    fix="export it again, with sound OME-XML",
                    rule="tiff-ome",
                )
        elif kind == "TiffData":
            for key in ("IFD", "NumPlanes", "PlaneCount", "FirstT", "FirstC", "FirstZ"):
                _count(element, key, path)
        elif kind == "UUID":
            name = element.get("FileName", "")
            if name and (Path(name).name != name or "\\" in name or name in (".", "..")):
                raise FormatError(
                    f"OME-XML leads to {name!r}, outside its folder",
                    where=path,
                    fix="put all its files in one folder and export again",
                    rule="tiff-outside",
                )
        elif kind.startswith("Along"):
            span, step = _number(element.get("End")), _number(element.get("Step", "1"))
            first = _number(element.get("Start"))
            if None not in (span, first) and (not step or (span or 0) - (first or 0) > _PLANES * abs(step)):
                raise FormatError(
                    "OME-XML tells of an endless axis",
                    where=path,
                    fix="export it again, with sound OME-XML",
                    rule="tiff-ome",
                )
    return root


def description(image: Image) -> dict[str, Any]:
    """The OME metadata for an image, as tifffile's writer takes them."""
    space = image.space
    out: dict[str, Any] = {"axes": "".join(space.axes).upper()}
    for axis, scale in zip(space.axes, space.scale, strict=True):
        if scale is None or axis == "c":
            continue
        name = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
        out |= {name: scale, f"{name}Unit": "s" if axis == "t" else "µm"}
    if image.channels:
        out["Channel"] = {"Name": [c.name for c in image.channels]}
    carried: dict[str, Any] = {"axes": "".join(space.axes), "origin": list(space.origin)}
    carried |= {"shape": list(image.shape)}
    if image.labels_of is not None:
        carried["labels_of"] = image.labels_of
    if image.channels:
        carried["channels"] = [[c.name, c.dye, c.excitation_nm, c.emission_nm, c.colour] for c in image.channels]
    # ASCII, because the tag that holds all this knows no other encoding by its specification.
    return {**out, "MapAnnotation": {"Namespace": "corpuscle", KEY: json.dumps(carried)}}


def channels(rows: object) -> tuple[Channel, ...]:
    """Channels as `description` wrote them; ValueError or TypeError for anything else."""
    if not isinstance(rows, list):
        return ()
    out = []
    for name, dye, excitation, emission, colour in rows:
        if not isinstance(name, str) or not all(v is None or isinstance(v, str) for v in (dye, colour)):
            raise TypeError("a channel is named by text")
        waves = [None if w is None else float(w) for w in (excitation, emission)]
        out.append(Channel(name, dye, waves[0], waves[1], colour))
    return tuple(out)


def _images(root: Element) -> list[Told]:
    carried: Mapping[str, Any] = {}
    for entry in root.iter():
        if entry.tag.rpartition("}")[2] == "M" and entry.get("K") == KEY:
            carried = _json(entry.text or "")
    found = []
    for element in root:
        if element.tag.rpartition("}")[2] != "Image":
            continue
        for pixels in element:
            if pixels.tag.rpartition("}")[2] == "Pixels":
                names = [c.get("Name") for c in pixels if c.tag.rpartition("}")[2] == "Channel"]
                known = (
                    tuple(Channel(n if n is not None else f"c{i}") for i, n in enumerate(names)) if any(names) else ()
                )
                found.append(Told(_sizes(pixels), known, carried))
    return found


def _sizes(pixels: Element) -> dict[str, float]:
    scale = {}
    for axis in "zyx":
        name = f"PhysicalSize{axis.upper()}"
        size, unit = _number(pixels.get(name)), MICROMETRES.get(pixels.get(f"{name}Unit", "µm"))
        if size is not None and size > 0 and unit is not None:
            scale[axis] = size * unit
    step, unit = _number(pixels.get("TimeIncrement")), SECONDS.get(pixels.get("TimeIncrementUnit", "s"))
    if step is not None and step > 0 and unit is not None:
        scale["t"] = step * unit
    return scale


def _imagej(file: Any) -> Told:
    said = file.imagej_metadata or {}
    scale = {}
    unit = MICROMETRES.get(str(said.get("unit", "")))
    if unit is not None:
        tags = file.pages.first.tags
        for axis, tag in (("y", "YResolution"), ("x", "XResolution")):
            per_unit = _ratio(tags.get(tag))
            if per_unit:
                scale[axis] = unit / per_unit
        spacing = _number(said.get("spacing"))
        if spacing:
            scale["z"] = abs(spacing) * unit
    step = _number(said.get("finterval"))
    if step and step > 0:
        scale["t"] = step * SECONDS.get(str(said.get("tunit", "s")), 1.0)
    return Told(scale)


def _printed(page: Any) -> dict[str, float]:
    unit = {2: 25400.0, 3: 10000.0}.get(int(page.tags.valueof("ResolutionUnit", 1) or 1))
    scale = {}
    for axis, tag in (("y", "YResolution"), ("x", "XResolution")):
        per_unit = _ratio(page.tags.get(tag))
        if unit and per_unit and unit / per_unit <= _PRINTER_UM:
            scale[axis] = unit / per_unit
    return scale


def _ratio(tag: Any) -> float | None:
    value = tag.value if tag is not None else None
    if not isinstance(value, tuple) or len(value) != 2 or not value[1] or not value[0]:
        return None
    return float(value[0]) / float(value[1])


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count(element: Element, key: str, path: Path) -> int:
    text = element.get(key, "1")
    if not text.isdecimal() or len(text) > 9:
        raise FormatError(
            f"OME-XML says {key} is {text[:40]!r}",
            where=path,
            fix="export it again, with sound OME-XML",
            rule="tiff-ome",
        )
    return int(text)


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
