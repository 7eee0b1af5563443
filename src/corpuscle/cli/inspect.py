"""What is in a file, a corpus or a folder, told without more work than the answer needs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from corpuscle import formats
from corpuscle.cli import show
from corpuscle.cli.convert import run_convert
from corpuscle.cli.pixels import KEYS, measured
from corpuscle.core import Fact, Image, Record
from corpuscle.core.plate import parse
from corpuscle.errors import FormatError, StoreError
from corpuscle.formats import vetted
from corpuscle.formats.contract import named
from corpuscle.formats.place import Place, Url

if TYPE_CHECKING:
    from corpuscle.corpus.corpus import Corpus

__all__ = ["corpus_facts", "describe", "folder_facts", "measured", "run_convert", "tell"]

MEASURED = 256 << 20
"""Images of more bytes than this are told without reading their pixels, unless somebody insists."""
CORPUS = "corpus.json"


def tell(path: Place, *, as_json: bool, pixels: bool = False) -> None:
    """`corpuscle info`: a file scene by scene, a corpus as a whole, any other folder by format.

    With `pixels` those of an image of any size are read. Raises FormatError for a file that cannot be read to its
    last pixel.
    """
    if _is_corpus(path):
        from corpuscle.corpus.corpus import Corpus

        told = corpus_facts(Corpus.open(path))
        show.say_json(told) if as_json else _corpus(told)
    elif isinstance(path, Path) and path.is_dir() and not _sniffed(path):
        counts = folder_facts(path)
        if as_json:
            show.say_json({"folder": str(path), "formats": counts})
        else:
            _lines(str(path), [(k, str(n)) for k, n in counts.items()])
    else:
        for scene, facts in describe(path, pixels=pixels):
            show.say_json(scene) if as_json else _scene(scene, facts)


def describe(path: Place, *, pixels: bool = False) -> Iterator[tuple[dict[str, Any], Mapping[str, Fact]]]:
    """Each scene of a file as plain values, and the facts that its headers tell.

    The keys: file, format, scene, axes, shape, dtype; um_per_px (a number where y and x agree, a list where they do
    not, None where unknown); plate, well, field, channel; min, max, sum; sha256_pixels (little-endian, C order);
    p0_1 and p99_9 (percentiles 0.1 and 99.9); and for one plane of integers of more than 8 bits sha256_u8_norm, of
    its pixels stretched to 8 bits between these. What cannot be told is None. Of an image of more than
    `MEASURED` bytes the pixels are not read, unless `pixels` asks for them; a ``note`` says so. It takes little more
    memory than the pixels do, or a copy of them for fractions and for whole numbers far apart.
    """
    for scene in formats.scenes(path):
        size = math.prod(scene.shape) * scene.dtype.itemsize
        large = (size > MEASURED or isinstance(path, Url)) and not pixels
        # To read a scene may unpack it, for what stands behind its pixels.
        record = Record(scene.name or path.name, named(Path(path.name))[1]) if large else formats.read(path, scene.name)
        told: dict[str, Any] = {
            "file": str(path),
            "format": _sniffed(path),
            "scene": scene.name,
            "axes": "".join(scene.axes) if all(len(a) == 1 for a in scene.axes) else list(scene.axes),
            "shape": list(scene.shape),
            "dtype": scene.dtype.name,
            "um_per_px": _pixel(scene.axes, scene.scale),
            **{level: record.groups.get(level) for level in ("plate", "well", "field")},
            "channel": scene.channels[0] if len(scene.channels) == 1 else list(scene.channels) or _channel(path),
        }
        told |= _pixels(record.layers.get(scene.layer))
        if large:
            why = "they lie behind an address" if isinstance(path, Url) else f"more than {MEASURED >> 20} MiB"
            told["note"] = f"the pixels, {size >> 20} MiB, were not read: {why} (--pixels)"
        yield told, {**scene.facts, **record.facts}


def corpus_facts(corpus: Corpus) -> dict[str, Any]:
    """A corpus in a few plain values: records, layers, plates, splits, digest."""
    layers: dict[str, int] = {}
    plates: dict[str, int] = {}
    for entry in corpus.entries.values():
        for name in entry.layers:
            layers[name] = layers.get(name, 0) + 1
        if plate := entry.groups.get("plate"):
            plates[plate] = plates.get(plate, 0) + 1
    return {
        "corpus": str(corpus.place),
        "title": corpus.study.title,
        "recipe": corpus.recipe,
        "records": len(corpus),
        "digest": corpus.digest,
        "layers": layers,
        "plates": plates,
        "splits": {scheme: split.sizes for scheme, split in corpus.splits().items()},
    }


def folder_facts(folder: Path) -> dict[str, int]:
    """How many files of each format lie in a folder and below it; those that nobody knows are counted by suffix."""
    counts: dict[str, int] = {}
    for top, folders, files in os.walk(folder):
        inner = [f for f in folders if _sniffed(Path(top, f))]
        folders[:] = sorted(f for f in folders if f not in inner)
        for name in [*inner, *files]:
            try:
                found = formats.sniff(Path(top, name))
            except FormatError:
                found = f"unknown ({Path(name).suffix.lower() or 'no suffix'})"
            counts[found] = counts.get(found, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (item[0].startswith("unknown"), -item[1], item[0])))


def _is_corpus(path: Place) -> bool:
    if isinstance(path, Path):
        return (path / CORPUS).is_file()
    try:
        return vetted.first(path, [CORPUS]) is not None
    except StoreError as e:
        if e.rule != "url-denied":  # how a bucket that may not be listed says that there is no such file
            raise
        return False


def _pixels(image: object) -> dict[str, Any]:
    some = isinstance(image, Image) and image.nbytes > 0 and image.dtype.kind in "buif"
    return measured(cast("Image", image)) if some else dict.fromkeys(KEYS)


def _pixel(axes: tuple[str, ...], scale: tuple[float | None, ...]) -> float | list[float | None] | None:
    known = [s for a, s in zip(axes, scale, strict=False) if a in ("y", "x")]
    if not known or all(s is None for s in known):
        return None
    first = known[0]
    alike = first is not None and all(s is not None and math.isclose(s, first, rel_tol=1e-9) for s in known)
    return first if alike else known


def _channel(path: Place) -> str | None:
    name = parse(path.name)
    return name.channel if name else None


def _sniffed(path: Place) -> str | None:
    """The format of a file or folder; None where no reader knows it, or only its name tells."""
    try:
        return formats.sniff(path)
    except FormatError:
        return None


def _scene(told: Mapping[str, Any], facts: Mapping[str, Fact]) -> None:
    rows = [(k, _said(k, v)) for k, v in told.items() if k not in ("file", "scene") and v is not None]
    if told["um_per_px"] is None:
        rows.append(("um_per_px", "unknown"))
    for name, fact in facts.items():
        rows.append((name, f"{fact.value}{f' {fact.unit}' if fact.unit else ''} ({fact.source})"))
    _lines(told["file"] if told["scene"] in ("", Path(told["file"]).stem) else f"{told['file']}: {told['scene']}", rows)


def _said(key: str, value: Any) -> str:
    if key == "shape":
        return " x ".join(str(n) for n in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)


def _corpus(told: Mapping[str, Any]) -> None:
    rows = [(k, str(told[k])) for k in ("title", "recipe", "records", "digest") if told[k] != ""]
    rows += [(f"layer {n}", f"{k} records") for n, k in told["layers"].items()]
    rows += [(f"plate {n}", f"{k} records") for n, k in told["plates"].items()]
    for scheme, sizes in told["splits"].items():
        rows.append((f"split {scheme}", ", ".join(f"{part} {n}" for part, n in sizes.items())))
    _lines(str(told["corpus"]), rows)


def _lines(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns; what cannot be printed is spelt out."""
    width = max((len(name) for name, _ in rows), default=0)
    for line in [title, *(f"  {name:<{width}}  {value}" for name, value in rows)]:
        print(line if line.isprintable() else ascii(line))
