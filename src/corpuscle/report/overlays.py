"""Truth and guess drawn over the picture: whole records, and crops of the objects that went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Image, truth_of
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.layout import primary
from corpuscle.errors import CorpuscleError
from corpuscle.report import worst
from corpuscle.report.outline import outline
from corpuscle.report.picture import plane, stretched, uri

PICTURE = 640
"""Pictures of whole records are halved until they are no wider than this; outlines stay as they are."""
SHOWN = 1536
"""Of larger records the middle is shown."""
PATH = 600_000
"""Outlines of more letters than this are too much for a page, or for an eye."""
CROP = 72
MARGIN = 12
LARGEST = 200
PER_RECORD = 2
LARGE = 64 << 20
"""Records of more pixels than this are not drawn."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture with two outlines; `width` and `height` are in pixels of the record, as are the outlines."""

    record: str
    uri: str
    width: int
    height: int
    truth: str
    guess: str
    caption: str
    title: str


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """One record in memory: its picture in 8 bits, its truth, its guess."""

    picture: NDArray[np.uint8]
    truth: NDArray[Any]
    guess: NDArray[Any]


def whole(corpus: Corpus, names: Sequence[tuple[str, str]], guess: str) -> list[Overlay]:
    """Records with their outlines, of those too large or too crowded the middle; `names` says what of each."""
    out = []
    for name, said in names:
        planes = _planes(corpus, name, guess)
        if planes is None:
            continue
        n_truth, n_guess = (len(np.unique(x[x != 0])) for x in (planes.truth, planes.guess))
        title = f"record {name}: {n_truth} objects in the truth, {n_guess} in the guess {guess}"
        full = planes.picture.shape
        side = max(full)
        while True:
            box = _middle(full, side)
            drawn = _drawn(name, planes, box, caption=said, title=title)
            if side <= LARGEST or (side <= SHOWN and len(drawn.truth) + len(drawn.guess) <= PATH):
                break
            side = min(SHOWN, side // 2)
        part = "" if box.shape == full else f"; its middle {box.shape[0]} x {box.shape[1]} px"
        out.append(replace(drawn, caption=said + part, uri=uri(_halved(planes.picture[box.slices]))))
    return out


def crops(
    corpus: Corpus, scores: Mapping[str, Mapping[str, float]], guess: str, *, most: int = 8, records: int = 24
) -> dict[worst.Kind, list[Overlay]]:
    """Up to `most` crops of each kind of fault, from the worst records first, and no more than two of a kind from each.

    Parameters
    ----------
    scores
        Record to its scores; those of lowest mean F1 come first, and `records` of them are opened at most.
    """
    out: dict[worst.Kind, list[Overlay]] = {kind: [] for kind in worst.KINDS}
    for name in ranked(scores)[:records]:
        if all(len(some) >= most for some in out.values()):
            break
        planes = _planes(corpus, name, guess)
        if planes is None:
            continue
        taken = dict.fromkeys(worst.KINDS, 0)
        for fault in worst.faults(planes.truth, planes.guess):
            if len(out[fault.kind]) < most and taken[fault.kind] < PER_RECORD:
                taken[fault.kind] += 1
                out[fault.kind].append(_crop(name, planes, fault))
    return {kind: some for kind, some in out.items() if some}


def ranked(scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Records from the worst to the best, by mean F1; those where it is undefined are left out."""
    known = {n: s.get("mean_f1", float("nan")) for n, s in scores.items()}
    return sorted((n for n, v in known.items() if v == v), key=lambda n: (known[n], n))


def _crop(name: str, planes: _Planes, fault: worst.Fault) -> Overlay:
    side = planes.guess if fault.kind in ("merged", "invented") else planes.truth
    box = worst.box_of(side, fault.label, margin=MARGIN, least=CROP, most=LARGEST)
    title = (
        f"record {name}, {'guess' if side is planes.guess else 'truth'} object {fault.label}, "
        f"rows {box.start[0]} to {box.stop[0]}, columns {box.start[1]} to {box.stop[1]}; "
        f"{fault.area} px, best IoU {fault.iou:.2f}, {fault.partners} partner{'s' * (fault.partners != 1)}"
    )
    caption = {
        "missed": f"{fault.area} px",
        "invented": f"{fault.area} px",
        "split": f"{fault.partners} pieces",
        "merged": f"{fault.partners} objects",
        "outline": f"IoU {fault.iou:.2f}",
    }[fault.kind]
    drawn = _drawn(name, planes, box, caption=caption, title=title)
    if len(drawn.truth) + len(drawn.guess) > PATH // 8:
        box = worst.box_of(side, fault.label, margin=MARGIN, least=CROP, most=CROP)
        drawn = _drawn(name, planes, box, caption=caption, title=title)
    return replace(drawn, uri=uri(planes.picture[box.slices]))


def _drawn(name: str, planes: _Planes, box: Box, *, caption: str, title: str) -> Overlay:
    """The outlines within a box, without the picture yet."""
    part = box.shape != planes.truth.shape
    truth, guess = (outline(x[box.slices], cut=part) for x in (planes.truth, planes.guess))
    return Overlay(name, "", box.shape[1], box.shape[0], truth, guess, caption, title)


def _middle(full: Sequence[int], side: int) -> Box:
    """The middle of an array, at most `side` pixels along each axis."""
    start = tuple(max(0, n - side) // 2 for n in full)
    return Box(start, tuple(a + min(n, side) for a, n in zip(start, full, strict=True)))


def _planes(corpus: Corpus, name: str, guess: str) -> _Planes | None:
    """The three planes of a record; None where one is missing, broken, of another shape or too large to draw."""
    try:
        record = corpus[name]
        shown = primary(record)
        layers = [record.layers.get(n) for n in (shown or "", truth_of(guess), guess)]
        images = [x for x in layers if isinstance(x, Image) and 0 < x.box.size <= LARGE]
        if len(images) < 3:
            return None
        picture, truth, answer = (plane(x) for x in images)
        if not picture.shape == truth.shape == answer.shape:
            return None
        return _Planes(stretched(picture), truth, answer)
    except CorpuscleError:
        return None


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = -(-max(picture.shape) // PICTURE)
    rows, columns = (n // step * step for n in picture.shape)
    if step == 1 or not rows or not columns:
        return picture
    blocks = picture[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8))
