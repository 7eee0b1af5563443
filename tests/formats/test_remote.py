"""Images that are read from where they lie: http and s3, chunk by chunk, and what servers do wrong."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.afar import Server, closed, deaf, serving

import corpuscle
from corpuscle import formats
from corpuscle.core import Box, Channel, Image, Space
from corpuscle.errors import CorpuscleError, FormatError, FormatUnknown, SettingsError, StoreError
from corpuscle.formats import omezarr, storage
from corpuscle.formats.place import Url, driver, place
from corpuscle.formats.zarrays import ZarrArray

SHAPE = (40, 150, 170)


PIXELS = np.random.default_rng(3).integers(0, 4000, SHAPE, np.uint16)


def volume() -> Image:
    return Image(PIXELS, Space("zyx", scale=(1, 0.5, 0.5)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("served") / "bucket"
    top.mkdir()
    image = volume()
    omezarr.write(image, top / "volume.zarr")
    omezarr.write_labels(
        Image((image.read() > 2000).astype(np.int32), image.space, labels_of="raw"), top / "volume.zarr", name="bright"
    )
    plane = Image(np.arange(2 * 30 * 40, dtype=np.uint8).reshape(2, 30, 40), Space("cyx"), (Channel("a"), Channel("b")))
    omezarr.write(plane, top / "old one.zarr", version="0.4")
    return top.parent


@pytest.fixture
def server(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(storage, "PATIENCE", 8.0)
    monkeypatch.setitem(storage._RETRIES, "max_retries", 2)
    monkeypatch.setitem(storage._RETRIES, "initial_delay", "0.05s")
    monkeypatch.setitem(storage._RETRIES, "max_delay", "0.1s")
    storage.keep(storage.CACHE_BYTES)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with serving(root) as told:
        yield told


def ways(server: Server, name: str) -> list[str]:
    return [f"{server.url}/bucket/{name}", server.s3(f"bucket/{name}")]


# -- laws ---------------------------------------------------------------------------------------------------------


def test_a_box_read_from_afar_is_the_box_on_disk(server: Server, root: Path) -> None:
    near = omezarr.read_image(root / "bucket" / "volume.zarr")
    far = [omezarr.read_image(place(way)) for way in ways(server, "volume.zarr")]
    corner = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))

    @settings(max_examples=25)
    @given(corner, st.tuples(*(st.integers(1, n) for n in SHAPE)))
    def same(start: tuple[int, ...], size: tuple[int, ...]) -> None:
        box = Box(start, tuple(a + s for a, s in zip(start, size, strict=True))).clip(near.box)
        for image in far:
            assert np.array_equal(image.read(box), near.read(box))

    same()
    for image in far:
        assert image.space == near.space
        for k in range(1, 1 + len(near.levels)):
            assert np.array_equal(image.read(level=k), near.read(level=k))


def test_a_record_crosses_to_a_worker(server: Server) -> None:
    for way in ways(server, "volume.zarr"):
        record = pickle.loads(pickle.dumps(corpuscle.read(way)))
        assert np.array_equal(record.image("raw").read(), PIXELS)
        assert np.array_equal(record.image("bright").read(), PIXELS > 2000)
        assert record.image("bright").labels_of == "raw"


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(lambda n: n not in (".", "..")))
def test_any_name_can_be_joined(name: str) -> None:
    for base in ("https://host/a?sig=1", "s3://bucket/a?endpoint=http://h:1", "http://host"):
        joined = place(base) / name
        assert isinstance(joined, Url)
        assert pickle.loads(pickle.dumps(joined)) == joined
        assert place(str(joined)) == joined
        assert driver(joined)["path"].isprintable() or not name.isprintable()
        if name.isascii():
            assert joined.name == name
            assert driver(joined)["path"].endswith(f"{name}/")


# -- known answers ------------------------------------------------------------------------------------------------


def test_one_chunk_is_one_part_of_a_shard(server: Server) -> None:
    image = omezarr.read_image(place(f"{server.url}/bucket/volume.zarr"))
    server.log.clear()
    image.read(Box((0, 0, 0), (8, 8, 8)))
    asked = server.asked("/0/c/")
    assert len(asked) == 2, asked  # the index, then the chunk
    assert all(span is not None for span in asked)
    image.read(Box((0, 8, 8), (8, 16, 16)))
    assert len(server.asked("/0/c/")) == 2, "a chunk is not fetched again"


def test_metadata_is_not_asked_for_twice(server: Server) -> None:
    omezarr.read_image(place(f"{server.url}/bucket/volume.zarr"))
    assert len(server.log) == len({path for path, _ in server.log})


def test_version_two_and_a_name_with_a_space(server: Server) -> None:
    for way in (f"{server.url}/bucket/old%20one.zarr", server.s3("bucket/old%20one.zarr")):
        record = formats.read(way)
        assert record.name == "old one"
        assert record.image("raw").read()[1, 2, 3] == (1200 + 83) % 256
        assert [c.name for c in record.image("raw").channels] == ["a", "b"]


def test_a_bucket_that_may_not_be_listed(server: Server) -> None:
    server.absent = 403  # how it says that there is no such file
    way = server.s3("bucket/old%20one.zarr")
    assert formats.read(way).image("raw").read().shape == (2, 30, 40)


def test_scenes_and_sniff(server: Server) -> None:
    way = f"{server.url}/bucket/volume.zarr"
    assert formats.sniff(way) == "omezarr"
    assert formats.scenes(way)[0].shape == SHAPE
    assert formats.read(way, format="omezarr").name == "volume"


def test_keys_of_the_environment_sign_what_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    way = server.s3("bucket/volume.zarr")
    formats.read(way)
    assert not any("authorization" in h for h in server.headers)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-no-value")
    storage.keep(storage.CACHE_BYTES)
    server.headers.clear()
    formats.read(way)
    assert all("Credential=AKIDEXAMPLE/" in h["authorization"] for h in server.headers)


def test_what_the_storage_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000/")
    spec = driver(Url("s3://atlas/v1/a.zarr"))
    assert spec["endpoint"] == "http://minio:9000"
    assert (spec["bucket"], spec["path"], spec["aws_credentials"]) == ("atlas", "v1/a.zarr/", {"type": "anonymous"})
    assert driver(Url("s3://atlas?endpoint=http://other:1&region=eu"))["endpoint"] == "http://other:1"
    assert driver(Url("s3://atlas?region=eu"))["path"] == ""
    assert driver(Url("https://host/a%20b?sig=1")) == {
        "driver": "http",
        "base_url": "https://host?sig=1",
        "path": "/a b/",
    }


# -- what servers do wrong ----------------------------------------------------------------------------------------


def fails(server: Server, way: str) -> CorpuscleError:
    start = time.monotonic()
    with pytest.raises(CorpuscleError) as e:
        formats.read(way).image("raw").read(Box((0, 0, 0), (8, 8, 8)))
    assert time.monotonic() - start < 20
    assert e.value.fix
    assert server.url.rpartition(":")[2] in e.value.where
    return e.value


@pytest.mark.parametrize(
    ("part", "fault", "rule"),
    [
        ("zarr.json", "404", "json-missing"),
        ("/0/zarr.json", "404", "zarr-missing"),
        ("zarr.json", "403", "url-denied"),
        ("zarr.json", "500", "url-down"),
        ("zarr.json", "cut", "url-down"),
        ("zarr.json", "moved", "url-moved"),
        ("volume.zarr/zarr.json", "longer", "json-torn"),
        ("/c/", "403", "url-denied"),
        ("/c/", "500", "url-down"),
        ("/c/", "cut", "url-down"),
        ("/c/", "moved", "url-moved"),
        ("/c/", "longer", "zarr-corrupt"),
        ("/c/", "torn", "zarr-corrupt"),
        ("/c/", "whole", "url-range"),
    ],
)
def test_a_fault_is_told(server: Server, part: str, fault: str, rule: str) -> None:
    server.faults[part] = fault  # type: ignore[assignment]
    for way in ways(server, "volume.zarr"):
        assert fails(server, way).rule == rule, way


def test_a_fault_that_passes_is_not_told(server: Server) -> None:
    server.faults[""] = "once"
    for way in ways(server, "volume.zarr"):
        assert np.array_equal(formats.read(way).image("raw").read(), PIXELS)
        server.seen.clear()


def test_a_server_that_stalls_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.5)
    for part in ("/c/", "zarr.json"):
        server.faults[part] = "stall"
        assert fails(server, f"{server.url}/bucket/volume.zarr").rule == "url-slow"


def test_nobody_there_and_nobody_who_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    with pytest.raises(StoreError) as e:
        formats.read(f"{closed()}/a.zarr")
    assert e.value.rule == "url-down"
    monkeypatch.setattr(storage, "PATIENCE", 0.5)
    with deaf() as way, pytest.raises(StoreError) as e:
        formats.read(f"{way}/a.zarr")
    assert e.value.rule == "url-slow"
    assert time.monotonic() - start < 15


def test_metadata_without_end_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpuscle.formats.vetted.JSON_LIMIT", 100)
    with pytest.raises(FormatError) as e:
        formats.read(f"{server.url}/bucket/volume.zarr")
    assert e.value.rule == "url-large"


def test_an_array_that_is_gone(server: Server) -> None:
    array = ZarrArray(
        place(f"{server.url}/bucket/none.zarr/0"),  # type: ignore[arg-type]
        (1,),
        np.dtype("u1"),
        (1,),
        (1,),
    )
    with pytest.raises(StoreError) as e:
        array[0]
    assert e.value.rule == "zarr-missing"


# -- what cannot be meant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["ftp://host/a.zarr", "gs://bucket/a.zarr", "http:///a.zarr", "s3://"])
def test_an_address_of_another_kind(told: str) -> None:
    with pytest.raises(SettingsError) as e:
        formats.read(told)
    assert e.value.rule == "url-scheme"


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as e:
        place("https://me:hush@host/corpus")
    assert e.value.rule == "url-password"
    assert "hush" not in str(e.value)


def test_other_formats_are_read_here_alone(server: Server) -> None:
    way = f"{server.url}/bucket/volume.zarr"
    with pytest.raises(FormatUnknown) as e:
        formats.read(way, format="tiff")
    assert e.value.rule == "url-local"
    with pytest.raises(FormatUnknown):
        formats.write(volume(), way)


def test_a_bucket_that_is_none() -> None:
    with pytest.raises(StoreError) as e:
        formats.read("s3://b/a.zarr")
    assert e.value.rule == "url-scheme"


def test_paths_stay_paths(tmp_path: Path) -> None:
    assert place(tmp_path) == tmp_path
    assert place("a//b") == Path("a/b")
    assert place(f"file://{tmp_path}") == tmp_path
