"""Nuclei in high-content fluorescence plates: segment each one. After Aitslab-bioimaging1."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle import formats
from corpuscle.bench.task import Task
from corpuscle.blocks.step import Across, Whole
from corpuscle.core import Channel, Fact, Graph, Image, Licence, Record, Space, Study, Table
from corpuscle.core.plate import parse
from corpuscle.corpus.split import Split, read_split
from corpuscle.errors import CorpuscleError, FormatError, SettingsError, StepError
from corpuscle.formats import cellomics, dsb2018, folders, masks, png
from corpuscle.formats.lazy import Lazy
from corpuscle.formats.pairs import Pair, pairs, subject
from corpuscle.metrics.boundary import boundary
from corpuscle.metrics.instances import instances
from corpuscle.metrics.pixels import pixels
from corpuscle.ops import clean, measure
from corpuscle.recipe import Found, Recipe, Source

PLATE = (".c01", ".dib")
PICTURES = (".png", ".tif", ".tiff", ".npy")
STAIN = "d0"  # the channel that shows nuclei, unless --set says another
# Read off the table of the published training images, benchmarks/classical.md, when dev and DSB had been scored before.
# Lengths in estimated diameters.
LOCAL: Mapping[str, Any] = {
    "outline": 0.48,
    "contrast": 0.5,
    "edge": 3.0,
    "neck": 0.85,
    "gap": 0.05,
    "reach": 0.2,
    "least": 0.07,
}
CAMERA = re.compile(r"[do][0-9]+")
WATCHED = (".xml", ".pkl", ".pickle")  # never read, but refused aloud where they are traps


def ingest(raw: Path) -> Iterator[Found | FormatError]:
    """Whatever nuclei are in a folder: C01 and DIB plates, pictures with annotations, the DSB2018 layout."""
    files = [p for p in folders.walk(raw) if folders.spelled(p)]
    for path in [p for p in folders.walk(raw) if not folders.spelled(p)]:
        why = "its name is not UTF-8, so no other program could be told of it"
        yield FormatError(why, where=ascii(str(path)), fix="rename it", rule="file-name")
    plate = [p for p in files if p.suffix.lower() in PLATE]
    truths = _plate_truths(files, plate)
    yield from _plates(plate, truths)
    samples = folders.samples(files)
    for folder, behind in samples.items():
        yield Found(Record(folder.name), behind, late=partial(_sample, source=folder))
    for archive in [p for p in files if p.suffix.lower() == ".zip"]:
        yield from _archive(archive)
    taken = {*truths.values(), *(p for behind in samples.values() for p in behind)}
    pictures = []
    for path in files:
        if path in taken or path.suffix.lower() not in PICTURES + WATCHED:
            continue
        try:
            if formats.sniff(path) == "refused":
                formats.scenes(path)
        except FormatError as e:
            if e.rule != "format-unknown" or path.suffix.lower() in PICTURES:
                yield e
            continue
        if path.suffix.lower() in PICTURES:
            pictures.append(path)
    for pair in pairs(pictures, raw if raw.is_dir() else raw.parent):
        try:
            yield pair if isinstance(pair, FormatError) else _paired(pair)
        except FormatError as e:
            fix = "convert its scenes to files of their own first" if e.rule == "scene-ambiguous" else e.fix
            yield FormatError(e.message, where=e.where, fix=fix, rule=e.rule)


def splits(raw: Path) -> Iterator[Split | CorpuscleError]:
    """Every ``*split*.json`` at the top of the raw folder, as the published split; or why one cannot be read."""
    for path in sorted(raw.glob("*split*.json")) if raw.is_dir() else ():
        try:
            yield replace(read_split(path), scheme="published")
        except CorpuscleError as e:
            yield e


def _plate_truths(files: Iterable[Path], plate: Iterable[Path]) -> dict[str, Path]:
    """The annotation of each field of a plate, by the name of its record."""
    sites = {name.site for p in plate if (name := parse(p.name))}
    truths: dict[str, Path] = {}
    for path in files:
        about, is_annotation = subject(path.stem)
        if path.suffix.lower() in PICTURES and is_annotation and (name := parse(about)) and name.site in sites:
            truths.setdefault(name.site, path)
    return truths


def _plates(files: list[Path], truths: Mapping[str, Path]) -> Iterator[Found | FormatError]:
    for item in cellomics.plate(files):
        if isinstance(item, FormatError):
            yield item
            continue
        behind = tuple(Path(p) for x in item.layers.values() if isinstance(x, Image) for p in _paths(x))
        notes = []
        if gap := item.facts.get("missing_channels"):
            notes.append(FormatError(f"channels {gap.value} are missing", where=item.name, rule="channel-missing"))
        again = partial(_without, files=behind)
        truth = truths.get(item.name)
        if truth is None:
            yield Found(item, behind, tuple(notes), again=again)
        else:
            late = partial(_with_truth, annotation=truth)
            yield Found(item, (*behind, truth), tuple(notes), late, again, truth)


def _without(bad: Path, *, files: tuple[Path, ...]) -> Record | None:
    """The same field from the files that are left when one turns out bad."""
    rest = [p for p in files if p != bad]
    return next((r for r in cellomics.plate(rest) if isinstance(r, Record)), None)


def _paths(image: Image) -> tuple[str, ...]:
    return image.array.paths if isinstance(image.array, Lazy) else ()


def _archive(source: Path) -> Iterator[Found | FormatError]:
    """The images of a zip in the layout of DSB2018."""
    try:
        if not dsb2018.sniff(source):
            why = "is a zip in no layout that is known here"
            yield FormatError(why, where=source, fix="unpack it, or take it away", rule="archive-unknown")
            return
        names = dsb2018.names(source)
    except FormatError as e:
        yield e
        return
    for name in names:
        yield Found(Record(name), (source,), late=partial(_sample, source=source))


def _sample(record: Record, *, source: Path) -> tuple[Record, tuple[CorpuscleError, ...]]:
    """One image of a DSB2018 source with its masks put together."""
    read = dsb2018.read(source, record.name)
    said = {
        "overlapping_pixels": ("pixel(s) claimed by two masks; the first keeps them", "mask-overlap"),
        "empty_masks": ("mask(s) without a pixel; they are no object", "mask-empty"),
    }
    notes = [
        FormatError(f"{fact.value} {why}", where=record.name, rule=rule)
        for key, (why, rule) in said.items()
        if (fact := read.facts.get(key)) and fact.value
    ]
    return read, tuple(notes)


def _paired(pair: Pair) -> Found:
    """A picture and its annotation as one record."""
    reader = png if formats.sniff(pair.picture) in ("png", "rgbmask") else formats
    read = reader.read(pair.picture)
    picture = next(x for x in read.layers.values() if isinstance(x, Image))
    facts = dict(read.facts)
    if picture.dtype == np.uint8 and "normalised" not in facts:
        # An 8-bit picture of a 12-bit camera has been through somebody's scaling; it is never scaled again.
        facts["normalised"] = Fact(True, None, "assumed")
    record = Record(pair.name, read.groups, {"raw": replace(picture, labels_of=None)}, facts)
    if pair.annotation is None:
        return Found(record, (pair.picture,), late=_finite if picture.dtype.kind == "f" else None)
    late = partial(_with_truth, annotation=pair.annotation)
    return Found(record, (pair.picture, pair.annotation), late=late, annotation=pair.annotation)


def _finite(record: Record) -> tuple[Record, tuple[CorpuscleError, ...]]:
    """The record, refused where a pixel is no number: no percentile could be taken of it."""
    picture = record.image("raw")
    if picture.dtype.kind == "f":
        pixels = picture.read()
        if odd := int(pixels.size - np.isfinite(pixels).sum()):
            why, fix = f"{odd} of {pixels.size} pixels are nan or infinite", "fill them, or leave the picture out"
            raise FormatError(why, fix=fix, rule="pixels-nan")
        record = record.with_layer("raw", replace(picture, array=pixels))
    return record, ()


def _with_truth(record: Record, *, annotation: Path) -> tuple[Record, tuple[CorpuscleError, ...]]:
    """The record with the objects of its annotation as the layer ``nuclei``."""
    record, _ = _finite(record)
    picture = record.image("raw")
    space = picture.space.without("c")
    shape = tuple(n for n, a in zip(picture.shape, picture.space.axes, strict=True) if a != "c")
    labels, told = masks.read(annotation, labels_of="raw", shape=shape)
    return record.with_facts(**told).with_layer("nuclei", replace(labels, space=space)), ()


def unscaled(record: Record) -> bool:
    """Whether the pixels are still the camera's: more than 8 bits, and nobody has normalised them."""
    fact = record.facts.get("normalised")
    return record.image("raw").dtype.itemsize > 1 and not (fact and fact.value)


