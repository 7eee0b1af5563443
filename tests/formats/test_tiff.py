from __future__ import annotations

import pickle
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.formats.samples import labels, picture
from tests.realdata import real

from corpuscle import formats
from corpuscle.core import Box, Channel, Image, Space
from corpuscle.errors import FormatError
from corpuscle.formats import c01, tiff


def raw(path: Path, scene: str | None = None) -> Image:
    record = tiff.read(path, scene)
    return record.image(next(iter(record.layers)))


# -- Real files ---------------------------------------------------------------------------------------------------


def test_the_conversions_of_bio_formats() -> None:
    for path in sorted(real("nuclei/cellomics/bioformats_reference").glob("*.tif")):
        (source,) = path.parent.parent.glob(path.stem + ".*")
        image = raw(path)
        assert image.space.axes == ("y", "x")
        np.testing.assert_array_equal(image.read(), c01.decode(source.read_bytes()))
        head = c01.header(source)
        assert image.space.scale == (pytest.approx(head.um[0]) if head.um[0] else None,) * 2


def test_the_label_images_of_stardist_keep_their_gaps() -> None:
    image = raw(real("nuclei/stardist") / "dsb_mask2d.tif")
    found = image.read()
    assert image.space.scale == (None, None)
    assert (int(found.max()), len(np.unique(found)) - 1) == (183, 125)


# -- What the kinds of TIFF tell ----------------------------------------------------------------------------------


def test_ome_tells_axes_sizes_channels_and_time(tmp_path: Path) -> None:
    data = picture((2, 3, 4, 16, 20))
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack",
        metadata={
            "axes": "TCZYX", "PhysicalSizeX": 500.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5,
            "PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm", "TimeIncrement": 2.0, "TimeIncrementUnit": "min",
            "Channel": {"Name": ["DAPI", "GFP", "Cy5"]},
        },
    )  # fmt: skip
    image = raw(tmp_path / "a.ome.tif")
    assert image.space == Space("tczyx", scale=(120.0, None, 2.0, 0.5, 0.5))
    assert [c.name for c in image.channels] == ["DAPI", "GFP", "Cy5"]
    np.testing.assert_array_equal(image.read(), data)
    box = Box((1, 0, 2, 3, 5), (2, 2, 4, 9, 11))
    np.testing.assert_array_equal(image.read(box), data[box.slices])


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong"])
def test_a_unit_that_is_no_length_leaves_the_size_unknown(unit: str, tmp_path: Path) -> None:
    meta = {"axes": "YX", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", picture(), ome=True, metadata=meta)
    assert raw(tmp_path / "a.ome.tif").space.scale == (None, None)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("um", (3.0, 0.25, 0.5)), ("nm", (0.003, 0.00025, 0.0005)), ("pixel", (None,) * 3), (None, (None,) * 3)],
)
def test_imagej_tells_its_unit(unit: str | None, expected: tuple[float | None, ...], tmp_path: Path) -> None:
    data = picture((5, 16, 20))
    meta: dict[str, Any] = {"axes": "ZYX", "spacing": 3.0} | ({"unit": unit} if unit else {})
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(2, 4), metadata=meta)
    image = raw(tmp_path / "a.tif")
    assert image.space.axes == ("z", "y", "x")
    assert image.space.scale == tuple(e if e is None else pytest.approx(e) for e in expected)
    np.testing.assert_array_equal(image.read(), data)


@pytest.mark.parametrize(
    ("resolution", "unit", "um"),
    [(72, 2, None), (96, 2, None), (300, 2, None), (1200, 2, None), (20000, 3, 0.5), (50800, 2, 0.5), (1, 1, None)],
)
def test_dots_per_inch_are_no_pixel_size(resolution: int, unit: int, um: float | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), resolution=(resolution, resolution), resolutionunit=unit)
    assert raw(tmp_path / "a.tif").space.scale == ((None, None) if um is None else (pytest.approx(um),) * 2)


