"""Images and labels: metadata first, then bytes, then pixels; what one look explains, the next is not asked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.core import Box, Image
from corpuscle.core.pyramid import downsample, factors
from corpuscle.core.space import SPATIAL
from corpuscle.corpus.entry import LayerEntry
from corpuscle.corpus.layout import Layout
from corpuscle.corpus.rules import shardfile
from corpuscle.corpus.rules.pieces import cut
from corpuscle.corpus.rules.place import inside, sha256
from corpuscle.corpus.rules.problem import AGAIN, Problem
from corpuscle.errors import CorpuscleError, FormatError
from corpuscle.formats import ngff, omezarr, vetted
from corpuscle.formats.shards import Grid, v3_metadata
from corpuscle.formats.zarrays import ZarrArray, open_array
from corpuscle.store import digest

WHOLE = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
TYPES = (*WHOLE, "float16", "float32", "float64", "bool")
SIDE = {2: 1024, 3: 128}


@dataclass(slots=True)
class Look:
    """What the metadata of one image tells, and what is wrong with it.

    Parameters
    ----------
    place
        The image's folder within the corpus.
    entry
        What the record says of it; None for a preview, which no record has.
    broken
        The sealed files that are not what was written.
    sound
        Levels whose metadata is as it was written.
    """

    layout: Layout
    place: str
    entry: LayerEntry | None
    meta: ngff.Multiscale | None = None
    arrays: list[ZarrArray | None] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    sound: set[int] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.layout.root / self.place

    @property
    def labels(self) -> bool:
        """Whether its pixels number objects."""
        return self.entry is not None and self.entry.kind == "labels"

    def say(self, rule: str, name: str, message: str, fix: str = AGAIN) -> None:
        """Note a problem of a file of this image."""
        self.problems.append(Problem(rule, f"{self.place}/{name}" if name else self.place, message, fix))


def look(layout: Layout, place: str, entry: LayerEntry | None) -> Look:
    """Read all metadata of an image and hold it against itself and its seal."""
    out = Look(layout, place, entry)
    for name, sha in (entry.seal if entry else {}).items():
        if sha256(out.folder / name) != sha:
            out.broken.add(name)
    try:
        document = vetted.mapping(vetted.load(out.folder / "zarr.json"), "its metadata", out.folder)
        attributes = vetted.mapping(document.get("attributes"), "attributes", out.folder)
        if bad := _bad_scale(attributes):
            out.say("scale-zero", "zarr.json", f"the scale of {bad}", "unknown is no unit, known is positive")
            return out
        out.meta = ngff.parse(attributes, where=place)
    except FormatError as e:
        rule = {"json-missing": "file-missing", "json-torn": "json-torn", "path-outside": "path-outside"}.get(e.rule)
        out.say(rule or ("axes-swapped" if e.rule == "ngff-axes" else "metadata-wrong"), "zarr.json", e.message)
        return out
    _levels(out, out.meta)
    if not out.problems:
        _kinds(out, out.meta)
    for name in sorted(out.broken) if not out.problems else ():
        if not (out.folder / name).is_file():
            out.say("file-missing", name, "a file is missing that the record seals")
        elif was := _was(out, name):
            out.say("dtype-wrong", name, f"the pixels are said to be {was[0]}, {was[1]} was written")
        else:
            out.say("file-seal", name, "was changed since it was written")
    return out


def _levels(out: Look, meta: ngff.Multiscale) -> None:
    space = meta.spaces[0]
    for name in meta.paths:
        try:
            out.arrays.append(open_array(out.folder / name))
        except FormatError as e:
            out.arrays.append(None)
            gone = e.rule in ("zarr-missing", "json-missing")
            rule = "level-missing" if gone else {"json-torn": "json-torn", "zarr-dtype": "dtype-wrong"}.get(e.rule)
            message = "a level is missing that its image lists" if gone else e.message
            out.say(rule or "metadata-wrong", f"{name}/zarr.json" if not gone else name, message)
    there = [(k, a) for k, a in enumerate(out.arrays) if a is not None]
    if out.labels and (odd := [(k, a) for k, a in there if a.dtype.kind not in "iu"]):
        out.say("labels-float", meta.paths[odd[0][0]], f"labels of {odd[0][1].dtype}", "number objects by integers")
        return
    if len({a.dtype for _, a in there}) > 1:
        told = ", ".join(f"level {k} {a.dtype}" for k, a in there)
        out.say("dtype-wrong", "", f"levels differ in type: {told}")
        return
    order = [0 if a == "t" else 2 + SPATIAL.index(a) if a in SPATIAL else 1 for a in space.axes]
    named = [(k, a.names) for k, a in there if a.names is not None and a.names != space.axes]
    if order != sorted(order) or named:
        found = named[0][1] if named else space.axes
        out.say(
            "axes-swapped", "zarr.json", f"axes {', '.join(space.axes)}, and the array has {', '.join(found or ())}"
        )
        return
    first = out.arrays[0]
    if first is None:
        return
    if first.ndim != len(space.axes):
        out.say("axes-swapped", "zarr.json", f"{len(space.axes)} axes for an array of {first.ndim}")
        return
    steps = factors(space, first.shape) if min(first.shape, default=0) > 0 else []
    if len(meta.paths) < 1 + len(steps):
        out.say("level-missing", "zarr.json", f"{len(meta.paths)} levels are listed of {1 + len(steps)}")
    shape = first.shape
    for k, step in enumerate(steps[: len(meta.paths) - 1], 1):
        shape = tuple(-(-n // f) for n, f in zip(shape, step, strict=True))
        array = out.arrays[k]
        if array is not None and array.shape != shape:
            out.say("level-wrong", meta.paths[k], f"is {array.shape}, and the level below makes it {shape}")
    for k, a in there:
        if f"{meta.paths[k]}/zarr.json" not in out.broken and all(
            s % c == 0 for s, c in zip(a.shard, a.chunk, strict=True)
        ):
            out.sound.add(k)


def _kinds(out: Look, meta: ngff.Multiscale) -> None:
    if out.entry is None:
        return
    if out.labels != meta.is_labels:
        told = "labels" if meta.is_labels else "an image"
        out.say("layer-kind", "zarr.json", f"calls itself {told}, its record {out.entry.kind}")
    elif meta.labels_of is not None and meta.labels_of != out.entry.labels_of:
        told = f"{meta.labels_of!r}, its record {out.entry.labels_of!r}"
        out.say("layer-kind", "zarr.json", f"says that it labels {told}")


def same_shape(labels: Look, image: Look) -> str | None:
    """Why labels do not lie on their image; None where they do, or one of them cannot be told."""
    if not (labels.meta and image.meta and labels.arrays and image.arrays):
        return None
    if any(p.rule == "axes-swapped" for p in (*labels.problems, *image.problems)):
        return None
    mine, its = labels.arrays[0], image.arrays[0]
    if mine is None or its is None:
        return None
    axes, above = labels.meta.spaces[0].axes, image.meta.spaces[0].axes
    if len(axes) != mine.ndim or len(above) != its.ndim:
        return None
    sizes = dict(zip(above, its.shape, strict=True))
    if all(sizes.get(a) == n for a, n in zip(axes, mine.shape, strict=True)):
        return None
    return f"labels of {_sizes(axes, mine.shape)} on an image of {_sizes(above, its.shape)}"


def _sizes(axes: tuple[str, ...], shape: tuple[int, ...]) -> str:
    return " x ".join(f"{a} {n}" for a, n in zip(axes, shape, strict=True))


def verify(out: Look, *, truth: bool, split: frozenset[int]) -> None:
    """Hold bytes against checksums, pixels against the record's digest, and each level against the one below.

    Parameters
    ----------
    truth
        Whether these are labels whose objects must each be in one piece.
    split
        The labels that are known to be in several.
    """
    if out.meta is None:
        return
    before = bool(out.problems)
    hurt = _bytes(out, out.meta)
    _strays(out, out.meta)
    if before or 0 in hurt:
        return
    try:
        image = omezarr.read_image(out.folder)
        if out.entry is None:
            same = True
        else:
            image = replace(image, labels_of=out.entry.labels_of)
            same = digest.of_image(image) == out.entry.digest
        if truth and (cut_ := [v for v in cut(image) if v not in split]):
            more = f" and {len(cut_) - 5} more" if len(cut_) > 5 else ""
            told = f"object{'s' * (len(cut_) > 1)} {', '.join(map(str, cut_[:5]))}{more} in more than one piece"
            fix = "number the pieces apart, or list them in the record's fact split_objects"
            out.say("object-cut", "", told, fix)
        elif not same:
            _differs(out, image)
        if same:
            _pyramid(out, image, out.meta, hurt)
    except CorpuscleError as e:
        out.say("metadata-wrong", "", f"cannot be decoded as its metadata says: {e.message}")


def _bytes(out: Look, meta: ngff.Multiscale) -> set[int]:
    """Note bad shards; the levels that have some."""
    hurt = set()
    for k in sorted(out.sound):
        array, name = out.arrays[k], meta.paths[k]
        assert array is not None, "a sound level is there"
        if not shardfile.guarded(vetted.load(out.folder / name / "zarr.json")):
            continue
        by: dict[str, list[tuple[Path, str]]] = {}
        for rule, path, why in shardfile.damaged(array):
            by.setdefault(rule, []).append((path, why))
        for rule, found in by.items():
            path, why = found[0]
            more = f"; so are {len(found) - 1} more of this level" if len(found) > 1 else ""
            out.say(rule, path.relative_to(out.folder).as_posix(), why + more)
        if by:
            hurt.add(k)
    return hurt


def _strays(out: Look, meta: ngff.Multiscale) -> None:
    """Note files beneath the image that are none of its own; labels are looked at elsewhere."""
    levels = dict(zip(meta.paths, out.arrays, strict=True))
    missing = any(p.rule == "level-missing" for p in out.problems)
    strays = []
    for path in _files(out.folder):
        name = path.relative_to(out.folder).as_posix()
        level, _, rest = name.partition("/")
        if path.is_symlink() and inside(out.layout, out.layout.relative(path)) is None:
            out.say("path-outside", name, "a link leads out of the corpus", "put the file itself in its place")
        elif level == "labels" or name == "zarr.json" or (missing and level not in levels):
            continue
        array = levels.get(level)
        if level not in levels or (array is not None and rest != "zarr.json" and not shardfile.keys(array, rest)):
            strays.append(name)
    if strays and not (out.broken or out.problems):
        more = f", and {len(strays) - 1} more files like it" if len(strays) > 1 else ""
        out.say("file-orphan", strays[0], f"belongs to no level of the image{more}", "remove it")


def _files(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path != folder / "labels":
                    waiting.append(path)
            else:
                yield path


def _differs(out: Look, image: Image) -> None:
    """Note that pixels or their space are not what was written; name the type that was, if it is that."""
    assert out.entry is not None, "only a record's layer has a digest"
    told: dict[str, Any] = {
        "space": image.space,
        "channels": image.channels,
        "labels_of": image.labels_of,
        "shape": image.shape,
    }
    others = [t for t in TYPES if np.dtype(t) != image.dtype]
    leaves: dict[str, list[digest.Leaf]] = {t: [] for t in others}
    for box in digest.tiles(image.space.axes, image.shape):
        pixels = image.read(box)
        with np.errstate(invalid="ignore", over="ignore"):
            for name in others:
                leaves[name].append(digest.leaf(box, pixels.astype(name)))
    for name in others:
        if digest.root(leaves[name], dtype=name, **told) == out.entry.digest:
            out.say("dtype-wrong", "", f"the pixels are {image.dtype}, the record knows them as {name}")
            return
    out.say("layer-differs", "", "the pixels are not those whose digest the record has")


def _pyramid(out: Look, image: Image, meta: ngff.Multiscale, hurt: set[int]) -> None:
    steps = factors(image.space, image.shape) if image.box.size else []
    for k, step in enumerate(steps[: len(image.levels)], 1):
        if k in hurt or k - 1 in hurt:
            continue
        below, level = image.level(k - 1), image.level(k)
        side = SIDE.get(sum(f > 1 or a in SPATIAL for a, f in zip(image.space.axes, step, strict=True)), 1024)
        tile = [side if a in SPATIAL else 1 for a in image.space.axes]
        for box in Box.of(level.shape).tiles(tile):
            source = Box(
                tuple(a * f for a, f in zip(box.start, step, strict=True)),
                tuple(min(b * f, n) for b, f, n in zip(box.stop, step, below.shape, strict=True)),
            )
            made = downsample(below.read(source), step, labels=image.is_labels)
            if not np.array_equal(made, level.read(box), equal_nan=image.dtype.kind == "f"):
                out.say("level-wrong", meta.paths[k], f"is not the level below, downsampled, from {box.start} on")
                return


def _bad_scale(attributes: Mapping[str, Any]) -> str | None:
    """The first scale that is no positive number, in words."""
    ome = attributes.get("ome")
    scales = ome.get("multiscales") if isinstance(ome, dict) else None
    first = scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else {}
    datasets = first.get("datasets")
    for i, item in enumerate([*(datasets if isinstance(datasets, list) else []), first]):
        steps = item.get("coordinateTransformations") if isinstance(item, dict) else None
        for step in steps if isinstance(steps, list) else ():
            values = step.get("scale") if isinstance(step, dict) and step.get("type") == "scale" else None
            for v in values if isinstance(values, list) else ():
                if isinstance(v, int | float) and not isinstance(v, bool) and not (v > 0 and math.isfinite(v)):
                    return f"level {i} is {values}" if item is not first else f"the image is {values}"
    return None


def _was(out: Look, name: str) -> tuple[str, str] | None:
    """The type that an array's metadata says, and the one that it must have said for its seal to fit."""
    level = name.removesuffix("/zarr.json")
    assert out.entry is not None, "only a record's layer has a seal"
    assert out.meta is not None, "what cannot be read is told of before"
    if level not in out.meta.paths:
        return None
    document = vetted.load(out.folder / name)
    array = out.arrays[out.meta.paths.index(level)]
    axes = out.meta.spaces[0].axes
    for kind in TYPES:
        ours = v3_metadata(Grid.of(axes, array.shape), np.dtype(kind), axes, labels=out.labels) if array else {}
        for said in (document | {"data_type": kind}, ours):
            text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
            if hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() == out.entry.seal[name]:
                now = str(document.get("data_type"))
                return None if now == kind else (now, kind)
    return None
