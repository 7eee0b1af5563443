"""A corpus as a person holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import corpuscle
from corpuscle.blocks.shelf import Made
from corpuscle.core import Fact, Graph, Image, Record, Shape, Shapes, Space, Study, Table
from corpuscle.corpus.complete import complete, write_splits
from corpuscle.corpus.corpus import Corpus
from corpuscle.corpus.layout import layer_slug, slug
from corpuscle.corpus.leaks import leaks_of
from corpuscle.corpus.split import Split
from corpuscle.errors import CorpusError, RecordMissing, SettingsError


def everything(name: str, seed: int = 0) -> Record:
    rng = np.random.default_rng(seed)
    space = Space("yx", scale=(0.5, 0.5))
    labels = np.zeros((30, 40), np.int32)
    labels[3:9, 3:9] = 4
    return Record(
        name,
        {"animal": "m1", "organ": "kidney"},
        {
            "raw": Image(rng.integers(0, 999, (30, 40)).astype(np.uint16), space),
            "nuclei": Image(labels, space, labels_of="raw"),
            "links": Graph.of(space, np.array([[1, 2], [3, 4]]), weight=np.array([1.0, 2.0])),
            "drawn": Shapes(("y", "x"), (Shape("polygon", np.array([[0, 0], [0, 4], [4, 4]]), label="nucleus"),)),
            "rows": Table({"label": np.array([4]), "area": np.array([36.0])}, {"area": "px2"}, about="nuclei"),
        },
        {"day": Fact(3, "d", "person"), "odd": Fact(None)},
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path / "c")
    names = ["plain", "Plain", "with space/and slash", "ünï\ncode", "../../etc"]
    for i, name in enumerate(names):
        record = everything(name, i)
        corpus.shelf.put(record, list(record.layers), Made("", {}))
    return complete(corpus.root, "none", Study("Test"))


def test_what_is_put_comes_back(corpus: Corpus) -> None:
    for i, name in enumerate(["plain", "Plain", "with space/and slash", "ünï\ncode", "../../etc"]):
        put, got = everything(name, i), corpus[name]
        assert (got.name, dict(got.groups), dict(got.facts)) == (name, dict(put.groups), dict(put.facts))
        assert list(got.layers) == list(put.layers)
        for layer in ("raw", "nuclei"):
            a, b = put.image(layer), got.image(layer)
            assert (a.space, a.labels_of, a.dtype) == (b.space, b.labels_of, b.dtype)
            np.testing.assert_array_equal(a.read(), b.read())
        np.testing.assert_array_equal(put.graph("links").positions, got.graph("links").positions)
        assert put.table("rows").units == got.table("rows").units
        assert got.shapes("drawn").items[0].label == "nucleus"


def test_nothing_lies_outside_and_names_never_collide(corpus: Corpus, tmp_path: Path) -> None:
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]
    assert len(corpus) == 5
    assert slug("plain") != slug("Plain")
    assert slug("plain").lower() != slug("Plain").lower()
    assert layer_slug("../x", "").count("/") == 0


def test_the_digest_knows_inputs_and_not_guesses(corpus: Corpus) -> None:
    before = corpus.digest
    labels = corpus["plain"].image("nuclei")
    corpus.put("plain", "nuclei@mine", labels)
    assert corpus.guesses("nuclei") == ["nuclei@mine"]
    assert complete(corpus.root, "none", Study("Test")).digest == before
    assert complete(corpus.root, "none", Study("Another")).digest != before


def test_truth_is_never_written_over(corpus: Corpus) -> None:
    with pytest.raises(SettingsError, match="no guess"):
        corpus.put("plain", "nuclei", corpus["plain"].image("nuclei"))
    with pytest.raises(SettingsError):
        corpus.put("plain", "nuclei@x", Image(np.zeros((3, 3), int), Space("yx"), labels_of="raw"))


def test_a_guess_put_again_takes_the_place_of_the_first(corpus: Corpus) -> None:
    space = corpus["plain"].image("raw").space
    for value in (1, 2):
        corpus.put("plain", "nuclei@mine", Image(np.full((30, 40), value, np.int32), space, labels_of="raw"))
    assert corpus["plain"].image("nuclei@mine").read().max() == 2
    folder = corpus.root / corpus.entries["plain"].layers["raw"].path / "labels"
    assert sum(p.name.startswith("nuclei.mine") for p in folder.iterdir()) == 1


def test_splits_keep_absent_names_apart(corpus: Corpus) -> None:
    write_splits(corpus.root, {"published": Split("published", {"train": ("plain",), "test": ("Plain", "gone")})})
    again = corpuscle.open(corpus.root)
    assert again.splits()["published"].parts == {"train": ("plain",), "test": ("Plain",)}
    assert again.splits(absent=True)["published"].parts["test"] == ("Plain", "gone")
    assert again.digest == corpus.digest


def test_missing_things_are_named(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(RecordMissing, match="plain"):
        corpus["PLAI"]
    with pytest.raises(CorpusError, match="no corpus here"):
        corpuscle.open(tmp_path)


def test_reprs_say_what_there_is(corpus: Corpus) -> None:
    assert "5 records" in repr(corpus)
    assert "nuclei" in repr(corpus["plain"])


def test_fields_that_overlap_across_parts_are_found(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "c")
    for name, x in (("a", 10.0), ("b", 25.0), ("c", 500.0)):
        space = Space("yx", scale=(0.5, 0.5), origin=(10.0, x))
        rng = np.random.default_rng(int(x))
        image = Image(rng.integers(0, 99, (40, 40)).astype(np.uint16), space)
        record = Record(name, {"plate": "p", "well": name}, {"raw": image})
        corpus.shelf.put(record, ["raw"], Made("", {}))
    corpus = complete(corpus.root, "none", Study("Test"))
    leaks = leaks_of(corpus, Split("s", {"train": ("a", "c"), "test": ("b",)}))
    assert [(k.kind, k.value) for k in leaks if k.kind != "plate"] == [("overlap", "a and b")]


def test_what_a_killed_writer_left_is_swept(corpus: Corpus) -> None:
    # A kill between writing a file aside and renaming it left the part for good.
    home = corpus.layout.record("plain")
    image = corpus.root / corpus.entries["plain"].layers["raw"].path
    parts = [home / ".record.json.1-ab.part", image / "labels" / ".zarr.json.1-ab.part", corpus.root / ".x.1-ab.part"]
    for part in parts:
        part.write_bytes(b"")
    corpus.put("plain", "nuclei@mine", corpus["plain"].image("nuclei"))
    complete(corpus.root, "none", Study("Test"))
    assert not [p for p in parts if p.exists()]