def has_stain(record: Record, *, channel: str = STAIN) -> bool:
    """Whether the channel of the nuclear stain is there: a plate's field may lack it."""
    return place(record.image("raw"), channel) is not None


def annotated(record: Record, *, channel: str = STAIN) -> bool:
    """Whether there is flat truth to score against, and the stain to find nuclei in: the methods here work in 2D."""
    flat = "nuclei" in record.layers and record.image("nuclei").space.axes == ("y", "x")
    return flat and has_stain(record, channel=channel)


def wanted(record: Record, *, channel: str = STAIN, everywhere: bool = False) -> bool:
    """Whether to look for nuclei here: where there is truth to compare with, or on request everywhere."""
    return has_stain(record, channel=channel) if everywhere else annotated(record, channel=channel)


def place(image: Image, channel: str) -> int | None:
    """Where a channel stands along c: by its name, never by its number; None where it is absent.

    A picture without channels, or whose channels are the colours of a photograph, has one stain, which is it.
    """
    names = [c.name for c in image.channels]
    if channel in names:
        return names.index(channel)
    return None if any(CAMERA.fullmatch(n) for n in names) else 0


def normalised(image: Image, *, high: float = 99.9) -> tuple[Image, Table]:
    """Each channel scaled to 8 bits between its percentiles, and the percentiles, by which it can be undone.

    Source: the conversion of Aitslab-bioimaging1 (percentiles 0.1 and 99.9 of each image).
    """
    data = image.read()
    planes, names = _planes(image, data)
    rows = [clean.percentiles(p, high=high) for p in planes]
    out = np.stack([clean.normalise(p, lo=lo, hi=hi) for p, (lo, hi) in zip(planes, rows, strict=True)])
    columns: dict[str, Any] = {
        "channel": np.array(names, object),
        "p_lo": np.array([lo for lo, _ in rows], np.float64),
        "p_hi": np.array([hi for _, hi in rows], np.float64),
        "min": np.array([int(p.min()) for p in planes], np.int64),
        "max": np.array([int(p.max()) for p in planes], np.int64),
        "mean": np.array([float(p.mean()) for p in planes], np.float64),
    }
    return Image(out.reshape(data.shape), image.space, image.channels), Table(columns, about="raw")


