from __future__ import annotations

import hashlib
import json
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.samples import picture
from tests.realdata import real

from corpuscle.core import Image, Space
from corpuscle.core.plate import parse
from corpuscle.errors import FormatError
from corpuscle.formats import c01


def bitmap(width: int, height: int, bits: int = 16, planes: int = 1, first: int = 40) -> bytes:
    return struct.pack("<IiiHHIIiiII12s", first, width, height, planes, bits, 0, 0, 0, 0, 0, 0, b"")


# -- Real files ---------------------------------------------------------------------------------------------------


def test_the_real_files_are_read_as_the_golden_values_say() -> None:
    folder = real("nuclei/cellomics")
    golden = json.loads((folder / "golden.json").read_text())
    assert len(golden) == 18
    for told in golden:
        path = folder / told["file"]
        record = c01.read(path)
        (layer,) = record.layers
        image = record.image(layer)
        name = parse(path.name)
        assert name is not None
        pixels = image.read()[0]
        assert hashlib.sha256(pixels.astype("<u2").tobytes()).hexdigest() == told["sha256_pixels_le"]
        assert (int(pixels.min()), int(pixels.max())) == (told["min"], told["max"])
        assert int(pixels.sum(dtype=np.int64)) == told["sum"]
        assert list(pixels.shape) == told["shape"]
        assert image.space.scale == (None, told["um_per_px"], told["um_per_px"])
        assert layer == ("vendor_overlay" if name.overlay else "raw")
        assert ("overlay" in record.facts) == name.overlay
        assert [c.name for c in image.channels] == [name.channel]
        assert record.groups == {"plate": name.plate, "well": name.well, "field": name.field}


def test_pixels_equal_those_of_bio_formats() -> None:
    for path in sorted(real("nuclei/cellomics/bioformats_reference").glob("*.tif")):
        (source,) = path.parent.parent.glob(path.stem + ".*")
        np.testing.assert_array_equal(c01.decode(source.read_bytes()), tifffile.imread(path))


def test_what_is_written_has_the_layout_of_the_real_files() -> None:
    for path in sorted(real("nuclei/cellomics").glob("*f00*.*")):
        data, name = path.read_bytes(), parse(path.name)
        assert name is not None
        head, packed = c01.header(path), data[:4] == c01.MAGIC
        again = c01.encode(
            c01.decode(data), um_per_px=(head.um[0], head.um[1]), compressed=packed, overlay=name.overlay
        )
        assert again[:6] == data[:6]
        assert (zlib.decompress(again[4:]) if packed else again) == (zlib.decompress(data[4:]) if packed else data)


def test_a_real_file_is_decoded_fast() -> None:
    data = (real("nuclei/cellomics") / "MFGTMP_120628160001_C18f00d0.C01").read_bytes()
    best = min(_timed(data) for _ in range(10))
    assert best < 0.020, f"{best * 1e3:.1f} ms"


def _timed(data: bytes) -> float:
    start = time.process_time()
    c01.decode(data)
    return time.process_time() - start


# -- Laws ---------------------------------------------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)) | st.tuples(st.integers(2, 4), st.just(3), st.just(5)),
    dtype=st.sampled_from(["u1", "u2", "u4"]),
    per_metre=st.integers(0, 10**8),
    packed=st.booleans(),
    overlay=st.booleans(),
)
def test_decode_inverts_encode(shape: tuple[int, ...], dtype: str, per_metre: int, packed: bool, overlay: bool) -> None:
    pixels = picture(shape, dtype)
    um = 1e6 / per_metre if per_metre else None
    data = c01.encode(pixels, um_per_px=um, compressed=packed, overlay=overlay)
    assert data == c01.encode(pixels, um_per_px=um, compressed=packed, overlay=overlay)
    back = c01.decode(data)
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)
    assert not back.flags.writeable


def test_a_pixel_size_of_zero_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.C01").write_bytes(c01.encode(picture()))
    assert c01.read(tmp_path / "a.C01").image("raw").space.scale == (None, None)


def test_a_pixel_size_that_the_file_cannot_say_is_a_loss(tmp_path: Path) -> None:
    image = Image(picture(), Space("yx", scale=(0.645, 0.645)))
    (loss,) = c01.write(image, tmp_path / "a.C01")
    assert (loss.what, loss.count) == ("scale", 2)
    kept = c01.read(tmp_path / "a.C01").image("raw").space.scale
    assert kept == pytest.approx((0.645, 0.645), rel=1e-6)
    assert c01.write(Image(picture(), Space("yx", scale=kept)), tmp_path / "a.C01") == ()


