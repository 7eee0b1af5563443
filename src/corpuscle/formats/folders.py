"""What lies in a folder: its files, and those of them that belong together by where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from corpuscle.formats.pairs import subject


def walk(raw: Path) -> Iterator[Path]:
    """Every file below a folder, or the one file; links are followed, no folder twice, in the order of names.

    Hidden files are passed over, and so are OME-Zarr images, which are folders.
    """
    if raw.is_file():
        yield raw
        return
    seen = {raw.resolve()}
    for top, folders, names in os.walk(raw, followlinks=True):
        inner = []
        for folder in sorted(f for f in folders if not f.startswith(".") and not f.endswith(".zarr")):
            if (real := Path(top, folder).resolve()) not in seen:
                seen.add(real)
                inner.append(folder)
        folders[:] = inner
        yield from (Path(top, n) for n in sorted(names) if not n.startswith("."))


def spelled(path: Path) -> bool:
    """Whether a path can be written down: some old file systems hold names that are no text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def samples(files: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """Folders in the layout of DSB2018, each with its files: one picture in images/, a mask per object in masks/.

    Folders of pictures with an annotation of the same name each are none: those are pairs.
    """
    found: dict[Path, dict[str, list[Path]]] = {}
    for path in files:
        if path.suffix.lower() == ".png" and path.parent.name in ("images", "masks"):
            found.setdefault(path.parent.parent, {}).setdefault(path.parent.name, []).append(path)
    out = {}
    for folder, by in found.items():
        images, objects = by.get("images", []), by.get("masks", [])
        if len(images) != 1:
            continue
        about = subject(images[0].stem)[0]
        if images[0].stem == folder.name or (objects and about not in {subject(p.stem)[0] for p in objects}):
            out[folder] = (*images, *objects)
    return out
