"""A small corpus with something of everything: plates, labels, guesses, tables, graphs, shapes, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpuscle.blocks.shelf import Made
from corpuscle.core import Channel, Graph, Image, Layer, Licence, Record, Shape, Shapes, Space, Study, Table
from corpuscle.corpus.complete import complete, write_splits
from corpuscle.corpus.corpus import write_header
from corpuscle.corpus.shelf import DiskShelf
from corpuscle.corpus.split import Split

STUDY = Study(
    "Nuclei of a small plate",
    "Discs on noise, each of them outlined.",
    licences={"images": Licence("CC0-1.0", "fabricated"), "annotations": Licence("CC0-1.0", "fabricated")},
    organisms=("Homo sapiens",),
)
STEP = Made("0123456789abcdef", {"raw": "0" * 64}, "", {"op": {"name": "tests:discs", "with": {}}})
FIELDS = (("p1", "B03", "f00"), ("p1", "B03", "f01"), ("p1", "C11", "f00"), ("p2", "A01", "f00"))
SHAPE = (2, 264, 60)


def discs(seed: int, *, shift: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    rng = np.random.default_rng(seed)
    out = np.zeros(SHAPE[1:], np.int32)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    for i, (cy, cx) in enumerate([(a, b) for a in range(24, 260, 36) for b in (16, 44)], 1):
        out[(y - cy - shift) ** 2 + (x - cx) ** 2 < rng.integers(4, 12) ** 2] = i
    return out


def field(plate: str, well: str, name: str, seed: int) -> Record:
    rng = np.random.default_rng(seed)
    space = Space("cyx", scale=(None, 0.645, 0.645))
    pixels = rng.integers(100, 900, SHAPE, np.uint16) + (discs(seed) > 0).astype(np.uint16) * np.uint16(1500)
    raw = Image(pixels, space, (Channel("DNA"), Channel("actin")))
    truth = Image(discs(seed), space.without("c"), labels_of="raw")
    labels, areas = np.unique(truth.read()[truth.read() > 0], return_counts=True)
    centres = np.array([np.argwhere(truth.read() == v).mean(0) for v in labels])
    table = Table({"label": labels, "area": areas.astype(float)}, {"area": "px2"}, about="nuclei")
    edges = np.array([[i, i + 1] for i in range(len(labels) - 1)])
    graph = Graph.of(space.without("c"), centres, label=labels)
    graph = Graph(graph.axes, graph.positions, edges, graph.node_props, {"w": edges[:, 0] * 0.5}, graph.units)
    drawn = Shapes(("y", "x"), (Shape("box", np.array([[1.0, 2], [30, 40]]), label="region"),))
    groups = {"plate": plate, "well": well, "field": name}
    layers: dict[str, Layer] = {"raw": raw, "nuclei": truth, "objects": table, "neighbours": graph, "regions": drawn}
    return Record(f"{plate}_{well}{name}", groups, layers)


def build(root: Path) -> Path:
    """A corpus of four fields on two plates and one picture of no plate."""
    shelf = DiskShelf(root)
    root.mkdir(parents=True)
    write_header(shelf.layout, "nuclei", STUDY)
    names = []
    for seed, (plate, well, name) in enumerate(FIELDS):
        record = field(plate, well, name, seed)
        shelf.put(record, list(record.layers), Made("", {}))
        guess = Image(discs(seed, shift=1), record.image("nuclei").space, labels_of="raw")
        shelf.put(record.with_layer("nuclei@discs", guess), ["nuclei@discs"], STEP)
        names.append(record.name)
    alone = Record("Picture é 1", {}, {"raw": Image(np.arange(600, dtype=np.uint8).reshape(20, 30), Space("yx"))})
    shelf.put(alone, ["raw"], Made("", {}))
    names.append(alone.name)
    complete(root, "nuclei", STUDY, [Split("published", {"train": tuple(names[:2]), "test": ("gone_1", names[3])})])
    write_splits(root, {"ours": Split("ours", {"train": tuple(names[1:]), "test": (names[0],)})})
    return root
