"""Eight small records on one plate, with a good guess and a bad one, and names that no page should trust."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpuscle.blocks.shelf import Made
from corpuscle.core import Fact, Image, Licence, Person, Record, Space, Study, Table
from corpuscle.corpus.complete import complete
from corpuscle.corpus.corpus import Corpus, write_header
from corpuscle.corpus.layout import Layout
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.corpus.split import Split

EVIL = '<script>alert("x")</script>'
STUDY = Study(
    title=f"Small & {EVIL}",
    description="Eight fields 'of' \"dots\"",
    authors=(Person("A. <b>Author</b>"),),
    licences={"images": Licence("CC0-1.0")},
    known_issues=(f"a flaw {EVIL}",),
)


def small(root: Path, *, n: int = 8, side: int = 96) -> Corpus:
    """Write it under `root`."""
    rng = np.random.default_rng(3)
    root.mkdir(parents=True, exist_ok=True)
    write_header(Layout(root), "nuclei", STUDY)
    shelf = DiskShelf(root)
    names = []
    for i in range(n):
        name = f"p1_A0{i // 2 + 1}f0{i % 2}" if i else f"p1_A01f00 {EVIL}"
        names.append(name)
        truth, raw = _field(rng, side)
        record = Record(
            name,
            {"plate": "p1", "well": f"A0{i // 2 + 1}", "field": f"f0{i % 2}"},
            {
                "raw": Image(raw, Space("yx", scale=(0.5, 0.5) if i % 2 else ())),
                "nuclei": Image(truth, Space("yx"), labels_of="raw"),
                "objects": _objects(truth),
                "intensity": Table({"channel": np.array(["0"], object), "p_lo": np.array([90.0]),
                                    "p_hi": np.array([900.0])}),
            },
            {"missing_channels": Fact("d1")} if i == 2 else {},
        )  # fmt: skip
        shelf.put(record, list(record.layers), Made("", {}))
        good, bad = truth.copy(), truth.copy()
        good[truth == 1] = 0
        bad[truth > 0] = 1
        bad[:4, :4] = 2
        for guess, labels, mark in (("nuclei@good", good, "a"), ("nuclei@bad", bad, "b")):
            record = record.with_layer(guess, Image(labels, Space("yx"), labels_of="raw"))
            shelf.put(record, [guess], Made(mark * 64, {}, step={"op": {"name": "x.y:labelled", "with": {"sigma": 2}}}))
    return complete(root, "nuclei", STUDY, [Split("published", {"train": tuple(names[:5]), "test": tuple(names[5:])})])


def _field(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Five discs that do not touch, and a picture of them."""
    truth = np.zeros((side, side), np.int32)
    y, x = np.mgrid[:side, :side]
    for k in range(5):
        cy, cx = 16 + 32 * (k // 3), 16 + 32 * (k % 3)
        truth[(y - cy) ** 2 + (x - cx) ** 2 <= rng.integers(4, 11) ** 2] = k + 1
    raw = (100 + 700 * (truth > 0) + rng.normal(0, 20, truth.shape)).astype(np.uint16)
    return truth, raw


def _objects(truth: np.ndarray) -> Table:
    label, area = np.unique(truth[truth > 0], return_counts=True)
    return Table({"label": label, "area": area.astype(np.float64)}, {"area": "px2"}, about="nuclei")