def test_pages_that_nobody_explains_are_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture((3, 16, 20)), photometric="minisblack", metadata=None)
    assert raw(tmp_path / "a.tif").space.axes == ("page", "y", "x")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"bigtiff": True},
        {"compression": "zlib", "predictor": 2},
        {"compression": "zstd", "rowsperstrip": 7},
        {"compression": "lzw", "tile": (16, 32)},
        {"tile": (32, 16)},
    ],
)
def test_any_part_of_any_layout(how: dict[str, Any], byteorder: Any, tmp_path: Path) -> None:
    data = picture((4, 45, 61))
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", byteorder=byteorder, **how)
    image = raw(tmp_path / "a.tif")
    assert image.dtype == np.dtype("u2")
    np.testing.assert_array_equal(image.read(), data)
    pages: Any = image.array
    page, lead = (pages.load(2), ()) if pages.lead else (pages.load(0), (2,))
    for y0, y1, x0, x1 in ((0, 45, 0, 61), (3, 5, 60, 61), (15, 33, 7, 50), (9, 9, 0, 5)):
        got = page[(*lead, slice(y0, y1), slice(x0, x1))]
        np.testing.assert_array_equal(got, data[2, y0:y1, x0:x1])


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
def test_colours_become_channels(how: dict[str, Any], tmp_path: Path) -> None:
    rgb = picture((33, 47, 3), "u1")
    stored = np.moveaxis(rgb, -1, 0) if "planarconfig" in how else rgb
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **how)
    image = raw(tmp_path / "a.tif")
    assert image.space.axes == ("c", "y", "x")
    np.testing.assert_array_equal(image.read(), np.moveaxis(rgb, -1, 0))
    np.testing.assert_array_equal(image.read(Box((1, 4, 9), (3, 20, 40))), np.moveaxis(rgb, -1, 0)[1:3, 4:20, 9:40])


def test_a_pyramid_has_its_levels(tmp_path: Path) -> None:
    data = picture((256, 320))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        meta = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        file.write(data, subifds=2, tile=(64, 64), metadata=meta)
        file.write(data[::2, ::2], subfiletype=1, tile=(64, 64))
        file.write(data[::4, ::4], subfiletype=1, tile=(64, 64))
    image = raw(tmp_path / "a.ome.tif")
    assert [level.shape for level in image.levels] == [(128, 160), (64, 80)]
    assert image.level(2).space.scale == (2.0, 2.0)
    np.testing.assert_array_equal(image.read(level=1), data[::2, ::2])


def test_several_series_are_several_scenes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(picture((3, 16, 20)), photometric="minisblack", metadata={"axes": "ZYX", "Name": "stack"})
        file.write(picture((30, 40), "u1"), metadata={"axes": "YX", "Name": "map"})
    assert [s.name for s in tiff.scenes(tmp_path / "a.ome.tif")] == ["stack", "map"]
    assert tiff.read(tmp_path / "a.ome.tif", "map").name == "a.ome_map"
    np.testing.assert_array_equal(raw(tmp_path / "a.ome.tif", "map").read(), picture((30, 40), "u1"))
    with pytest.raises(FormatError, match="scene-ambiguous"):
        tiff.read(tmp_path / "a.ome.tif")


# -- Writing ------------------------------------------------------------------------------------------------------


def test_others_read_what_we_write(tmp_path: Path) -> None:
    space = Space("tczyx", scale=(30.0, None, 2.0, 0.5, 0.25))
    image = Image(picture((2, 2, 3, 16, 20)), space, (Channel("DAPI"), Channel("GFP")))
    assert tiff.write(image, tmp_path / "a.ome.tif") == ()
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "TCZYX"
        np.testing.assert_array_equal(file.asarray(), image.read())
        xml = file.ome_metadata or ""
    for said in ('PhysicalSizeZ="2.0"', 'PhysicalSizeX="0.25"', 'TimeIncrement="30.0"', 'Name="GFP"'):
        assert said in xml


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    image = Image(picture((3, 16, 20)), Space("zyx", scale=(1.0, 0.5, 0.5)))
    for name in ("a.tif", "b.tif"):
        tiff.write(image, tmp_path / name)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(("factor", "dtype"), [(3, "uint16"), (5000, "uint32")])
def test_labels_keep_their_gaps(factor: int, dtype: str, tmp_path: Path) -> None:
    image = Image(labels() * factor, Space("yx"), labels_of="raw")
    (loss,) = tiff.write(image, tmp_path / "a.tif")
    assert loss.items == (f"int32 to {dtype}",)
    back = raw(tmp_path / "a.tif")
    assert (back.labels_of, str(back.dtype)) == ("raw", dtype)
    np.testing.assert_array_equal(back.read(), image.read())


# -- Bad input ----------------------------------------------------------------------------------------------------

LAUGHS = '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><OME>&b;</OME>'


