"""A corpus that is read from where it lies."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.afar import Server, closed, serving
from tests.corpus import sample
from typer.testing import CliRunner

import corpuscle
from corpuscle.blocks.shelf import Made
from corpuscle.cli.app import app
from corpuscle.core import Box, Image
from corpuscle.corpus import afar
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError, CorpusError, RecordMissing, StoreError
from corpuscle.formats import storage
from corpuscle.store import digest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.build(tmp_path_factory.mktemp("served") / "bucket" / "corpus")


@pytest.fixture
def server(built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(storage, "PATIENCE", 8.0)
    for name, value in (("max_retries", 1), ("initial_delay", "0.05s")):
        monkeypatch.setitem(storage._RETRIES, name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    storage.keep(storage.CACHE_BYTES)
    with serving(built.parents[1]) as told:
        yield told


def ways(server: Server) -> list[str]:
    return [f"{server.url}/bucket/corpus", server.s3("bucket/corpus/")]


# -- laws ---------------------------------------------------------------------------------------------------------


def test_every_layer_from_afar_is_that_on_disk(server: Server, built: Path) -> None:
    near = Corpus.open(built)
    for way in ways(server):
        far = corpuscle.open(way)
        assert list(far) == list(near)
        assert (far.digest, far.recipe, far.study) == (near.digest, near.recipe, near.study)
        assert dict(far.entries) == dict(near.entries)
        assert far.splits() == near.splits()
        assert far.guesses() == near.guesses()
        for name in near:
            assert far[name].layers.keys() == near[name].layers.keys()
            assert (far[name].groups, far[name].facts) == (near[name].groups, near[name].facts)
            for layer in near[name].layers:
                assert digest.of_layer(far[name][layer]) == digest.of_layer(near[name][layer]), (name, layer)


def test_it_crosses_to_a_worker(server: Server, built: Path) -> None:
    shelf = pickle.loads(pickle.dumps(corpuscle.open(ways(server)[0]).shelf))
    assert hash(shelf) == hash(afar.FarShelf(shelf.root))
    name = sample_name()
    assert np.array_equal(shelf.record(name).image("nuclei").read(), Corpus.open(built)[name].image("nuclei").read())
    assert shelf.made(name) == Corpus.open(built).shelf.made(name)
    assert shelf.has(name)
    assert not shelf.has("none such")


# -- known answers ------------------------------------------------------------------------------------------------


def test_one_record_costs_a_few_small_files(server: Server) -> None:
    far = corpuscle.open(ways(server)[0])
    name = sample_name()
    server.log.clear()
    image = far[name].image("raw")
    assert len(server.asked("/record.json")) == 1
    assert not server.asked("/c/"), "no pixels are read"
    image.read(Box((0, 0, 0), (1, 8, 8)))
    assert len(server.asked("/0/c/")) == 1, "one channel of two, one chunk of each"


def test_what_is_in_it_by_command(server: Server, built: Path) -> None:
    for way in ways(server):
        told = CliRunner().invoke(app, ["info", way, "--json"])
        assert told.exit_code == 0, told.output
        near = json.loads(CliRunner().invoke(app, ["info", str(built), "--json"]).output)
        assert {**json.loads(told.output), "corpus": ""} == {**near, "corpus": ""}


@pytest.mark.parametrize("absent", [404, 403])
def test_an_image_by_command(server: Server, built: Path, absent: int) -> None:
    server.absent = absent
    zarr = next(p for p in sorted(built.rglob("*.zarr")) if p.parent.name != "plates").relative_to(built).as_posix()
    told = CliRunner().invoke(app, ["info", f"{ways(server)[0]}/{zarr}", "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.output)
    assert said["format"] == "omezarr"
    assert "behind an address" in said["note"]


# -- what cannot be -----------------------------------------------------------------------------------------------


def test_nothing_is_written(server: Server) -> None:
    for way in ways(server):
        far = corpuscle.open(way)
        name = sample_name()
        before = len(server.log)
        record = far[name]
        guess = Image(record.image("nuclei").read(), record.image("nuclei").space, labels_of="raw")
        with pytest.raises(CorpusError) as e:
            far.put(name, "nuclei@mine", guess)
        assert e.value.rule == "url-write"
        with pytest.raises(CorpusError) as e:
            far.shelf.put(record, ["nuclei"], Made("", {}))
        assert e.value.rule == "url-write"
        with pytest.raises(CorpusError) as e:
            assert far.layout
        assert e.value.rule == "url-write"
        assert len(server.log) >= before


def test_what_is_not_there(server: Server, built: Path) -> None:
    with pytest.raises(RecordMissing):
        corpuscle.open(ways(server)[0])["none such"]
    with pytest.raises(CorpusError, match="no corpus here"):
        corpuscle.open(f"{server.url}/bucket")
    with pytest.raises(StoreError) as e:
        corpuscle.open(closed())
    assert e.value.rule == "url-down"


@pytest.mark.parametrize(
    ("part", "fault", "rule"),
    [
        ("corpus.json", "500", "url-down"),
        ("corpus.json", "torn", "json-torn"),
        ("index.parquet", "404", "url-missing"),
        ("index.parquet", "torn", "parquet-corrupt"),
        ("record.json", "404", "record-missing"),
        ("record.json", "longer", "json-torn"),
        ("objects.parquet", "404", "url-missing"),
        ("objects.parquet", "torn", "seal"),
        ("neighbours.geff/zarr.json", "404", "url-missing"),
        ("neighbours.geff/nodes/ids/zarr.json", "longer", "seal"),
        ("neighbours.geff/nodes/ids/c/", "404", "zarr-missing"),
        ("neighbours.geff/nodes/ids/c/", "torn", "zarr-corrupt"),
        ("neighbours.geff/nodes/ids/c/", "cut", "url-down"),
    ],
)
def test_a_fault_is_told(server: Server, part: str, fault: str, rule: str) -> None:
    server.faults[part] = fault  # type: ignore[assignment]
    for way in ways(server):
        with pytest.raises(CorpuscleError) as e:
            list(corpuscle.open(way)[sample_name()].layers.values())
        assert e.value.rule == rule, e.value
        assert "corpuscle-" not in str(e.value), "the place that is named is the address"


def sample_name() -> str:
    plate, well, name = sample.FIELDS[0]
    return f"{plate}_{well}{name}"


def test_a_record_that_was_changed_is_told(server: Server, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "bucket" / "corpus")
    path = next(iter((tmp_path / "bucket").rglob("record.json")))
    path.write_text(path.read_text().replace('"p1"', '"p9"').replace('"p2"', '"p9"'))
    with serving(tmp_path) as other:
        entries = corpuscle.open(f"{other.url}/bucket/corpus").entries
        with pytest.raises(CorpusError) as e:
            dict(entries)
    assert e.value.rule == "record-checksum"
