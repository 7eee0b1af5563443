"""OME-NGFF metadata, versions 0.4 and 0.5, to and from Space and Channel: plain dictionaries, no files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from corpuscle.core.image import Channel
from corpuscle.core.space import SPATIAL, STANDARD, Space
from corpuscle.errors import FormatError, SpaceError
from corpuscle.formats import omero, vetted
from corpuscle.formats.units import factor

Version: TypeAlias = Literal["0.4", "0.5"]
VERSIONS: tuple[Version, ...] = ("0.4", "0.5")


@dataclass(frozen=True, slots=True)
class Multiscale:
    """What the attributes of one image group say.

    `paths` leads to the arrays, finest first, and `spaces` says where each lies. `unitless` holds the scales of
    level 0 that came without a unit and so tell nothing but ratios.
    """

    name: str
    paths: tuple[str, ...]
    spaces: tuple[Space, ...]
    channels: tuple[Channel, ...] = ()
    version: Version = "0.5"
    is_labels: bool = False
    labels_of: str | None = None
    unitless: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def multiscales(
    spaces: Sequence[Space],
    name: str,
    *,
    version: Version = "0.5",
    dtype: DTypeLike = "uint16",
    channels: Sequence[Channel] = (),
    windows: Sequence[tuple[float, float]] = (),
    labels_of: str | None = None,
    source: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The attributes of an image group whose level k lies in ``spaces[k]`` and at path ``str(k)``.

    An axis of unknown scale is written as 1.0 per pixel of level 0 with no unit, which every viewer can show and
    `parse` reads back as unknown. What NGFF has no words for (dyes, wavelengths, irregular times, the frame) goes
    under ``corpuscle``, beside ``ome``.

    Parameters
    ----------
    dtype
        Of the pixels; the display range of a channel is that of its type where `windows` gives no (start, end).
    labels_of
        The image layer that these labels number; makes the group a label image.
    source
        Relative path from the label group to that image, where it is at hand.
    extra
        More to keep under ``corpuscle``.

    Raises
    ------
    FormatError
        The axes are not in the order of NGFF (time, channel or custom, two or three of space), or levels disagree.
    """
    space = _writable(spaces)
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [b if s is None else s for s, b in zip(sp.scale, sp.binning, strict=True)]},
                {"type": "translation", "translation": list(sp.origin)},
            ],
        }
        for k, sp in enumerate(spaces)
    ]
    entry: dict[str, Any] = {
        "name": name,
        "axes": [_axis(a, s) for a, s in zip(space.axes, space.scale, strict=True)],
        "datasets": datasets,
        "type": "mean" if labels_of is None else "mode",
    }
    ome: dict[str, Any] = {"multiscales": [entry]}
    if channels:
        ome["omero"] = {"channels": omero.block(channels, np.dtype(dtype), windows)}
    if labels_of is not None:
        ome["image-label"] = {} if source is None else {"source": {"image": source}}
    ours: dict[str, Any] = dict(extra or {})
    if labels_of is not None:
        ours["labels_of"] = labels_of
    if channels:
        ours["channels"] = [omero.facts(c) for c in channels]
    if space.times is not None:
        ours["times"] = list(space.times)
    if space.frame != "image":
        ours["frame"] = space.frame
    if any(b != 1 for b in space.binning):
        ours["binning"] = list(space.binning)
    if version == "0.4":
        for part in (entry, *(ome[k] for k in ("omero", "image-label") if k in ome)):
            part["version"] = "0.4"
    return group_attributes(ome, version, ours)


