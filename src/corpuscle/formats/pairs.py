"""Which picture goes with which annotation, told by names and folders."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpuscle.errors import FormatError

ANNOTATION = frozenset(
    (
        "annotation",
        "annotations",
        "gt",
        "instance",
        "instances",
        "label",
        "labels",
        "labelled",
        "mask",
        "mask2d",
        "masks",
        "nuclei",
        "objects",
        "seg",
        "segmentation",
    )
)
PICTURE = frozenset(("image", "images", "img", "img2d", "imgs", "raw"))


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture, and the annotation of it where there is one."""

    name: str
    picture: Path
    annotation: Path | None = None


def pairs(files: Iterable[Path], root: Path) -> Iterator[Pair | FormatError]:
    """Pictures with their annotations, in the order of names.

    A word of a file's name, or the folder it lies in, says what it is: ``a.png`` with
    ``a_objects.png``, ``x_img2d.tif`` with ``x_mask2d.tif``, ``images/7.tif`` with ``labels/7.tif``.
    An annotation without its picture, or with two, is an error of rule ``annotation-orphan`` or
    ``annotation-ambiguous``.
    """
    pictures: defaultdict[tuple[str, ...], list[Path]] = defaultdict(list)
    annotations: defaultdict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in files:
        key, is_annotation = _key(path, root)
        (annotations if is_annotation else pictures)[key].append(path)
    found: list[tuple[Path, Path | None]] = []
    for key, paths in pictures.items():
        own = annotations.pop(key, [])
        if len(own) == 1 and len(paths) == 1:
            found.append((paths[0], own[0]))
            continue
        for path in own:
            yield FormatError(
                f"{len(paths)} pictures and {len(own)} annotations answer to one name: {[p.name for p in paths][:3]}",
                where=path,
                fix="give each annotation the name of its picture and one word, as in a.png and a_objects.png",
                rule="annotation-ambiguous",
            )
        found += [(p, None) for p in paths]
    for paths in annotations.values():
        for path in paths:
            yield FormatError(
                "an annotation without its picture",
                where=path,
                fix="put the picture beside it",
                rule="annotation-orphan",
            )
    stems: defaultdict[str, int] = defaultdict(int)
    for picture, _ in found:
        stems[picture.stem] += 1
    for picture, annotation in sorted(found):
        inside = picture.relative_to(root) if picture != root else Path(picture.name)
        name = picture.stem if stems[picture.stem] == 1 else inside.with_suffix("").as_posix()
        yield Pair(name, picture, annotation)


def subject(name: str) -> tuple[str, bool]:
    """What a file's name is about, without the words that say what the file is; and whether it is an annotation.

    >>> subject("p1_B03f02d0_objects"), subject("dsb_img2d")
    (('p1_B03f02d0', True), ('dsb', False))
    """
    words = re.split(r"([_\-. ]+)", name)
    kept = [w for w in words if w.lower() not in ANNOTATION | PICTURE]
    plain = re.sub(r"[_\-. ]+", "_", "".join(kept)).strip("_")
    return plain, any(w.lower() in ANNOTATION for w in words)


def _key(path: Path, root: Path) -> tuple[tuple[str, ...], bool]:
    """What a picture and its annotation have in common, and whether this is the annotation."""
    folders = path.parent.relative_to(root).parts if path != root else ()
    plain, told = subject(path.stem)
    kept = [f for f in folders if f.lower() not in ANNOTATION | PICTURE]
    return (*kept, plain), told or any(f.lower() in ANNOTATION for f in folders)