def _planes(image: Image, data: np.ndarray[Any, Any]) -> tuple[list[np.ndarray[Any, Any]], list[str]]:
    """One array per channel, with a name."""
    if "c" not in image.space.axes:
        return [data], ["0"]
    c = image.space.index("c")
    names = [ch.name for ch in image.channels] or [str(i) for i in range(data.shape[c])]
    return list(np.moveaxis(data, c, 0)), names


def stain(image: Image, *, channel: str = STAIN) -> Image:
    """The channel that shows nuclei, in two dimensions; of a colour photograph, the brightest colour of each pixel.

    Raises StepError where a plate's field lacks the channel.
    """
    data, space = image.read(), image.space
    at = place(image, channel)
    if at is None:
        names = [c.name for c in image.channels]
        raise StepError(f"no channel {channel!r} here, only {names}", rule="channel-missing")
    if "c" in space.axes and channel in [c.name for c in image.channels]:
        data, space = np.moveaxis(data, space.index("c"), 0)[at], space.without("c")
    for axis in [a for a in space.axes if a not in "yx"]:
        data, space = data.max(space.index(axis)), space.without(axis)
    return Image(data, space)


def labelled(image: Image, *, method: str | Callable[..., Any], channel: str = STAIN, **settings: Any) -> Image:
    """Objects of the nuclear stain, by a method of `corpuscle.ops.segment`, or any function of pixels."""
    from corpuscle.ops import segment  # scipy and skimage, which a folder of bad files never needs

    plane = stain(image, channel=channel)
    if isinstance(method, str) and method not in segment.METHODS:
        raise SettingsError(f"no method {method!r}", fix=f"choose one of {', '.join(segment.METHODS)}")
    function = getattr(segment, method) if isinstance(method, str) else method
    return Image(np.asarray(function(plane.read(), **settings)), plane.space, labels_of="raw")


def measured(image: Image, labels: Image, *, channel: str = STAIN) -> Table:
    """Size, shape, place and brightness of every object, in micrometres where the scale is known.

    Brightness is left out where the labels are a stack. A position is that of the pixel's centre in
    the frame of the image.
    """
    plane = stain(image, channel=channel)
    light = plane.read() if plane.shape == labels.shape else None
    columns = measure.measure(labels.read(), light, spacing=_spacing(labels))
    unit = "um" if _spacing(labels) else "px"
    lengths = ("centroid_y", "centroid_x", "diameter", "major", "minor", "perimeter")
    units = {"pixels": "px2", "area": f"{unit}2", **dict.fromkeys(lengths, unit)}
    return Table(columns, {k: u for k, u in units.items() if k in columns}, about="nuclei")


def _spacing(image: Image) -> tuple[float, ...] | None:
    """The size of a pixel where it is known along every spatial axis."""
    return image.space.spacing if "px" not in image.space.units else None


def neighbours(labels: Image) -> Graph:
    """A node per nucleus at its middle, an edge per pair that touches, with the length of their border."""
    from corpuscle.ops import contacts

    data = labels.read()
    rows = measure.measure(data)
    ids = rows["label"]
    middle = np.stack([rows[f"centroid_{a}"] for a in labels.space.axes], 1)
    touching = contacts.contacts(data, spacing=_spacing(labels))
    edges = np.stack([np.searchsorted(ids, touching["first"]), np.searchsorted(ids, touching["second"])], 1)
    graph = Graph.of(labels.space, middle, label=ids.astype(np.int64))
    return replace(graph, edges=edges.astype(np.int64), edge_props={"border": touching["length"].astype(np.float64)})


