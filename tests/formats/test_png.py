from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from tests.formats.samples import picture

from corpuscle.core import Image, Space
from corpuscle.errors import FormatError
from corpuscle.formats import png


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def claiming(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png.MAGIC + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def saved(image: Pillow.Image, **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", **how)
    return stream.getvalue()


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)) | st.tuples(st.just(7), st.integers(1, 9), st.just(3)),
    dtype=st.sampled_from(["u1", "u2"]),
    smooth=st.booleans(),
)
def test_decode_inverts_encode_and_pillow_agrees(shape: tuple[int, ...], dtype: str, smooth: bool) -> None:
    pixels = picture(shape, dtype)
    pixels = np.sort(pixels, axis=0) if smooth else pixels
    data = png.encode(pixels)
    assert data == png.encode(pixels)
    back = png.decode(png.vet(data))
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)
    if dtype == "u1" or pixels.ndim == 2:
        np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(data))), pixels)


@given(
    st.dictionaries(
        st.sampled_from(["P_lo", "corpuscle:normalised", "Software"]),
        st.text(max_size=30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers()
        | st.booleans()
        | st.none(),
    )
)
def test_texts_come_back_as_facts(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    png.write(Image(picture(), Space("yx")), path, texts=texts)
    assert {k: f.value for k, f in png.read(path).facts.items()} == texts


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_keep_their_values(bits: int, tmp_path: Path) -> None:
    values = picture((9, 13), "u1") % 2**bits
    padded = np.zeros((9, -(-13 * bits // 8) * 8 // bits), np.uint8)
    padded[:, :13] = values
    rows = np.packbits(np.unpackbits(padded[..., None], axis=2)[..., 8 - bits :].reshape(9, -1), axis=1)
    data = zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes())
    (tmp_path / "a.png").write_bytes(claiming(13, 9, bits, 0, data))
    record = png.read(tmp_path / "a.png")
    np.testing.assert_array_equal(record.image("raw").read(), values)
    assert record.facts["bits"].value == bits


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (17, 9), (40, 2)])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_interlaced_palettes_are_counted_right(size: tuple[int, int], bits: int) -> None:
    found = png.vet(_interlaced(size, bits))
    assert found.interlaced
    np.testing.assert_array_equal(png.decode(found, indices=True), np.zeros(size[::-1]))
    with pytest.raises(FormatError, match="png-corrupt"):
        png.decode(png.vet(_interlaced(size, bits, less=1)))


def _interlaced(size: tuple[int, int], bits: int, less: int = 0) -> bytes:
    width, height = size
    rows = 0
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        columns, lines = len(range(x, width, dx)), len(range(y, height, dy))
        rows += lines * (1 + (columns * bits + 7) // 8) if columns else 0
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 1)) + chunk(b"PLTE", bytes(3 * 2**bits))
    return png.MAGIC + head + chunk(b"IDAT", zlib.compress(bytes(rows - less))) + chunk(b"IEND", b"")


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    image = Pillow.new("P", (5, 4))
    image.putdata(list(range(20)))
    image.putpalette([(7 * i) % 256 for i in range(60)])
    (tmp_path / "a.png").write_bytes(saved(image))
    raw = png.read(tmp_path / "a.png").image("raw")
    assert [c.name for c in raw.channels] == ["red", "green", "blue"]
    np.testing.assert_array_equal(np.moveaxis(raw.read(), 0, -1), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "L"])
def test_colours_become_channels(mode: str, tmp_path: Path) -> None:
    pixels = picture((6, 8, len(mode)), "u1")
    image = Pillow.fromarray(pixels[..., 0] if mode == "L" else pixels)
    assert image.mode == mode
    (tmp_path / "a.png").write_bytes(saved(image))
    raw = png.read(tmp_path / "a.png").image("raw")
    assert len(raw.channels) == (len(mode) if len(mode) > 1 else 0)
    np.testing.assert_array_equal(raw.read().reshape(-1, 6, 8), np.moveaxis(pixels, -1, 0))


def test_a_chunk_in_the_way_of_pixels_changes_none(tmp_path: Path) -> None:
    data = png.encode(picture((6, 8), "u1"))
    extra = chunk(b"gAMA", struct.pack(">I", 1)) + chunk(b"tRNS", b"\0\5") + chunk(b"iCCP", b"x\0\0" + bytes(9))
    np.testing.assert_array_equal(png.decode(png.vet(data[:33] + extra + data[33:])), picture((6, 8), "u1"))


def test_the_simplest_form_is_found_by_pixels() -> None:
    grey = picture((5, 6), "u1")
    opaque = np.full_like(grey, 255)
    assert png.simplest(np.stack([grey, grey, grey, opaque], -1)).shape == (5, 6)
    assert png.simplest(np.stack([grey, grey, grey], -1)).shape == (5, 6)
    assert png.simplest(np.stack([grey, opaque], -1)).shape == (5, 6)
    assert png.simplest(np.stack([grey, grey, opaque, opaque], -1)).shape == (5, 6, 3)
    assert png.simplest(np.stack([grey, grey, grey, grey], -1)).shape == (5, 6, 4)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "png-magic"),
        (png.MAGIC, "png-truncated"),
        (png.encode(picture())[:-12], "png-truncated"),
        (png.encode(picture())[:100], "png-truncated"),
        (png.MAGIC + chunk(b"IEND", b""), "png-header"),
        (claiming(0, 5), "png-header"),
        (claiming(5, 5, 3), "png-header"),
        (claiming(5, 5, 8, 3, zlib.compress(bytes(30))), "png-header"),
        (claiming(60000, 60000), "png-size"),
        (claiming(40000, 40000, data=zlib.compress(bytes(40001 * 40000 // 8))), "png-size"),
        (claiming(50, 50, data=b"not deflate" * 9), "png-corrupt"),
        (claiming(50, 50, data=zlib.compress(bytes(51 * 40))), "png-corrupt"),
        (claiming(50, 50, 1, data=zlib.compress(bytes(8 * 40))), "png-corrupt"),
        (png.encode(picture())[:40] + b"!" + png.encode(picture())[41:], "png-crc"),
    ],
)
def test_broken_files_are_refused_by_rule(data: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(FormatError) as e:
        png.read(path).image("raw").read()
    assert (e.value.rule, e.value.where) == (rule, str(path))
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("pixels", [picture((3, 3), "f4"), picture((3, 3, 4), "u1"), picture((0, 3), "u1")])
def test_what_a_png_cannot_hold_is_not_written(pixels: NDArray[Any]) -> None:
    with pytest.raises(FormatError, match="png-dtype"):
        png.encode(pixels)
