"""OME-Zarr on disk: what is written is read back, here and by others, and damage is noticed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import tensorstore as ts
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.realdata import real
from zarr.codecs import BloscCodec

from corpuscle import formats
from corpuscle.core import Box, Channel, Graph, Image, Space
from corpuscle.core.pyramid import downsample, factors
from corpuscle.errors import CorpuscleError, FormatError, PlanError, StoreError
from corpuscle.formats import omezarr
from corpuscle.formats.ngff import VERSIONS, Version
from corpuscle.formats.plates import write_plate
from corpuscle.formats.zarrays import ZarrArray, open_array
from corpuscle.store import digest

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def images(draw: st.DrawFn) -> Image:
    axes = draw(st.sampled_from(["yx", "zyx", "cyx", "tyx", "czyx", "tczyx", "zx"]))
    longest = {"y": 600, "x": 600, "z": 40, "c": 3, "t": 2}
    shape, room = [], 300_000
    for a in axes[::-1]:
        n = draw(st.integers(1, max(1, min(longest[a], room))))
        room //= n
        shape.append(n)
    shape.reverse()
    labels = draw(st.booleans())
    dtype = np.dtype(draw(st.sampled_from([d for d in DTYPES if not labels or d[0] in "iu"])))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    pixels = (rng.integers(0, 100, shape) * (rng.random(shape) < draw(st.sampled_from([0, 0.01, 1])))).astype(dtype)
    scale = [draw(st.sampled_from([None, 0.25, 3.5])) if a != "c" else None for a in axes]
    channels: tuple[Channel, ...] = ()
    if "c" in axes and draw(st.booleans()):
        channels = tuple(Channel(f"d{i}", emission_nm=450.0 + i) for i in range(shape[axes.index("c")]))
    origin = [draw(st.sampled_from([0.0, -3.5])) for _ in axes]
    return Image(pixels, Space(axes, scale, origin), channels, "raw" if labels else None)


@quick
@given(image=images(), version=st.sampled_from(VERSIONS))
def test_what_is_written_is_read_back(image: Image, version: Version, tmp_path: Path) -> None:
    path = tmp_path / "a b ü.zarr"
    shutil.rmtree(path, ignore_errors=True)
    assert omezarr.write(image, path, name="this", version=version) == ()
    assert omezarr.sniff(path)
    record = omezarr.read(path)
    (found,) = record.layers.values()
    assert list(record.layers) == ["this"]
    assert isinstance(found, Image)
    assert (found.space, found.channels, found.labels_of) == (image.space, image.channels, image.labels_of)
    same(found.read(), image.read())
    (scene,) = omezarr.scenes(path)
    assert (scene.layer, scene.axes, scene.shape, scene.dtype) == ("this", image.space.axes, image.shape, image.dtype)


@quick
@given(image=images())
def test_each_level_is_the_one_below_made_coarser(image: Image, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "i", ignore_errors=True)
    omezarr.write(image, tmp_path / "i")
    found = omezarr.read_image(tmp_path / "i")
    steps = factors(image.space, image.shape)
    assert len(found.levels) == len(steps)
    pixels, space = image.read(), image.space
    for level, step in zip(found.levels, steps, strict=True):
        pixels, space = downsample(pixels, step, labels=image.is_labels), space.coarser(step)
        same(level.read(), pixels)
        assert level.space == space


def same(a: NDArray[Any], b: NDArray[Any]) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == np.ascontiguousarray(b).tobytes()


def volume(shape: tuple[int, ...] = (20, 140, 530), dtype: str = "u2") -> Image:
    rng = np.random.default_rng(0)
    pixels = rng.poisson(100, shape).astype(dtype)
    pixels[:, : shape[1] // 2] = 0
    return Image(pixels, Space("tczyx"[5 - len(shape) :], (None,) * (len(shape) - 3) + (2.0, 0.5, 0.5)))


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("labels_of", [None, "raw"])
def test_written_in_shards_in_any_order_it_has_the_same_bytes(
    version: Version, labels_of: str | None, tmp_path: Path
) -> None:
    image = volume()
    image = Image(image.array, image.space, labels_of=labels_of)
    omezarr.write(image, tmp_path / "whole", version=version)
    target = omezarr.create(
        tmp_path / "parts", image.shape, image.dtype, image.space, labels_of=labels_of, version=version
    )
    target = pickle.loads(pickle.dumps(target))
    assert len(list(target.absent())) == sum(len(target.level_shards(k)) for k in range(len(target.levels)))
    for box in reversed(target.shards):
        target.write(box, image.read(box))
    for k in range(1, len(target.levels)):
        for box in reversed(target.level_shards(k)):
            target.build_level_shard(k, box)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert list(target.absent()) == []
    same(target.image().read(level=1), omezarr.read_image(tmp_path / "whole").read(level=1))


def test_a_large_image_goes_by_way_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume()
    omezarr.write(image, tmp_path / "a")
    monkeypatch.setattr(omezarr, "IN_MEMORY", 1)
    omezarr.write(image, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_create_resumes_only_what_it_began(tmp_path: Path) -> None:
    image = volume()
    target = omezarr.create(tmp_path / "a", image.shape, image.dtype, image.space)
    target.write(target.shards[0], image.read(target.shards[0]))
    before = files(tmp_path / "a")
    assert omezarr.create(tmp_path / "a", image.shape, image.dtype, image.space) == target
    assert files(tmp_path / "a") == before
    with pytest.raises(StoreError, match="something else"):
        omezarr.create(tmp_path / "a", image.shape, "u1", image.space)
    for name in ("zarr.json", "0/zarr.json"):
        (tmp_path / "a" / name).unlink()
    (tmp_path / "a/.zarr.json.1-ab.part").write_text("{")
    assert omezarr.create(tmp_path / "a", image.shape, image.dtype, image.space) == target
    (tmp_path / "b").mkdir()
    (tmp_path / "b/notes.txt").touch()
    with pytest.raises(StoreError, match="something else"):
        omezarr.create(tmp_path / "b", image.shape, "u1", image.space)
    with pytest.raises(StoreError, match="cannot be written"):
        omezarr.create(tmp_path / "b/notes.txt", image.shape, "u1", image.space)
    with pytest.raises(StoreError, match="already"):
        omezarr.write(image, tmp_path / "a")
    omezarr.write(image, tmp_path / "a", replace=True)
    same(omezarr.read_image(tmp_path / "a").read(), image.read())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "box",
    [
        Box((0, 0, 0), (20, 140, 100)),
        Box((0, 0, 1), (20, 140, 257)),
        Box((0, 0, 0), (20, 140, 531)),
        Box((0, 0, 256), (20, 140, 256)),
        Box((0, 0), (70, 300)),
        Box((-256, 0, 0), (20, 140, 256)),
    ],
)
def test_boxes_that_cut_a_shard_are_refused(box: Box, tmp_path: Path) -> None:
    target = omezarr.create(tmp_path / "a", (20, 140, 530), "u2", Space("zyx"))
    with pytest.raises(FormatError, match="whole shards"):
        target.write(box, np.zeros(box.shape, "u2"))
    with pytest.raises(FormatError, match="pixels of"):
        target.write(target.shards[0], np.zeros((1, 1, 1), "u2"))
    with pytest.raises(FormatError, match="no level 7"):
        target.build_level_shard(7, box)
    with pytest.raises(FormatError, match="not built"):
        target.build_level_shard(0, target.shards[0])


@quick
@given(data=st.data())
def test_it_slices_as_numpy_does(data: st.DataObject, tmp_path: Path) -> None:
    pixels = np.arange(5 * 7 * 9, dtype="u2").reshape(5, 7, 9)
    if not (tmp_path / "a").exists():
        omezarr.write(Image(pixels, Space("zyx")), tmp_path / "a")
    array = pickle.loads(pickle.dumps(open_array(tmp_path / "a" / "0")))
    ends = st.none() | st.integers(-12, 12)
    one = st.one_of(st.builds(slice, ends, ends, st.none() | st.integers(1, 3)), st.integers(-5, 4))
    key = tuple(data.draw(st.lists(one, max_size=3)))
    if len(key) < 3 and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(key)))
        key = (*key[:at], Ellipsis, *key[at:])
    same(array[key], pixels[key])


def test_what_cannot_be_sliced(tmp_path: Path) -> None:
    omezarr.write(Image(np.zeros((5, 7), "u2"), Space("yx")), tmp_path / "a")
    array = open_array(tmp_path / "a" / "0")
    for key in ((5,), (slice(None, None, -1),), (0, 0, 0)):
        with pytest.raises(IndexError):
            array[key]
    huge = ZarrArray(array.path, (2**40, 2**19), array.dtype, array.chunk, array.shard)
    with pytest.raises(PlanError, match="at once"):
        huge[...]


def test_what_another_writes_is_seen(tmp_path: Path) -> None:
    target = omezarr.create(tmp_path / "a", (300, 300), "u2", Space("yx"))
    array = target.array()
    assert array[0, 0] == 0
    for value in (1, 2):
        target.write(target.shards[0], np.full((300, 300), value, "u2"))
        assert (array[...] == value).all()


FORK = """
import os, sys
from corpuscle.errors import StoreError
from corpuscle.formats.zarrays import open_array
from pathlib import Path
array = open_array(Path(sys.argv[1]))
assert array[0, 0] == 0
child = os.fork()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    array[0, 0]
except StoreError as e:
    os._exit(0 if e.rule == "zarr-forked" else 1)