def shading(images: Iterable[Image], *, fields: int = 400) -> Image:
    """The uneven light of a plate from its first `fields` fields, one profile per channel; the mean of each is 1."""
    from corpuscle.ops import illumination

    kept = list(islice(images, fields))
    shape = [kept[0].shape[i] for i in kept[0].space.spatial]
    same = [image for image in kept if [image.shape[i] for i in image.space.spatial] == shape]
    known = {c.name: c for image in same for c in image.channels}
    names = sorted(known, key=lambda n: (len(n), n)) or [STAIN]
    profiles = [
        illumination.flat_field(stain(i, channel=n).read() for i in same if place(i, n) is not None) for n in names
    ]
    space = Space("cyx", (None, *(kept[0].space.scale[i] for i in kept[0].space.spatial[-2:])))
    return Image(np.stack(profiles).astype(np.float32), space, tuple(known[n] for n in names if n in known))


def probe() -> Record:
    """Two discs on a dim ground, with truth: what new settings are tried on before anything is built with them."""
    y, x = np.mgrid[:48, :64]
    labels = np.where((y - 20) ** 2 + (x - 18) ** 2 < 100, 1, 0) + np.where((y - 26) ** 2 + (x - 46) ** 2 < 120, 2, 0)
    pixels = (200 + 900 * (labels > 0) + (7 * y + 13 * x) % 31).astype(np.uint16)
    raw = Image(pixels[None], Space("cyx"), (Channel(STAIN),))
    truth = Image(labels.astype(np.int32), Space("yx"), labels_of="raw")
    return Record("probe", {"plate": "probe"}, {"raw": raw, "nuclei": truth, "nuclei@local": truth})


def fake(raw: Path, *, size: str = "small", seed: int = 0) -> None:
    """A simulated plate in the true file layout: see `corpuscle.worlds.nuclei.write`."""
    from corpuscle.worlds.nuclei import write

    write(raw, size=size, seed=seed)


STUDY = Study(
    title="Fluorescently stained nuclei on high-content plates",
    description="Widefield images of cell nuclei from an automated microscope, each nucleus outlined by hand, "
    "micronuclei and fragments included.",
    licences={part: Licence("NOASSERTION", "not stated with the files") for part in ("images", "annotations")},
    organisms=("Homo sapiens",),
    modality="widefield fluorescence microscopy",
    stains=("Hoechst 33342",),
    keywords=("nuclei", "high-content screening", "instance segmentation"),
)

recipe = Recipe(
    name="nuclei",
    study=STUDY,
    needs="a plate of .C01/.DIB; PNG with _objects.png; the DSB2018 layout, as a folder or zip; image and label TIFF",
    ingest=ingest,
    fake=fake,
    probe=probe,
    splits=splits,
    steps=(
        Whole(partial(normalised, high=99.9), "raw", ("normalised", "intensity"), when=unscaled),
        Whole(partial(measured, channel=STAIN), ("raw", "nuclei"), "objects", when=partial(has_stain, channel=STAIN)),
        Whole(neighbours, "nuclei", "neighbours"),
        Whole(
            partial(labelled, method="otsu_components", channel=STAIN),
            "raw",
            "nuclei@otsu",
            when=partial(annotated, channel=STAIN),
        ),
        Whole(
            partial(labelled, method="gauss_otsu", channel=STAIN, sigma=1.0),
            "raw",
            "nuclei@gauss-otsu",
            when=partial(annotated, channel=STAIN),
        ),
        Whole(
            partial(labelled, method="otsu_watershed", channel=STAIN, sigma=1.0, apart=12.0),
            "raw",
            "nuclei@otsu-watershed",
            when=partial(annotated, channel=STAIN),
        ),
        Whole(
            partial(labelled, method="local_watershed", channel=STAIN, **LOCAL),
            "raw",
            "nuclei@local",
            when=partial(wanted, channel=STAIN, everywhere=False),
        ),
        Whole(
            partial(measured, channel=STAIN),
            ("raw", "nuclei@local"),
            "objects@local",
            when=partial(has_stain, channel=STAIN),
        ),
        Across(partial(shading, fields=400), "raw", "illumination", by="plate", when=unscaled),
    ),
    tasks=(
        Task("nuclei", ("raw",), "nuclei", instances, group="well"),
        Task("foreground", ("raw",), "nuclei", pixels, group="well"),
        Task("boundary", ("raw",), "nuclei", boundary, group="well"),
    ),
    sources=(Source("https://doi.org/10.5281/zenodo.6657260"),),
)