@pytest.mark.parametrize(
    ("description", "rule"),
    [
        (LAUGHS, "xml-entities"),
        ('<OME><Image><Pixels SizeT="999999999" SizeC="999999999"/></Image></OME>', "tiff-ome"),
        ('<OME><Image><Pixels><TiffData IFD="-1"/></Pixels></Image></OME>', "tiff-ome"),
        (
            '<OME><Image><Pixels><TiffData><UUID FileName="../../x.tif"/></TiffData></Pixels></Image></OME>',
            "tiff-outside",
        ),
        ('<OME><A><M><AlongZ Start="0" End="1e30" Step="1"/></M></A></OME>', "tiff-ome"),
    ],
)
def test_hostile_ome_xml_is_refused_before_it_is_parsed(description: str, rule: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), description=description, metadata=None)
    start = time.perf_counter()
    with pytest.raises(FormatError) as e:
        formats.read(tmp_path / "a.tif")
    assert e.value.rule == rule
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("description", ["<OME><broken></OME>", '<?xml version="1.0"?><OME xmlns="x"><Image'])
def test_ome_xml_that_is_no_xml_is_told_and_the_pixels_are_read(
    description: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # It was an error, and before that a warning of tifffile's on standard error.
    tifffile.imwrite(tmp_path / "a.tif", picture(), description=description, metadata=None)
    record = formats.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(record.image("raw").read(), picture())
    assert str(record.facts["ome_xml"].value).startswith("unreadable: ")
    assert formats.scenes(tmp_path / "a.tif")[0].facts == record.facts
    assert capfd.readouterr().err == ""


def test_a_tiff_that_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    # 3 seconds and 1.4 GB went into a canvas of zeros.
    blank = np.zeros((9000, 9000), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", blank, compression="zlib")
    with pytest.raises(FormatError, match="tiff-bomb"):
        formats.scenes(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", blank[:7000].astype(np.uint16), compression="zlib")
    assert formats.scenes(tmp_path / "b.tif")[0].shape == (7000, 9000)


def test_what_tifffile_has_to_say_stays_inside(tmp_path: Path) -> None:
    # ImageJ's text claimed more frames than there were, and tifffile's warning reached standard error.
    tifffile.imwrite(tmp_path / "a.tif", picture(), description="ImageJ=1.11a\nimages=9\nframes=9\n", metadata=None)
    code = (
        "from corpuscle import formats\nfrom corpuscle.errors import FormatError\n"
        f"try: formats.read({str(tmp_path / 'a.tif')!r})\nexcept FormatError as e: print(e.rule)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("tiff-truncated", "")


def test_planes_of_absent_files_are_missing_not_black(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif", picture((3, 16, 20)), ome=True, metadata={"axes": "ZYX"}, photometric="minisblack"
    )
    data = (tmp_path / "a.ome.tif").read_bytes()
    assert b'SizeZ="3"' in data
    (tmp_path / "a.ome.tif").write_bytes(data.replace(b'SizeZ="3"', b'SizeZ="5"'))
    with pytest.raises(FormatError, match="tiff-missing"):
        tiff.read(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("note", ["ImageJ=1.11a\nimages=9\nslices=9\n", '{"shape": [9, 33, 47]}'])
def test_planes_that_a_note_promises_are_missed(note: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), description=note, metadata=None)
    with pytest.raises(FormatError, match="tiff-truncated"):
        tiff.read(tmp_path / "a.tif")


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:u{0}"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="47" SizeY="33" SizeC="1" SizeZ="2" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/>
<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="0.ome.tif">urn:uuid:u0</UUID></TiffData>
<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="1.ome.tif">urn:uuid:u1</UUID></TiffData>
</Pixels></Image></OME>"""


def test_an_image_in_two_files_is_read_from_both(tmp_path: Path) -> None:
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.ome.tif", picture(seed=i), description=OME.format(i), metadata=None)
    image = pickle.loads(pickle.dumps(raw(tmp_path / "0.ome.tif")))
    np.testing.assert_array_equal(image.read(), [picture(seed=0), picture(seed=1)])
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(FormatError, match="tiff-missing"):
        tiff.read(tmp_path / "0.ome.tif")


def claiming(width: int, height: int, compression: int, count: int = 20) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1), (273, 4, 150)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, count)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + body + bytes(4)).ljust(200, b"\0")


@pytest.mark.parametrize("compression", [1, 5, 8, 50000])
def test_a_tiny_file_that_claims_to_be_huge_costs_nothing(compression: int, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(claiming(60000, 60000, compression))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(FormatError, match=r"tiff-size|tiff-truncated"):
        formats.read(tmp_path / "a.tif").image("raw").read()
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_pages_in_a_circle_are_refused(tmp_path: Path) -> None:
    data = bytearray(claiming(4, 4, 1, 16))
    data[10 + 9 * 12 : 14 + 9 * 12] = struct.pack("<I", 8)
    (tmp_path / "a.tif").write_bytes(bytes(data))
    with pytest.raises(FormatError, match="tiff-header"):
        formats.read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "image",
    [
        Image(picture((4, 5), "f2"), Space("yx")),
        Image(picture((4, 5), "i8"), Space("yx")),
        Image(picture((4, 5)), Space("xy")),
        Image(picture((2, 4, 5)), Space(("angle", "y", "x"))),
        Image(np.full((4, 5), -1), Space("yx"), labels_of="raw"),
    ],
)
def test_what_ome_tiff_cannot_hold_is_not_written(image: Image, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"tiff-axes|tiff-dtype"):
        tiff.write(image, tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