def parse(attributes: object, *, where: str = "") -> Multiscale:
    """What image attributes of version 0.4 or 0.5 say, in micrometres and seconds.

    An axis of space or time without a unit has unknown scale; how many pixels of level 0 a coarser level spans
    comes from the ratio of the scales.

    Raises
    ------
    FormatError
        Something is missing, of the wrong type, not finite, or in a unit that nobody knows.
    """
    ome, version = ome_block(attributes, where)
    entries = vetted.items(ome.get("multiscales"), "multiscales", where)
    if not entries:
        _bad("multiscales is empty", where, "ngff-multiscales")
    entry = vetted.mapping(entries[0], "multiscales[0]", where)
    ours = vetted.mapping(vetted.mapping(attributes, "attributes", where).get("corpuscle", {}), "corpuscle", where)
    axes, units = _axes(entry.get("axes"), where)
    paths, steps = [], []
    around = entry.get("coordinateTransformations")
    for i, item in enumerate(vetted.items(entry.get("datasets"), "datasets", where)):
        dataset = vetted.mapping(item, f"datasets[{i}]", where)
        paths.append(vetted.inner_path(dataset.get("path"), where))
        scale, shift = _transforms(dataset.get("coordinateTransformations"), len(axes), where)
        if around is not None:
            s, t = _transforms(around, len(axes), where)
            scale, shift = (
                [a * b for a, b in zip(scale, s, strict=True)],
                [a * b + c for a, b, c in zip(shift, s, t, strict=True)],
            )
        steps.append((scale, shift))
    if not steps:
        _bad("an image without a single dataset", where, "ngff-multiscales")
    spaces = _spaces(axes, units, steps, ours, where)
    label = ome.get("image-label")
    of = ours.get("labels_of")
    return Multiscale(
        name=entry["name"] if isinstance(entry.get("name"), str) else "",
        paths=tuple(paths),
        spaces=spaces,
        channels=omero.channels(ome.get("omero"), ours.get("channels"), where) if "c" in axes else (),
        version=version,
        is_labels=label is not None or of is not None,
        labels_of=of if isinstance(of, str) else None,
        unitless={
            a: s
            for a, u, s in zip(axes, units, steps[0][0], strict=True)
            if u is None and s != 1 and (a in SPATIAL or a == "t")
        },
        extra=ours,
    )


def holds(attributes: object) -> frozenset[str]:
    """Which of NGFF's keys (multiscales, plate, well, labels, ...) these attributes carry; none for anything else."""
    if not isinstance(attributes, dict):
        return frozenset()
    ome = attributes.get("ome", attributes)
    keys = {"multiscales", "plate", "well", "labels", "image-label", "bioformats2raw.layout", "series"}
    return frozenset(keys & ome.keys()) if isinstance(ome, dict) else frozenset()


