"""OME-Zarr: images, labels, plates, wells and collections read in versions 0.4 and 0.5; images and labels written.

Written is 0.5 unless asked: Zarr v3, sharded, with a pyramid. See `corpuscle.formats.shards` for the layout of the
bytes and `corpuscle.formats.pyramids` for writing what does not fit into memory.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from corpuscle.core.box import Box
from corpuscle.core.image import Image
from corpuscle.core.pyramid import downsample
from corpuscle.core.record import Fact, Layer, Record
from corpuscle.errors import FormatError, StoreError
from corpuscle.formats import ngff, plates, vetted
from corpuscle.formats.contract import Loss, Scene, image_of, pick
from corpuscle.formats.place import Place, Url
from corpuscle.formats.pyramids import Target, create, group, levelled, put
from corpuscle.formats.shards import PLANE
from corpuscle.formats.zarrays import open_array

NAME = "omezarr"
IN_MEMORY = 256 << 20
SERIES = 1 << 14
LEVELS_AT_ONCE = 8

__all__ = [
    "NAME",
    "Target",
    "create",
    "list_labels",
    "read",
    "read_image",
    "scenes",
    "sniff",
    "write",
    "write_labels",
]


def sniff(path: Place) -> bool:
    """Whether this is a folder whose Zarr group speaks of images, a plate, a well or a collection."""
    try:
        return bool(ngff.holds(_attributes(path)))
    except (FormatError, OSError) as e:
        if isinstance(e, StoreError) and isinstance(path, Url):
            raise  # a server that does not answer says nothing about what lies there
        return False


def scenes(path: Place) -> tuple[Scene, ...]:
    """What can be read: the one image, or every field of a plate or well, or every image of a collection."""
    out = []
    for name in _scene_paths(path):
        folder = path / name if name else path
        layer, image, facts = _image(folder, None)
        out.append(Scene.of(name, image, layer=layer, facts=facts))
    return tuple(out)


def read(path: Place, scene: str | None = None) -> Record:
    """One image with its labels as a record, pixels unread.

    The image is the layer ``raw``, or what corpuscle called it when it was written; labels are named after their
    group and number that layer. A field of a plate knows its plate, well and field.

    Raises
    ------
    FormatError
        The metadata is missing or cannot be meant, a level is missing, or there is no such scene.
    """
    names = _scene_paths(path)
    scene = names[pick(tuple(names), scene, where=path)]
    folder = path / scene if scene else path
    layer, image, facts = _image(folder, None)
    layers: dict[str, Layer] = {layer: image}
    for label in _labels(folder):
        name, labels, _ = _image(folder / "labels" / label, layer)
        layers[name] = labels
    stem = path.name.removesuffix(".zarr").removesuffix(".ome") or path.name
    return Record(f"{stem}/{scene}" if scene else stem, _groups(path, scene), layers, facts)


def read_image(folder: Place) -> Image:
    """The image, or the labels, whose group is this folder; lazy, with its levels."""
    return _image(folder, None)[1]


def write(
    layer: Layer,
    path: Path,
    *,
    name: str = "raw",
    version: ngff.Version = "0.5",
    source: str | None = None,
    windows: Sequence[tuple[float, float]] = (),
    extra: Mapping[str, Any] | None = None,
    plane: tuple[int, int] = PLANE,
    replace: bool = False,
) -> tuple[Loss, ...]:
    """Write an image, or labels, with its pyramid; it appears under `path` whole or not at all.

    The coarser levels are computed anew, each from the one below. Nothing is lost.

    Parameters
    ----------
    replace
        What is there already, with all that lies in it, gives way. Else a StoreError.
    name, version, source, windows, extra, plane
        See `create`.
    """
    image = image_of(layer, format=NAME, path=path)
    if path.exists() and not replace:
        raise StoreError("something is here already", where=path, fix="write elsewhere", rule="zarr-exists")
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        target = create(
            aside,
            image.shape,
            image.dtype,
            image.space,
            name=name,
            channels=image.channels,
            labels_of=image.labels_of,
            source=source,
            version=version,
            windows=windows,
            extra=extra,
            plane=plane,
        )
        _fill(target, image)
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)
    except OSError as e:
        raise StoreError(f"cannot be written: {e.strerror or e}", where=path, fix="check space and rights") from e
    finally:
        if aside.exists():
            shutil.rmtree(aside, ignore_errors=True)
    return ()


def write_labels(
    labels: Image,
    image: Path,
    *,
    name: str,
    folder: str | None = None,
    version: ngff.Version = "0.5",
    replace: bool = False,
) -> tuple[Loss, ...]:
    """Write labels beneath the image whose objects they number, and name them in its list of labels.

    `folder` is what their group is called on disk, where `name` would not do.
    """
    where = image / "labels" / vetted.inner_path(folder or name, image)
    where.parent.mkdir(exist_ok=True)
    out = write(labels, where, name=name, version=version, source="../../", replace=replace)
    list_labels(image, version=version)
    return out


def list_labels(image: Path, *, version: ngff.Version = "0.5") -> tuple[str, ...]:
    """Write the list of the label groups beneath an image from what is there; their names, sorted."""
    folder, marker = image / "labels", ".zgroup" if version == "0.4" else "zarr.json"
    names = sorted(p.parent.name for p in folder.glob(f"*/{marker}") if not p.parent.name.startswith("."))
    ome = {"labels": names}
    attributes: dict[str, Any] = ome if version == "0.4" else {"ome": {"version": version, **ome}}
    for file, text in group(attributes, version).items():
        put(folder / file, text)
    return tuple(names)


def _fill(target: Target, image: Image) -> None:
    """All levels: from memory where the image fits into a little of it, else shard by shard by way of the disk."""
    if image.nbytes > IN_MEMORY:
        for box in target.shards:
            target.write(box, image.read(box).astype(target.dtype, copy=False))
        target.build_levels()
        return
    pixels = image.read().astype(target.dtype, copy=False)
    for k, level in enumerate(target.levels):
        if k:
            pixels = downsample(pixels, level.step, labels=image.is_labels)
        target.write(Box.of(pixels.shape), pixels, level=k)


def _image(folder: Place, image_layer: str | None) -> tuple[str, Image, dict[str, Fact]]:
    """The name of a layer, its image, and what could not be said in its space."""
    meta = ngff.parse(_attributes(folder), where=str(folder))
    places = [folder / p for p in meta.paths]
    if isinstance(folder, Url):
        with ThreadPoolExecutor(LEVELS_AT_ONCE) as asking:  # a server is far: its answers are waited for together
            arrays = list(asking.map(open_array, places))
    else:
        arrays = [open_array(p) for p in places]
    for k, a in enumerate(arrays):
        if a.ndim != len(meta.spaces[0].axes) or a.dtype != arrays[0].dtype:
            _bad(f"level {k} is {a!r}, in axes {meta.spaces[0].axes}", folder, "omezarr-level")
        if any(n > m for n, m in zip(a.shape, arrays[0].shape, strict=True)):
            _bad(f"level {k} of {a.shape} is larger than level 0 of {arrays[0].shape}", folder, "omezarr-level")
        if a.names is not None and a.names != arrays[0].names:
            _bad(f"level {k} has axes {a.names}, level 0 {arrays[0].names}", folder, "omezarr-axes")
    space, shape = meta.spaces[0], arrays[0].shape
    if space.times is not None and len(space.times) != shape[space.index("t")]:
        _bad(f"{len(space.times)} times for {shape[space.index('t')]} along t", folder, "omezarr-times")
    along = shape[space.index("c")] if "c" in space.axes else 0
    if "channels" in meta.extra and len(meta.channels) != along:
        _bad(f"{len(meta.channels)} channels named for {along} along c", folder, "omezarr-channels")
    channels = meta.channels if len(meta.channels) == along else ()
    is_labels = meta.is_labels or image_layer is not None
    told = meta.extra.get("layer")
    name = told if isinstance(told, str) and told else folder.name if is_labels else "raw"
    labels_of = (meta.labels_of or image_layer or "raw") if is_labels else None
    if is_labels and arrays[0].dtype.kind not in "iu":
        _bad(f"labels of {arrays[0].dtype}", folder, "labels-float")
    facts = {}
    if meta.unitless:
        text = " ".join(f"{a}={s:g}" for a, s in meta.unitless.items())
        facts["scale_without_unit"] = Fact(text)
    return name, levelled(arrays, meta.spaces, channels, labels_of), facts


def _labels(folder: Place) -> list[str]:
    """The label groups that an image lists; none where it has no list."""
    inside = folder / "labels"
    attributes = _optional(inside)
    if attributes is None:
        return []
    ome = attributes.get("ome", attributes)
    listed = vetted.items(vetted.mapping(ome, "ome", inside).get("labels"), "its list of labels", inside)
    return [vetted.inner_path(name, inside) for name in listed]


def _scene_paths(path: Place) -> list[str]:
    attributes = _attributes(path)
    has = ngff.holds(attributes)
    if "multiscales" in has:
        return [""]
    if "plate" in has:
        wells = plates.parse_plate(attributes, where=str(path)).wells
        return [f"{w}/{f}" for w in wells for f in plates.parse_well(_attributes(path / w), where=str(path / w))]
    if "well" in has:
        return list(plates.parse_well(attributes, where=str(path)))
    if "bioformats2raw.layout" in has:
        return _series(path)
    _bad("no image, plate or well is described here", path, "omezarr-kind")


def _series(path: Place) -> list[str]:
    """The images of a bioformats2raw collection: those it lists, else those numbered from 0."""
    listed = path / "OME"
    attributes = _optional(listed)
    if attributes is not None:
        ome = attributes.get("ome", attributes)
        series = ome.get("series") if isinstance(ome, dict) else None
        if isinstance(series, list):
            return [vetted.inner_path(s, listed) for s in series]
    out: list[str] = []
    while len(out) < SERIES and _optional(path / str(len(out))) is not None:
        out.append(str(len(out)))
    return out


def _groups(path: Place, scene: str) -> dict[str, str]:
    parts = scene.split("/")
    if len(parts) != 3:
        return {}
    row, column, of = parts
    plate = plates.parse_plate(_attributes(path), where=str(path)).name or path.name.removesuffix(".zarr")
    number = f"{int(column):02d}" if column.isdecimal() else column
    return {"plate": plate, "well": f"{row}{number}", "field": of}


def _described(folder: Place) -> dict[str, Any] | None:
    """The attributes of a group; None where there is none."""
    found = vetted.first(folder, ("zarr.json", ".zattrs"))
    if found is None:
        return None
    name, document = found
    if name == ".zattrs":
        return vetted.mapping(document, "attributes", folder)
    return vetted.mapping(vetted.mapping(document, "its metadata", folder).get("attributes", {}), "attributes", folder)


def _optional(folder: Place) -> dict[str, Any] | None:
    """The attributes of a group that need not be there; a bucket may refuse what it has not."""
    try:
        return _described(folder)
    except StoreError as e:
        if e.rule != "url-denied":
            raise
        return None


def _attributes(folder: Place) -> dict[str, Any]:
    found = _described(folder)
    if found is None:
        raise FormatError(
            "there is no Zarr group here", where=folder, fix="name a folder of OME-Zarr", rule="json-missing"
        )
    return found


def _bad(message: str, path: Place, rule: str) -> NoReturn:
    raise FormatError(message, where=path, fix="mend the metadata, or write the image again", rule=rule)
