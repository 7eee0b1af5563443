from __future__ import annotations

import ast
import os
import pickle
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.formats.samples import READ, REFUSED

from corpuscle import formats
from corpuscle.core import Box, Channel, Image, Record, Space
from corpuscle.errors import FormatError, FormatUnknown

ERRORS = ("FormatError", "FormatUnknown", "StoreError")
MODULES = {f.name: import_module(f.module) for f in formats.FORMATS}


def main_image(record: Record) -> Image:
    return record.image(next(iter(record.layers)))


def pixels_or_refusal(path: Path) -> NDArray[Any] | FormatError:
    """The pixels of the main layer, once every layer of the first scene has been read."""
    try:
        record = formats.read(path, formats.scenes(path)[0].name)
        found = [layer.read() for layer in record.layers.values() if isinstance(layer, Image)]
    except FormatError as e:
        return e
    return np.squeeze(found[0])


# -- The laws of reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", READ)
def test_every_reader_knows_its_own_and_no_other(file: str, tmp_path: Path) -> None:
    name, make = READ[file]
    path = tmp_path / "anonymous"
    make(path)
    assert formats.sniff(path) == name
    knows = {n for n, m in MODULES.items() if m.sniff(path)}
    # An object image is a PNG as well; the table asks for objects first.
    assert knows == ({"rgbmask", "png"} if name == "rgbmask" else {name})


@pytest.mark.parametrize("file", READ)
def test_scenes_agree_with_read(file: str, tmp_path: Path) -> None:
    pixels = READ[file][1](tmp_path / file)
    (scene,) = formats.scenes(tmp_path / file)
    image = formats.read(tmp_path / file, scene.name).image(scene.layer)
    assert (scene.axes, scene.shape, scene.dtype) == (image.space.axes, image.shape, image.dtype)
    assert scene.scale == image.space.scale
    assert scene.channels == tuple(c.name for c in image.channels)
    np.testing.assert_array_equal(np.squeeze(image.read()), pixels)
    with pytest.raises(FormatError, match="scene-missing"):
        formats.read(tmp_path / file, "another")


