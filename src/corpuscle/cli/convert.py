"""One file format to another, with every loss told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from corpuscle import formats
from corpuscle.cli import show
from corpuscle.core import Fact, Image, Record
from corpuscle.errors import FormatError, SettingsError
from corpuscle.formats import Loss, ngff, omezarr, png
from corpuscle.ops import clean

VERSIONS = ("0.5", "0.4")


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote, what it could not keep, and how pixels were stretched where they were."""

    scene: str
    layers: tuple[str, ...]
    losses: tuple[Loss, ...]
    stretched: Mapping[str, float]


def run_convert(src: Path, dst: Path, *, scene: str | None, version: str, normalise: bool, as_json: bool) -> None:
    """`corpuscle convert`: write, then say what was lost."""
    done = convert(src, dst, scene=scene, version=version, normalise=normalise)
    if as_json:
        losses = [{"what": x.what, "count": x.count, "items": x.items} for x in done.losses]
        told = {"src": str(src), "dst": str(dst), "scene": done.scene, "layers": done.layers}
        show.say_json({**told, "losses": losses, "stretched": done.stretched})
        return
    print(f"wrote {dst} with {', '.join(done.layers)}")
    for name, value in done.stretched.items():
        print(f"{name} {value:g}")
    if done.losses:
        show.table(("lost", "how many", "which"), [(x.what, x.count, ", ".join(x.items)) for x in done.losses])
    else:
        print("nothing was lost")


def convert(
    src: Path, dst: Path, *, scene: str | None = None, version: str = "0.5", normalise: bool = False
) -> Converted:
    """Write one scene of a file in the format that the name `dst` asks for.

    OME-Zarr takes the image with its labels; other formats take the main layer, and what is left behind is among
    the losses. To a name that ends in ``_objects.png`` whole numbers go as labels, whether or not the source tells.
    With `normalise` intensities are stretched to 8 bits between their percentiles, see `stretched`.

    Raises SettingsError where `dst` exists or the version is unknown, FormatError where either end cannot hold it.
    """
    if version not in VERSIONS:
        raise SettingsError(f"no OME-Zarr {version!r} is written", fix="0.5 or 0.4", rule="zarr-version")
    if dst.exists() or dst.is_symlink():
        raise SettingsError("something is here already", where=dst, fix="name a new file", rule="convert-exists")
    if not dst.parent.is_dir():
        raise SettingsError("there is no such folder", where=dst.parent, fix="make it first", rule="convert-folder")
    record = formats.read(src, scene)
    images = {n: x for n, x in record.layers.items() if isinstance(x, Image)}
    if not images:
        raise FormatError("holds no picture", where=src, fix="name a file of pixels", rule="convert-picture")
    main = next((n for n, x in images.items() if not x.is_labels), next(iter(images)))
    if (meant := _objects(images[main], dst)) is not images[main]:
        record = record.with_layer(main, meant)
    limits: dict[str, float] = {}
    if normalise:
        record, limits = stretched(record, main)
    kept, losses = _write(record, main, dst, cast("ngff.Version", version))
    return Converted(scene or record.name, kept, losses, limits)


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
    left = tuple(n for n in record.layers if n not in kept)
    untold = tuple(f"{n} {v}" for n, v in facts.items() if n not in told)
    losses += tuple(Loss(what, len(x), x) for what, x in (("layers", left), ("facts", untold)) if x)
    return tuple(kept), losses


def _flat(image: Image) -> tuple[Image, tuple[Loss, ...]]:
    """The picture without a c of one entry, for which a PNG has no place, and what goes with it."""
    if "c" not in image.space.axes or image.shape[image.space.index("c")] != 1:
        return image, ()
    c = image.space.index("c")
    lost = [Loss("axes", 1, ("c",))]
    if image.channels:
        lost.insert(0, Loss("channels", 1, (image.channels[0].name,)))
    return Image(np.take(image.read(), 0, c), image.space.without("c"), (), image.labels_of), tuple(lost)