def test_planes_are_z(tmp_path: Path) -> None:
    pixels = picture((4, 5, 6))
    (tmp_path / "p_B02f01d3.C01").write_bytes(c01.encode(pixels))
    image = c01.read(tmp_path / "p_B02f01d3.C01").image("raw")
    assert image.space.axes == ("c", "z", "y", "x")
    np.testing.assert_array_equal(image.read()[0], pixels)


@pytest.mark.parametrize("name", ["image1.c01", "plate_AA01f00d0.C01", "x.DIB"])
def test_a_file_without_a_well_is_a_single_image(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(c01.encode(picture(), compressed=not name.endswith("DIB")))
    record = c01.read(tmp_path / name)
    assert record.groups == {}
    assert record.image("raw").space.axes == ("y", "x")


@pytest.mark.parametrize("extra", [1, 39, 64, 4096, 1 << 20])
@pytest.mark.parametrize("packed", [True, False])
def test_bytes_after_the_pixels_are_tolerated(extra: int, packed: bool, tmp_path: Path) -> None:
    body = c01.encode(picture(), compressed=False) + b"\1" * extra
    (tmp_path / "a").write_bytes(c01.MAGIC + zlib.compress(body) if packed else body)
    np.testing.assert_array_equal(c01.read(tmp_path / "a").image("raw").read(), picture())
    assert c01.sniff(tmp_path / "a")


@pytest.mark.parametrize("packed", [True, False])
def test_the_stage_position_is_told_where_it_is_finite(packed: bool, tmp_path: Path) -> None:
    for values, known in (((1.5, -2.25, 1e4), True), ((1.0, float("nan"), 0.0), False)):
        body = c01.encode(picture(), compressed=False) + bytes(16) + struct.pack("<3d", *values) + bytes(24)
        (tmp_path / "a").write_bytes(c01.MAGIC + zlib.compress(body) if packed else body)
        facts = c01.read(tmp_path / "a").facts
        assert [facts[f"stage_{a}"].value for a in "xyz" if f"stage_{a}" in facts] == (list(values) if known else [])


# -- Bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "c01-magic"),
        (b"\x10\0\0\0" + zlib.compress(b"x" * 99), "c01-magic"),
        (c01.MAGIC, "c01-truncated"),
        (c01.MAGIC + b"not zlib", "c01-corrupt"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4)[:30]), "c01-truncated"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4) + bytes(31)), "c01-truncated"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4) + bytes(32))[:-1], "c01-truncated"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4) + bytes(32))[:-4] + b"\0\0\0\0", "c01-corrupt"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4) + bytes(4 << 20)), "c01-size"),
        (c01.MAGIC + zlib.compress(bitmap(0, 4)), "c01-header"),
        (c01.MAGIC + zlib.compress(bitmap(4, -4)), "c01-header"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4, bits=12) + bytes(32)), "c01-header"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4, planes=0)), "c01-header"),
        (c01.MAGIC + zlib.compress(bitmap(4, 4, first=56) + bytes(32)), "c01-header"),
        (bitmap(4, 4) + bytes(31), "c01-truncated"),
        (bitmap(60000, 60000), "c01-size"),
    ],
)
def test_broken_files_are_refused_by_rule(data: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "x.C01"
    path.write_bytes(data)
    with pytest.raises(FormatError) as e:
        c01.read(path).image("raw").read()
    assert e.value.rule == rule
    assert e.value.where == str(path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_tiny_file_that_claims_to_be_huge_costs_nothing(packed: bool, tmp_path: Path) -> None:
    body = bitmap(60000, 60000) + bytes(100)
    (tmp_path / "x.C01").write_bytes((c01.MAGIC + zlib.compress(body) if packed else body).ljust(200, b"\0"))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(FormatError, match="c01-size"):
        c01.read(tmp_path / "x.C01")
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2)), np.zeros((2, 2), "i2"), np.zeros(3, "u1"), np.zeros((0, 2), "u1")]
)
def test_what_a_c01_cannot_hold_is_not_written(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    with pytest.raises(FormatError, match="c01-dtype"):
        c01.encode(pixels)
    with pytest.raises(FormatError, match="c01-scale"):
        c01.encode(picture(), um_per_px=0.0)