def group_attributes(ome: dict[str, Any], version: Version, ours: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a group that says these things of NGFF, and ours beside them."""
    if version not in VERSIONS:
        raise FormatError(
            f"OME-NGFF is written in versions {VERSIONS}, not {version!r}",
            fix="choose one of these",
            rule="ngff-version",
        )
    out = dict(ome) if version == "0.4" else {"ome": {"version": version, **ome}}
    return out | ({"corpuscle": ours} if ours else {})


def _writable(spaces: Sequence[Space]) -> Space:
    if not spaces:
        raise FormatError("an image has at least one level", fix="give level 0 at least", rule="ngff-multiscales")
    space = spaces[0]
    kinds = [2 if a in SPATIAL else 0 if a == "t" else 1 for a in space.axes]
    if kinds != sorted(kinds) or kinds.count(1) > 1 or kinds.count(2) not in (2, 3):
        raise FormatError(
            f"OME-NGFF has no images of axes {', '.join(space.axes)}: it wants time, then a channel or one axis of "
            "its own, then two or three of space",
            fix="move or split the axes first",
            rule="ngff-axes",
        )
    for a, s in zip(space.axes, space.scale, strict=True):
        if s is not None and a not in SPATIAL and a != "t":
            raise FormatError(
                f"axis {a} has no unit in which its scale {s} could be said",
                fix="leave its scale unknown",
                rule="ngff-axes",
            )
    unknown = [s is None for s in space.scale]
    for k, other in enumerate(spaces):
        same = (other.axes, other.times, other.frame) == (space.axes, space.times, space.frame)
        if not same or [s is None for s in other.scale] != unknown:
            raise FormatError(
                f"level {k} lies in another space than level 0: {other} and {space}",
                fix="give all levels one space",
                rule="ngff-levels",
            )
    return space


def _axis(name: str, scale: float | None) -> dict[str, str]:
    if name in SPATIAL:
        return {"name": name, "type": "space"} | ({} if scale is None else {"unit": "micrometer"})
    if name == "t":
        return {"name": name, "type": "time"} | ({} if scale is None else {"unit": "second"})
    return {"name": name, "type": "channel"} if name == "c" else {"name": name}


def ome_block(attributes: object, where: str) -> tuple[dict[str, Any], Version]:
    """What attributes say in the words of NGFF, and in which version; a FormatError for one that is not known."""
    attrs = vetted.mapping(attributes, "attributes", where)
    if "ome" in attrs:
        ome = vetted.mapping(attrs["ome"], "ome", where)
        version = ome.get("version")
    else:
        ome, version = attrs, None
        for body in (attrs.get("multiscales"), attrs.get("plate"), attrs.get("well")):
            first = body[0] if isinstance(body, list) and body else body
            if isinstance(first, dict):
                version = first.get("version", "0.4")
    for known in VERSIONS:
        if isinstance(version, str) and (version == known or version.startswith(f"{known}.")):
            return ome, known
    _bad(f"OME-NGFF version {version!r} is none of {VERSIONS}", where, "ngff-version")


def _axes(value: object, where: str) -> tuple[list[str], list[float | None]]:
    """Names as Space has them, and what the unit of each is in micrometres or seconds; None without unit."""
    names: list[str] = []
    units: list[float | None] = []
    for item in vetted.items(value, "axes", where):
        axis = vetted.mapping(item, "axes", where)
        name, kind = vetted.text(axis.get("name"), "axis name", where), axis.get("type")
        if kind == "space" and name.lower() in SPATIAL:
            name = name.lower()
        elif kind == "time":
            name = "t"
        elif kind == "channel":
            name = "c"
        elif kind == "space" or (name in STANDARD and kind is not None):
            _bad(f"axis {name!r} of type {kind!r} has no place among {STANDARD}", where, "ngff-axes")
        names.append(name)
        units.append(_unit(axis.get("unit"), name, where))
    if len(set(names)) != len(names) or sum(n not in STANDARD for n in names) > 1:
        _bad(f"axes {names} are not t c z y x and at most one more", where, "ngff-axes")
    return names, units


def _unit(unit: object, axis: str, where: str) -> float | None:
    if axis not in SPATIAL and axis != "t":
        return None
    try:
        return factor(unit, time=axis == "t")
    except FormatError as e:
        raise FormatError(
            f"axis {axis}: {e.message}", where=where, fix="use an SI name, like micrometer or second", rule=e.rule
        ) from None


def _transforms(value: object, n: int, where: str) -> tuple[list[float], list[float]]:
    scale, shift = [1.0] * n, [0.0] * n
    for item in vetted.items(value, "coordinateTransformations", where):
        step = vetted.mapping(item, "coordinateTransformations", where)
        kind = step.get("type")
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            _bad(f"a coordinate transformation of type {kind!r}", where, "ngff-transform")
        numbers = vetted.numbers(step.get(kind), str(kind), where, n=n)
        if kind == "scale":
            if any(v <= 0 for v in numbers):
                _bad(f"scale {numbers} is not positive", where, "ngff-scale")
            scale = [a * b for a, b in zip(scale, numbers, strict=True)]
            shift = [a * b for a, b in zip(shift, numbers, strict=True)]
        else:
            shift = [a + b for a, b in zip(shift, numbers, strict=True)]
    return scale, shift


def _spaces(
    axes: list[str],
    units: list[float | None],
    steps: list[tuple[list[float], list[float]]],
    ours: Mapping[str, Any],
    where: str,
) -> tuple[Space, ...]:
    start = vetted.numbers(ours.get("binning", [1.0] * len(axes)), "corpuscle.binning", where, n=len(axes))
    times, frame = ours.get("times"), ours.get("frame", "image")
    times = None if times is None else vetted.numbers(times, "corpuscle.times", where)
    if any(b <= 0 for b in start):
        _bad(f"corpuscle.binning {start} is not positive", where, "ngff-scale")
    first = steps[0][0]
    out = []
    for scale, shift in steps:
        pixel = [s / b for s, b in zip(first, start, strict=True)]
        binning = [_ratio(s, p) for s, p in zip(scale, pixel, strict=True)]
        try:
            space = Space(
                axes,
                [None if u is None else s * u for s, u in zip(scale, units, strict=True)],
                [t / p if u is None else t * u for t, u, p in zip(shift, units, pixel, strict=True)],
                times,
                binning,
                str(frame),
            )
        except SpaceError as e:
            raise FormatError(e.message, where=where, fix="mend its transformations", rule="ngff-scale") from e
        out.append(space)
    return tuple(out)


def _ratio(a: float, b: float) -> float:
    """Quotient, and the whole number it stands for where the division was all that kept it from being one."""
    r = a / b
    near = float(round(r)) if math.isfinite(r) else r
    return near if near and abs(r - near) <= 1e-9 * near else r


def _bad(message: str, where: str, rule: str) -> NoReturn:
    raise FormatError(message, where=where, fix="mend the metadata, or write the image again", rule=rule)