@pytest.mark.parametrize("file", READ)
def test_arrays_cross_to_other_processes_and_hold_no_file_open(file: str, tmp_path: Path) -> None:
    pixels = READ[file][1](tmp_path / file)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    record = formats.read(tmp_path / file)
    image = main_image(pickle.loads(pickle.dumps(record.layers)) and record)
    for layer in pickle.loads(pickle.dumps(record.layers)).values():
        layer.read()
    box = Box(tuple(n // 3 for n in image.shape), tuple(max(1, n // 2) for n in image.shape))
    np.testing.assert_array_equal(image.read(box), pixels.reshape(image.shape)[box.slices])
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["with space", "ünïcödé 図", "new\nline", "-dash", "100%", "'quoted\""])
@pytest.mark.parametrize("file", READ)
def test_names_may_hold_anything(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / (name + Path(file).suffix)
    pixels = READ[file][1](path)
    np.testing.assert_array_equal(np.squeeze(main_image(formats.read(path)).read()), pixels)


@pytest.mark.parametrize("file", READ)
def test_a_file_cut_short_is_refused_or_read_right(file: str, tmp_path: Path) -> None:
    pixels = READ[file][1](tmp_path / file)
    data = (tmp_path / file).read_bytes()
    cuts = sorted({*range(0, min(70, len(data)), 3), *np.linspace(0, len(data) - 1, 60).astype(int).tolist()})
    path = tmp_path / ("cut" + Path(file).suffix)
    for cut in cuts:
        path.write_bytes(data[:cut])
        start = time.perf_counter()
        found = pixels_or_refusal(path)
        if isinstance(found, FormatError):
            assert found.rule, found
            assert str(path) in found.where, found
        else:
            np.testing.assert_array_equal(found, pixels, f"cut at {cut} of {len(data)}")
        assert time.perf_counter() - start < 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("file", READ)
def test_flipped_bytes_are_refused_or_read(file: str, seed: int, tmp_path: Path) -> None:
    READ[file][1](tmp_path / file)
    data = (tmp_path / file).read_bytes()
    rng = np.random.default_rng(seed)
    path = tmp_path / ("flip" + Path(file).suffix)
    for i in range(40):
        bad = bytearray(data)
        # Half of the flips hit the headers, at the start or the end, where they matter most.
        reach = len(data) if i % 2 else min(len(data), 400)
        for _ in range(1 + i % 3):
            at = int(rng.integers(reach))
            bad[at if i % 4 else len(data) - 1 - at] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(bad))
        start = time.perf_counter()
        found = pixels_or_refusal(path)
        assert not isinstance(found, FormatError) or found.rule, found
        assert time.perf_counter() - start < 1


@pytest.mark.parametrize("file", [f for f, (name, _) in READ.items() if name in ("png", "rgbmask")])
def test_every_flipped_byte_of_a_png_is_noticed(file: str, tmp_path: Path) -> None:
    READ[file][1](tmp_path / file)
    data = (tmp_path / file).read_bytes()
    for at in np.linspace(0, len(data) - 1, 200).astype(int):
        bad = bytearray(data)
        bad[at] ^= 0x20
        (tmp_path / "bad").write_bytes(bytes(bad))
        with pytest.raises(FormatError):
            MODULES["png"].read(tmp_path / "bad")


# -- What is turned away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", REFUSED)
def test_dangerous_files_are_refused_by_rule(file: str, tmp_path: Path) -> None:
    rule, make = REFUSED[file]
    make(tmp_path / file)
    assert formats.sniff(tmp_path / file) == "refused"
    for ask in (formats.scenes, formats.read):
        with pytest.raises(FormatError) as e:
            ask(tmp_path / file)
        assert e.value.rule == rule
        assert e.value.fix


@pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"PK\3\4", b"<a/>", os.urandom(5000)])
def test_nobody_claims_what_nobody_knows(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(data)
    with pytest.raises(FormatUnknown) as e:
        formats.sniff(path)
    assert all(f.name in e.value.message for f in formats.FORMATS)


def test_a_sniff_never_raises_nor_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "pipe", tmp_path / "empty", tmp_path / "dangling", tmp_path / "absent", Path("a\0b")):
        assert not any(m.sniff(path) for m in MODULES.values())


@pytest.mark.parametrize(
    ("name", "rule"),
    [("x.C01", "c01-magic"), ("x.npy", "npy-magic"), ("x.png", "png-magic"), ("x.tif", "tiff-magic")],
)
def test_the_reader_that_a_name_promises_says_why_not(name: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not one of these")
    with pytest.raises(FormatError) as e:
        formats.read(tmp_path / name)
    assert e.value.rule == rule


# -- The law of writing -------------------------------------------------------------------------------------------

CHANNELS = st.sampled_from(
    [Channel("d0"), Channel("DAPI", dye="DAPI"), Channel("µ", excitation_nm=405.0, colour="00FF00")]
)


@st.composite
def images(draw: st.DrawFn, axes: list[str], dtypes: list[str]) -> Image:
    names = draw(st.sampled_from(axes))
    shape = tuple(draw(st.integers(1, 3 if a not in "yx" else 12)) for a in names)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    known = draw(st.booleans())
    scale = tuple(draw(st.floats(0.01, 50)) if known and a != "c" else None for a in names)
    origin = tuple(float(draw(st.integers(-2, 2))) for _ in names)
    array = (rng.random(shape) * 250).astype(dtype)
    labelled = dtype.kind in "iu" and draw(st.booleans())
    channels: tuple[Channel, ...] = ()
    if "c" in names and draw(st.booleans()):
        channels = tuple(draw(CHANNELS) for _ in range(shape[names.index("c")]))
    return Image(array, Space(names, scale=scale, origin=origin), channels, "raw" if labelled else None)


def parts(image: Image) -> dict[str, Any]:
    space = image.space
    return {
        "axes": space.axes,
        "scale": space.scale,
        "origin": space.origin,
        "channels": image.channels,
        "labels_of": image.labels_of,
        "dtype": image.dtype,
    }


ALL = ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "?"]
WRITES = {
    "c01": ("x_A01f00d0.C01", ["yx", "zyx", "cyx", "czyx"], ALL),
    "npy": ("x.npy", ["yx", "zyx", "cyx", "tczyx"], ALL),
    "png": ("x.png", ["yx", "cyx", "zyx"], ALL),
    "rgbmask": ("x_objects.png", ["yx"], ALL),
    "tiff": ("x.ome.tif", ["yx", "zyx", "cyx", "tyx", "czyx", "tczyx", "zcyx", "xy"], ALL),
}


