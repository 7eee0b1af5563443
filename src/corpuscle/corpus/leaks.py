"""The audit of a corpus: its records' groups, its pictures' fingerprints, and the split in question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuscle.core import Box, Image
from corpuscle.corpus.afar import AnyShelf
from corpuscle.corpus.audit import Item, Leak, audit
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.duplicates import Match, find
from corpuscle.corpus.entry import Entry
from corpuscle.corpus.layout import primary
from corpuscle.corpus.split import Split


def leaks_of(corpus: Corpus, split: Split, *, copies: Iterable[Match] = ()) -> tuple[Leak, ...]:
    """What leaks between the parts of a split, and what one part holds twice; `copies` come from `twins`."""
    items = {n: _item(corpus.shelf, e) for n, e in corpus.acquired.items()}
    copies = tuple(copies)
    return (*audit(split, items, duplicates=copies), *_repeated(split, copies))


def _item(shelf: AnyShelf, e: Entry) -> Item:
    """A record as the audit sees it: with the box it covers on its plate, where its files tell a position and a scale.

    Positions come from the stage (facts ``stage_x`` and ``stage_y``, the middle of the field in micrometres), or
    from the origin of the image where that is not zero.
    """
    place = {a: e.facts[f"stage_{a}"].value for a in "yx" if f"stage_{a}" in e.facts}
    image = next((shelf.layer(e, n) for n, x in e.layers.items() if x.kind == "image"), None)
    if not isinstance(image, Image) or not {"y", "x"} <= set(image.space.axes):
        return Item(e.name, e.groups)
    start, stop = [], []
    for axis in "yx":
        i = image.space.index(axis)
        scale, size, at = image.space.scale[i], image.shape[i], place.get(axis)
        if scale is None or (not isinstance(at, (int, float)) and not any(image.space.origin)):
            return Item(e.name, e.groups)
        first = float(at) / scale - size / 2 if isinstance(at, (int, float)) else image.space.origin[i] / scale
        start.append(round(first))
        stop.append(round(first) + size)
    return Item(e.name, e.groups, Box(tuple(start), tuple(stop)), next(iter(e.groups.values()), image.space.frame))


def unsplit(corpus: Corpus) -> Split:
    """All records as one part: what an audit of a corpus without a split looks at."""
    return Split("none", {"all": tuple(corpus.acquired)})


def _repeated(split: Split, copies: Iterable[Match]) -> Iterator[Leak]:
    """Copies that lie in one part: no leak, but one picture counted as two."""
    for match in copies:
        for part in split.parts:
            if match.a in split.parts[part] and match.b in split.parts[part]:
                how = "to the pixel" if match.exact else f"{match.transform}, score {match.score:.2f}"
                pair = f"{match.a}, {match.b}"
                yield Leak("duplicate", pair, {part: (match.a, match.b)}, "minor", f"keep one of them ({how})")


def twins(corpus: Corpus) -> tuple[Match, ...]:
    """Records that show the same picture, or nearly."""
    shelf = corpus.shelf
    loaders: dict[str, Callable[[], NDArray[Any]]] = {
        n: partial(_picture, shelf, n)
        for n, e in corpus.acquired.items()
        if any(x.kind == "image" for x in e.layers.values())
    }
    return tuple(find(loaders))


def _picture(shelf: AnyShelf, name: str) -> NDArray[Any]:
    """The first channel of a record's own image, in two dimensions."""
    record = shelf.record(name)
    layer = primary(record)
    assert layer is not None, "asked only for records with an image"
    image = record.image(layer)
    data, space = image.read(), image.space
    while data.ndim > 2:
        axis = next(i for i, a in enumerate(space.axes) if a not in "yx")
        data, space = np.take(data, 0, axis), space.without(space.axes[axis])
    return data