os._exit(2)
"""


def test_a_forked_process_is_told_so(tmp_path: Path) -> None:
    """Where tensorstore had been used before, it took the child down with SIGABRT."""
    omezarr.create(tmp_path / "a", (3, 3), "u2", Space("yx"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path / "a/0")]
    subprocess.run(command, check=True, env=env, timeout=60)


# Others read it.


def channelled() -> Image:
    image = volume((2, 20, 300, 270))
    return Image(image.array, image.space, (Channel("d0"), Channel("d1", colour="00FF00")))


@pytest.mark.parametrize("version", VERSIONS)
def test_models_zarr_and_tensorstore_open_it(version: Version, tmp_path: Path) -> None:
    image = channelled()
    labels = Image((image.read()[0] > 100).astype("i4"), Space("zyx", (2.0, 0.5, 0.5)), labels_of="raw")
    path = tmp_path / "a.zarr"
    omezarr.write(image, path, version=version)
    for name in ("nuclei", "cells"):
        omezarr.write_labels(labels, path, name=name, version=version)
    group = zarr.open_group(path, mode="r", zarr_format=3 if version == "0.5" else 2)
    assert ome_zarr_models.open_ome_zarr(group).ome_zarr_version == version
    for place in ("labels", "labels/nuclei"):
        assert ome_zarr_models.open_ome_zarr(group[place]).ome_zarr_version == version
    driver = "zarr3" if version == "0.5" else "zarr"
    for place, pixels in (("0", image.read()), ("labels/nuclei/0", labels.read())):
        array = group[place]
        assert isinstance(array, zarr.Array)
        same(np.asarray(array[...]), pixels)
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(path / place)}}
        same(ts.open(spec, open=True).result().read().result(), pixels)
    record = omezarr.read(path)
    assert list(record.layers) == ["raw", "cells", "nuclei"]
    assert record.image("nuclei").labels_of == "raw"
    assert record.name == "a"
    assert (
        json.loads((path / "labels" / "zarr.json").read_text())["attributes"]["ome"]["labels"]
        == [
            "cells",
            "nuclei",
        ]
        if version == "0.5"
        else True
    )


def test_channels_that_do_not_fit(tmp_path: Path) -> None:
    omezarr.write(channelled(), tmp_path / "a")
    meta = json.loads((tmp_path / "a/zarr.json").read_text())
    meta["attributes"]["corpuscle"]["channels"].pop()
    (tmp_path / "a/zarr.json").write_text(json.dumps(meta))
    with pytest.raises(FormatError, match="1 channels named for 2"):
        omezarr.read_image(tmp_path / "a")
    del meta["attributes"]["corpuscle"]["channels"]
    meta["attributes"]["ome"]["omero"]["channels"].pop()
    (tmp_path / "a/zarr.json").write_text(json.dumps(meta))
    assert omezarr.read_image(tmp_path / "a").channels == ()


@pytest.mark.parametrize("axes", ["yx", "tyx", "cyx", "tczyx", ("angle", "y", "x")])
def test_models_take_every_kind_of_axes(axes: str, tmp_path: Path) -> None:
    for version in VERSIONS:
        path = tmp_path / version
        omezarr.write(Image(np.ones((2,) * len(axes), "u1"), Space(axes)), path, version=version)
        assert ome_zarr_models.open_ome_zarr(path).ome_zarr_version == version


def test_intensities_are_bitshuffled_and_labels_are_not(tmp_path: Path) -> None:
    """Shuffling with a pixel size of 1 is none: imagecodecs did so when given bytes, numcodecs before 0.16 always."""
    import numcodecs  # type: ignore[import-untyped]

    rng = np.random.default_rng(0)
    smooth = (2000 + rng.normal(0, 20, (512, 512))).astype("u2")
    omezarr.write(Image(smooth, Space("yx")), tmp_path / "a")
    omezarr.write(Image(smooth, Space("yx"), labels_of="raw"), tmp_path / "b")
    data = (tmp_path / "a/0/c/0/0").read_bytes()
    assert data[2] & 0b111 == 0b100, "bitshuffle, no byte shuffle, not stored plain"
    assert data[3] == 2, "bytes per pixel"
    assert (tmp_path / "b/0/c/0/0").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert len(data) < 0.5 * smooth.nbytes
    packed = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE).encode(smooth)
    assert len(packed) < 0.6 * smooth.nbytes
    array = zarr.create_array(
        {},
        shape=smooth.shape,
        dtype="u2",
        chunks=(512, 512),
        compressors=BloscCodec(cname="lz4", shuffle="bitshuffle"),
    )
    array[...] = smooth
    assert array.nbytes_stored() < 0.6 * smooth.nbytes


# Damage is noticed.


def small(tmp_path: Path, **kind: Any) -> Path:
    pixels = np.zeros((20, 90), "u2")
    pixels[3:9, 10:40] = np.random.default_rng(0).integers(1, 9, (6, 30))
    omezarr.write(Image(pixels, Space("yx"), **kind), tmp_path / "a")
    return tmp_path / "a/0/c/0/0"


@pytest.mark.parametrize("labels_of", [None, "raw"])
def test_no_byte_of_a_shard_can_change_unseen(labels_of: str | None, tmp_path: Path) -> None:
    shard = small(tmp_path, labels_of=labels_of)
    data = shard.read_bytes()
    array = open_array(tmp_path / "a/0")
    for at in range(len(data)):
        shard.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        with pytest.raises(StoreError, match="read back"):
            array[...]
    shard.write_bytes(data)
    assert array[...].any()


def test_a_torn_shard_is_an_error(tmp_path: Path) -> None:
    shard = small(tmp_path)
    data = shard.read_bytes()
    array = omezarr.read_image(tmp_path / "a")
    for length in range(len(data)):
        shard.write_bytes(data[:length])
        with pytest.raises(StoreError) as e:
            array.read()
        assert e.value.rule == "zarr-corrupt"
        assert e.value.where == str(tmp_path / "a/0")


def test_an_absent_shard_is_found(tmp_path: Path) -> None:
    target = omezarr.create(tmp_path / "a", (20, 90), "u2", Space("yx"))
    assert list(target.absent()) == [tmp_path / "a/0/c/0/0"]
    target.write(target.shards[0], np.zeros((20, 90), "u2"))
    assert list(target.absent()) == []


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        ("1/zarr.json", None, "zarr-missing"),
        ("0/zarr.json", None, "zarr-missing"),
        ("0/zarr.json", {"shape": [600]}, "zarr-metadata"),
        ("0/zarr.json", {"shape": [600, -1]}, "metadata"),
        ("0/zarr.json", {"shape": [600, 1.5]}, "metadata"),
        ("0/zarr.json", {"shape": [10**9, 10**9]}, "zarr-metadata"),
        ("0/zarr.json", {"shape": [1] * 40}, "metadata"),
        ("0/zarr.json", {"data_type": "complex64"}, "zarr-dtype"),
        ("0/zarr.json", {"data_type": "object"}, "zarr-dtype"),
        ("0/zarr.json", {"data_type": {"name": "uint8"}}, "zarr-dtype"),
        ("0/zarr.json", {"data_type": "uint8"}, "omezarr-level"),
        ("0/zarr.json", {"chunk_grid": {}}, "metadata"),
        ("0/zarr.json", {"chunk_grid": {"configuration": {"chunk_shape": [0, 1]}}}, "metadata"),
        ("0/zarr.json", {"codecs": None}, "metadata"),
        ("0/zarr.json", {"dimension_names": ["x", "y"]}, "omezarr-axes"),
        ("0/zarr.json", {"dimension_names": ["y"]}, "zarr-metadata"),
        ("0/zarr.json", {"codecs": [], "chunk_grid": {"configuration": {"chunk_shape": [60000, 60000]}}}, "zarr-chunk"),
        ("1/zarr.json", {"shape": [900, 300]}, "omezarr-level"),
        ("0/zarr.json", {"node_type": "group"}, "zarr-metadata"),
        ("zarr.json", {"attributes": 3}, "metadata"),
        ("zarr.json", {"attributes": {}}, "omezarr-kind"),
        ("zarr.json", {"attributes": {"ome": {"version": "0.5", "multiscales": [{}]}}}, "metadata"),
        ("zarr.json", None, "json-missing"),
    ],
)
def test_wrong_metadata_is_refused(file: str, change: dict[str, Any] | None, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    omezarr.write(Image(np.ones((600, 600), "u2"), Space("yx")), path)
    if change is None:
        (path / file).unlink()
    else:
        (path / file).write_text(json.dumps(json.loads((path / file).read_text()) | change))
    with pytest.raises(FormatError) as e:
        omezarr.read(path)
    assert e.value.rule == rule
    assert str(path) in e.value.where


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 5000), bit=st.integers(0, 7), which=st.sampled_from(["zarr.json", "0/zarr.json"]))
def test_metadata_with_a_flipped_bit_reads_or_is_refused(at: int, bit: int, which: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if not path.exists():
        omezarr.write(Image(np.ones((20, 30), "u2"), Space("yx", (0.5, 0.5))), path)
        shutil.copytree(path, tmp_path / "good")
    data = bytearray((tmp_path / "good" / which).read_bytes())
    data[at % len(data)] ^= 1 << bit
    (path / which).write_bytes(data)
    try:
        for layer in omezarr.read(path).layers.values():
            if isinstance(layer, Image) and layer.nbytes < 2**24:
                layer.read()
    except CorpuscleError:
        pass
    shutil.copy(tmp_path / "good" / which, path / which)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"null"])
def test_what_is_no_metadata_is_sniffed_and_refused(content: bytes, tmp_path: Path) -> None:
    for name in ("zarr.json", ".zattrs"):
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert not omezarr.sniff(folder)
        with pytest.raises(FormatError):
            omezarr.read(folder)
    assert not omezarr.sniff(tmp_path / "absent")
    assert not omezarr.sniff(tmp_path)


def test_only_images_are_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="images"):
        omezarr.write(Graph("yx", np.zeros((1, 2))), tmp_path / "a")  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="no pixels"):
        omezarr.write(Image(np.zeros((2, 2), "c8"), Space("yx")), tmp_path / "a")
    with pytest.raises(FormatError, match="axes"):
        omezarr.write(Image(np.zeros((2, 2), "u1"), Space("xc")), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_real_images(tmp_path: Path) -> None:
    folder = real("nuclei/cellomics")
    for file in sorted(folder.rglob("*.C01"))[:2]:
        record = formats.read(file)
        image = record.image("raw")
        omezarr.write(image, tmp_path / f"{record.name}.zarr")
        found = omezarr.read(tmp_path / f"{record.name}.zarr").image("raw")
        assert digest.of_image(found) == digest.of_image(image)


# What others wrote.


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("how", ["blosc", "zlib", "filtered", "raw", "big-endian"])
def test_version_04_as_others_write_it(separator: str, how: str, tmp_path: Path) -> None:
    import numcodecs

    pixels = np.arange(3 * 50 * 70, dtype=">u2" if how == "big-endian" else "u2").reshape(3, 50, 70)
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    group.create_array(
        "s0",
        data=pixels,
        chunks=(1, 32, 32),
        chunk_key_encoding={"name": "v2", "separator": separator},
        compressors={"blosc": numcodecs.Blosc(), "zlib": numcodecs.Zlib()}.get(how),
        filters=[numcodecs.Delta("<u2")] if how == "filtered" else None,
    )
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "nanometer"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1, 500, 500]}]
    sets: Any = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": sets}]
    record = omezarr.read(tmp_path / "a")
    image = record.image("raw")
    assert image.space == Space("cyx", (None, 0.5, 0.5))
    assert (image.read() == pixels).all()
    assert (image.read(Box((1, 3, 40), (2, 9, 70))) == pixels[1:2, 3:9, 40:70]).all()


def test_a_codec_that_nobody_knows_is_a_typed_error(tmp_path: Path) -> None:
    shard = small(tmp_path)
    meta = json.loads((tmp_path / "a/0/zarr.json").read_text())
    meta["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "nobody.knows"}]
    (tmp_path / "a/0/zarr.json").write_text(json.dumps(meta))
    with pytest.raises(FormatError, match="no engine opens it"):
        omezarr.read_image(tmp_path / "a").read()
    assert shard.exists()


def test_a_scale_without_unit_becomes_a_fact(tmp_path: Path) -> None:
    small(tmp_path)
    meta = json.loads((tmp_path / "a/zarr.json").read_text())
    datasets = meta["attributes"]["ome"]["multiscales"][0]["datasets"]
    datasets[0]["coordinateTransformations"][0]["scale"] = [0.3, 0.3]
    (tmp_path / "a/zarr.json").write_text(json.dumps(meta))
    record = omezarr.read(tmp_path / "a")
    assert record.facts["scale_without_unit"].value == "y=0.3 x=0.3"
    assert record.image("raw").space.scale == (None, None)


@pytest.mark.parametrize("listed", [True, False])
def test_collections(listed: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.zarr"
    for k in range(2):
        omezarr.write(Image(np.full((4, 5), k, "u1"), Space("yx")), path / str(k))
    attributes = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    text = {"zarr_format": 3, "node_type": "group"}
    (path / "zarr.json").write_text(json.dumps(text | {"attributes": attributes}))
    if listed:
        (path / "OME").mkdir()
        series = {"ome": {"version": "0.5", "series": ["1", "0"]}}
        (path / "OME/zarr.json").write_text(json.dumps(text | {"attributes": series}))
    assert [s.name for s in omezarr.scenes(path)] == (["1", "0"] if listed else ["0", "1"])
    assert omezarr.read(path, "1").image("raw").read().max() == 1
    with pytest.raises(FormatError, match="2 scenes") as e:
        omezarr.read(path)
    assert e.value.rule == "scene-ambiguous"
    with pytest.raises(FormatError, match="no scene"):
        omezarr.read(path, "../0")


# Plates.


def plate(path: Path, version: Version = "0.5") -> None:
    wells = {"A/01": ["0", "1"], "B/11": ["0"]}
    for well, fields in wells.items():
        for field in fields:
            omezarr.write(Image(np.ones((4, 5), "u1"), Space("yx")), path / well / field, version=version)
    write_plate(path, wells, name="p1", version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_plates_and_wells(version: Version, tmp_path: Path) -> None:
    path = tmp_path / "p1.zarr"
    plate(path, version)
    assert ome_zarr_models.open_ome_zarr(path).ome_zarr_version == version
    assert ome_zarr_models.open_ome_zarr(path / "A/01").ome_zarr_version == version
    assert [s.name for s in omezarr.scenes(path)] == ["A/01/0", "A/01/1", "B/11/0"]
    record = omezarr.read(path, "B/11/0")
    assert dict(record.groups) == {"plate": "p1", "well": "B11", "field": "0"}
    assert record.group("well") == "p1/B11"
    assert [s.name for s in omezarr.scenes(path / "A/01")] == ["0", "1"]
    assert omezarr.read(path / "A/01", "1").image("raw").shape == (4, 5)


def test_a_plate_grows(tmp_path: Path) -> None:
    plate(tmp_path / "p")
    omezarr.write(Image(np.ones((4, 5), "u1"), Space("yx")), tmp_path / "p/C/02/0")
    write_plate(tmp_path / "p", {"A/01": ["0"], "C/02": ["0"]}, rows="ABCD", columns=["01", "02"], extra={"x": 1})
    meta = json.loads((tmp_path / "p/zarr.json").read_text())["attributes"]
    assert meta["corpuscle"] == {"x": 1}
    assert [w["path"] for w in meta["ome"]["plate"]["wells"]] == ["A/01", "C/02"]
    assert len(meta["ome"]["plate"]["rows"]) == 4
    assert ome_zarr_models.open_ome_zarr(tmp_path / "p").ome_zarr_version == "0.5"


@pytest.mark.parametrize(
    ("wells", "match"),
    [
        ({"A/01": ["9"]}, "no field '9'"),
        ({"A/01": ["../0"]}, "letters and digits"),
        ({"A": ["0"]}, "row/column"),
        ({"../01": ["0"]}, "row/column"),
    ],
)
def test_plates_that_cannot_be(wells: dict[str, list[str]], match: str, tmp_path: Path) -> None:
    plate(tmp_path / "p")
    with pytest.raises(FormatError, match=match):
        write_plate(tmp_path / "p", wells)


@pytest.mark.parametrize(
    "change",
    [
        {"wells": [{"path": "Z/99"}]},
        {"wells": [{"path": "A/01"}, {"path": "A/01"}]},
        {"wells": [{"path": "../A"}]},
        {"wells": [{}]},
        {"wells": 3},
        {"rows": [3]},
        {"columns": None},
    ],
)
def test_plate_metadata_that_contradicts_itself(change: dict[str, Any], tmp_path: Path) -> None:
    plate(tmp_path / "p")
    meta = json.loads((tmp_path / "p/zarr.json").read_text())
    meta["attributes"]["ome"]["plate"] |= change
    (tmp_path / "p/zarr.json").write_text(json.dumps(meta))
    with pytest.raises(FormatError):
        omezarr.scenes(tmp_path / "p")