@pytest.mark.parametrize("name", WRITES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_writing_then_reading_is_the_identity_or_the_losses(name: str, tmp_path: Path, data: st.DataObject) -> None:
    file, axes, dtypes = WRITES[name]
    image = data.draw(images(axes, dtypes))
    path = tmp_path / file
    path.unlink(missing_ok=True)
    try:
        losses = formats.write(image, path, name)
    except FormatError:
        assert not os.listdir(tmp_path), "a refusal leaves nothing behind"
        return
    assert os.listdir(tmp_path) == [file]
    back = main_image(MODULES[name].read(path))
    lost = {loss.what for loss in losses}
    assert all(loss.count > 0 for loss in losses)
    if "labels" not in lost:
        np.testing.assert_array_equal(back.read().reshape(image.shape), image.read())
    if "axes" not in lost:
        changed = {k for k, v in parts(image).items() if parts(back)[k] != v}
        # What the name of the file tells, or the kind of the picture, is no loss.
        told = [c.name for c in back.channels] in (["d0"], ["red", "green", "blue"])
        gained = {"channels"} if told and not image.channels else set()
        assert changed - gained == lost - {"labels"}


def test_a_format_is_chosen_by_name_or_told(tmp_path: Path) -> None:
    image = Image(np.zeros((4, 5), np.uint8), Space("yx"))
    formats.write(image, tmp_path / "a.TIF")
    assert formats.sniff(tmp_path / "a.TIF") == "tiff"
    formats.write(image, tmp_path / "b", "png")
    assert formats.sniff(tmp_path / "b") == "png"
    formats.write(image, tmp_path / "b_objects.png")
    assert formats.read(tmp_path / "b_objects.png").image("raw").dtype == np.uint8
    with pytest.raises(FormatUnknown):
        formats.write(image, tmp_path / "c.doc")
    with pytest.raises(FormatUnknown):
        formats.write(image, tmp_path / "c.png", "dsb2018")


def test_a_format_that_is_named_is_asked(tmp_path: Path) -> None:
    READ["m_objects.png"][1](tmp_path / "a.png")
    assert set(formats.read(tmp_path / "a.png").layers) == {"labels"}
    assert formats.read(tmp_path / "a.png", format="png").image("raw").space.axes == ("c", "y", "x")
    assert formats.scenes(tmp_path / "a.png", format="png")[0].layer == "raw"
    with pytest.raises(FormatUnknown, match="'jpeg'"):
        formats.read(tmp_path / "a.png", format="jpeg")


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(FormatError):
        formats.write(Image(np.zeros((4, 5)), Space("yx")), path)
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["a.png"]


def test_every_refusal_says_what_to_do() -> None:
    # Half of the errors of readers told what was wrong and left it at that.
    bare = []
    for path in sorted(Path(formats.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            raised = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
            if raised and isinstance(node, ast.Call) and not any(k.arg == "fix" for k in node.keywords):
                bare.append(f"{path.name}:{node.lineno}")
    assert [b for b in bare if not b.startswith(("dsb2018", "masks", "pairs"))] == []
