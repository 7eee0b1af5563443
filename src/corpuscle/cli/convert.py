"""One file format to another, with every loss told; what is large goes block by block, and is resumed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from corpuscle import formats
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.progress import Receipt, Watch, unwatched
from corpuscle.cli import show
from corpuscle.core import Fact, Image, Record
from corpuscle.core.space import Space
from corpuscle.errors import FormatError, SettingsError, SpaceError
from corpuscle.formats import Loss, ngff, omezarr, png
from corpuscle.formats.place import Place, Url, place
from corpuscle.formats.pyramids import put
from corpuscle.formats.vendor import Vendor, said
from corpuscle.ops import clean

VERSIONS = ("0.5", "0.4")
LARGE = 256 << 20
"""Images of more bytes than this are converted block by block."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote, what it could not keep, and how pixels were stretched where they were.

    `unmapped` counts what the source says and nothing here has a noun for; it is kept in the files `kept`. `receipt`
    is of a conversion that went block by block.
    """

    scene: str
    layers: tuple[str, ...]
    losses: tuple[Loss, ...]
    stretched: Mapping[str, float]
    unmapped: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """How a large conversion is carried out; `engine` is started only for one."""

    engine: Callable[[], AbstractContextManager[Engine]]
    watch: Watch = unwatched
    asked: bool = False


def run_convert(
    src: Place,
    dst: Path,
    *,
    scene: str | None,
    version: str,
    normalise: bool,
    as_json: bool,
    axes: str | None = None,
    verify: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
) -> int:
    """`corpuscle convert`: write, then say what was lost; 1 where something failed, and nothing is at `dst` then."""
    from corpuscle.cli.verbs import engine_for

    asked = workers is not None or cluster is not None
    means = Means(
        lambda: engine_for(workers, cluster, share=dst.absolute().parent), show.watcher(as_json=as_json), asked
    )
    done = convert(src, dst, scene=scene, version=version, normalise=normalise, axes=axes, verify=verify, means=means)
    if done.receipt is not None:
        for failure in done.receipt.failures:
            show.complain(failure, as_json=as_json)
        show.receipt(done.receipt, as_json=as_json, what=f"convert {src.name}")
        if not done.receipt.ok:
            return 1
    if as_json:
        losses = [{"what": x.what, "count": x.count, "items": x.items} for x in done.losses]
        told = {"src": str(src), "dst": str(dst), "scene": done.scene, "layers": done.layers}
        rest = {"unmapped": done.unmapped, "kept": done.kept, "verified": verify}
        show.say_json({**told, "losses": losses, "stretched": done.stretched, **rest})
        return 0
    print(f"wrote {dst} with {', '.join(done.layers)}{', and compared it with its source' if verify else ''}")
    for name, value in done.stretched.items():
        print(f"{name} {value:g}")
    if done.unmapped:
        where = f"kept as it is in {done.kept[-1]}" if done.kept else "not kept"
        show.table((f"not mapped, {where}", "how many"), list(done.unmapped.items()))
    if done.losses:
        show.table(("lost", "how many", "which"), [(x.what, x.count, ", ".join(x.items)) for x in done.losses])
    else:
        print("nothing was lost")
    return 0


def convert(
    src: Place | str,
    dst: Path,
    *,
    scene: str | None = None,
    version: str = "0.5",
    normalise: bool = False,
    axes: str | None = None,
    verify: bool = False,
    means: Means | None = None,
) -> Converted:
    """Write one scene of a file in the format that the name `dst` asks for.

    OME-Zarr takes the image with its labels, and what the source says of itself word for word; other formats take the
    main layer, and what is left behind is among the losses. To a name that ends in ``_objects.png`` whole numbers go
    as labels, whether or not the source tells. With `normalise` intensities are stretched to 8 bits between their
    percentiles, see `stretched`. With `axes`, those of the source are called so. OME-Zarr 0.5 of large images, and
    with `verify` of any, is written by `blocks.convert`, which `means` carries out.

    Raises SettingsError where `dst` exists or the settings contradict one another, FormatError where either end
    cannot hold it; and see `blocks.convert.convert`.
    """
    src = place(src)
    zarr = dst.name.lower().endswith(".zarr")
    if version not in VERSIONS:
        raise SettingsError(f"no OME-Zarr {version!r} is written", fix="0.5 or 0.4", rule="zarr-version")
    if verify and (not zarr or version != "0.5" or normalise):
        raise SettingsError(
            "only OME-Zarr 0.5 with the pixels of its source can be compared with it",
            fix="leave --verify out, or --normalise and --ome-version",
            rule="convert-verify",
        )
    if (dst.exists() and not _unfinished(dst)) or dst.is_symlink():
        raise SettingsError("something is here already", where=dst, fix="name a new file", rule="convert-exists")
    if not dst.parent.is_dir():
        raise SettingsError("there is no such folder", where=dst.parent, fix="make it first", rule="convert-folder")
    record = formats.read(src, scene)
    images = {n: x for n, x in record.layers.items() if isinstance(x, Image)}
    if not images:
        raise FormatError("holds no picture", where=src, fix="name a file of pixels", rule="convert-picture")
    main = next((n for n, x in images.items() if not x.is_labels), next(iter(images)))
    if axes is not None:
        record = record.with_layer(main, _called(images[main], axes))
    if (meant := _objects(record.image(main), dst)) is not record.image(main):
        record = record.with_layer(main, meant)
    vendor = said(src, formats.sniff(src), version=_version(version)) if zarr and isinstance(src, Path) else Vendor()
    large = sum(x.nbytes for x in images.values()) > LARGE or (means is not None and means.asked) or _unfinished(dst)
    if zarr and version == "0.5" and not normalise and (large or verify):
        return _by_blocks(record, main, src, dst, scene, vendor, verify, means)
    limits: dict[str, float] = {}
    if normalise:
        record, limits = stretched(record, main)
    kept, losses = _write(record, main, dst, _version(version))
    for name, data in vendor.files.items():
        put(dst / name, data)
    return Converted(scene or record.name, kept, losses, limits, vendor.unmapped, tuple(vendor.files))


def _by_blocks(
    record: Record,
    main: str,
    src: Place,
    dst: Path,
    scene: str | None,
    vendor: Vendor,
    verify: bool,
    means: Means | None,
) -> Converted:
    from corpuscle.blocks.convert import convert as by_blocks
    from corpuscle.blocks.engines.local import Local
    from corpuscle.blocks.gauge import Gauge
    from corpuscle.blocks.receipts import Journal
    from corpuscle.blocks.request import Request

    facts = {n: f.value for n, f in record.facts.items()}
    labels = {n: x for n, x in record.layers.items() if isinstance(x, Image) and x.is_labels and n != main}
    images = {main: record.image(main), **labels}
    source = {"file": src.name, "scene": scene, "state": _state(src, images)}
    asked = Request(images, dst, source, {"facts": facts} if facts else None, vendor.files, verify)
    means = means or Means(Local)
    start = time.perf_counter()
    with means.engine() as engine, Gauge() as gauge:
        journal = Journal(means.watch, gauge)
        receipt = by_blocks(asked, engine=engine, watch=journal)
    seconds = time.perf_counter() - start
    receipt = replace(receipt, seconds=seconds, stages=journal.passes, peak=gauge.peak)
    kept = tuple(images)
    return Converted(
        scene or record.name, kept, _left(record, kept, ()), {}, vendor.unmapped, tuple(vendor.files), receipt
    )


def _state(src: Place, images: Mapping[str, Image]) -> dict[str, Any]:
    """What tells this state of a source from another: length and times of its files, and of their metadata."""
    if isinstance(src, Url):
        return {"url": str(src)}
    files = {src}
    for image in images.values():
        files |= {Path(p) for p in getattr(image.array, "paths", ())}
        files |= {Path(p) / n for p in [getattr(image.array, "path", "")] if p for n in ("zarr.json", ".zarray")}
    files |= {src / n for n in ("zarr.json", ".zattrs")} if src.is_dir() else set()
    out = {}
    for file in sorted(files):
        if file.is_file():
            stat = os.stat(file)
            out[str(file.relative_to(src) if file.is_relative_to(src) else file.name)] = [
                stat.st_size,
                stat.st_mtime_ns,
                stat.st_ctime_ns,
            ]
    return out


def _unfinished(dst: Path) -> bool:
    """Whether a conversion to this name was begun, and its notes are still beside it."""
    return dst.with_name(f"{dst.name}.ledger").joinpath("convert.json").exists()


def _version(told: str) -> ngff.Version:
    return cast("ngff.Version", told)


def _called(image: Image, axes: str) -> Image:
    """The image with its axes called otherwise."""
    space = image.space
    try:
        if len(axes) != len(space.axes) or not set(axes) <= set("tczyx"):
            raise SpaceError(f"there are {len(space.axes)}: {' '.join(space.axes)}")
        named = Space(tuple(axes), scale=space.scale, origin=space.origin, times=space.times if "t" in axes else None)
        return replace(image, space=named, channels=image.channels if "c" in axes else (), levels=())
    except SpaceError as e:
        raise SettingsError(
            f"{axes!r} cannot be its axes: {e.message}", fix="name as many as there are, of tczyx", rule="convert-axes"
        ) from e


def stretched(record: Record, layer: str) -> tuple[Record, dict[str, float]]:
    """The record with one layer stretched to 8 bits, and the percentiles 0.1 and 99.9 that it was stretched between.

    The facts ``normalised``, ``p_lo`` and ``p_hi`` tell of it; where there are several channels each has its own
    pair, ``p_lo_<channel>``. Labels, pixels of 8 bits, and what has been normalised before, stay as they are.
    """
    image = record.image(layer)
    was = record.facts.get("normalised")
    if image.is_labels or image.dtype.itemsize == 1 or (was is not None and was.value):
        return record, {}
    data = image.read()
    c = image.space.index("c") if "c" in image.space.axes else None
    planes = [data] if c is None else [np.take(data, i, c) for i in range(data.shape[c])]
    limits = [clean.percentiles(p) for p in planes]
    done = [clean.normalise(p, lo=lo, hi=hi) for p, (lo, hi) in zip(planes, limits, strict=True)]
    told: dict[str, float] = {}
    for i, (lo, hi) in enumerate(limits):
        suffix = "" if len(limits) == 1 else f"_{image.channels[i].name if image.channels else i}"
        told |= {f"p_lo{suffix}": lo, f"p_hi{suffix}": hi}
    # How many bits the camera had is no longer true of these pixels.
    facts = {k: v for k, v in record.facts.items() if k != "bits"} | {"normalised": Fact(True, None, "computed")}
    facts |= {k: Fact(v, None, "computed") for k, v in told.items()}
    array = done[0] if c is None else np.stack(done, axis=c)
    changed = record.with_layer(layer, replace(image, array=array, levels=()))
    return replace(changed, facts=facts), told


def _objects(image: Image, dst: Path) -> Image:
    """The image; as labels where it could be, and the name of what is to be written asks for objects."""
    asked = dst.name.lower().endswith("_objects.png") and not image.is_labels
    if not asked or "".join(image.space.axes) != "yx" or image.dtype.kind not in "bui":
        return image
    pixels = image.read()
    if pixels.dtype.kind == "i" and pixels.min() < 0:
        return image
    labels = pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels
    return replace(image, array=labels, channels=(), labels_of="raw", levels=())


def _write(record: Record, main: str, dst: Path, version: ngff.Version) -> tuple[tuple[str, ...], tuple[Loss, ...]]:
    """The layers that were written, and all that was lost: by the format, of the layers, of the facts."""
    image, facts = record.image(main), {n: f.value for n, f in record.facts.items()}
    told: Sequence[str] = ()
    kept = [main]
    if dst.name.lower().endswith(".zarr"):
        extra = {"facts": facts} if facts else None
        losses = omezarr.write(image, dst, name=main, version=version, extra=extra)
        for name, layer in record.layers.items():
            if isinstance(layer, Image) and layer.is_labels and name != main:
                losses += omezarr.write_labels(layer, dst, name=name, version=version)
                kept.append(name)
    elif dst.suffix.lower() == ".png" and not image.is_labels:
        flat, dropped = _flat(image)
        losses, told = (*dropped, *png.write(flat, dst, texts=facts)), tuple(facts)
    else:
        flat, dropped = _flat(image) if dst.suffix.lower() == ".png" else (image, ())
        losses = (*dropped, *formats.write(flat, dst))
    return tuple(kept), (*losses, *_left(record, kept, told))


def _left(record: Record, kept: Sequence[str], told: Sequence[str]) -> tuple[Loss, ...]:
    """Layers and facts that nothing that was written tells of."""
    left = tuple(n for n in record.layers if n not in kept)
    untold = tuple(f"{n} {f.value}" for n, f in record.facts.items() if n not in told)
    return tuple(Loss(what, len(x), x) for what, x in (("layers", left), ("facts", untold)) if x)


def _flat(image: Image) -> tuple[Image, tuple[Loss, ...]]:
    """The picture without a c of one entry, for which a PNG has no place, and what goes with it."""
    if "c" not in image.space.axes or image.shape[image.space.index("c")] != 1:
        return image, ()
    c = image.space.index("c")
    lost = [Loss("axes", 1, ("c",))]
    if image.channels:
        lost.insert(0, Loss("channels", 1, (image.channels[0].name,)))
    return Image(np.take(image.read(), 0, c), image.space.without("c"), (), image.labels_of), tuple(lost)
