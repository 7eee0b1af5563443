from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.formats.samples import labels, make_dsb_zip, picture
from tests.realdata import real

from corpuscle import formats
from corpuscle.core import Image, Record
from corpuscle.errors import FormatError
from corpuscle.formats import dsb2018, png


def lay(folder: Path, name: str = "a", masks: int = 4) -> Path:
    entry = folder / name
    (entry / "images").mkdir(parents=True)
    (entry / "images" / f"{name}.png").write_bytes(png.encode(picture((96, 130), "u1")))
    if masks:
        (entry / "masks").mkdir()
    for i in range(1, masks + 1):
        put(entry / "masks" / f"{i}.png", labels() == i)
    return entry


def put(path: Path, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], top: int = 255) -> None:
    path.write_bytes(png.encode((mask * top).astype(np.uint8)))


def value(record: Record, fact: str) -> object:
    return record.facts[fact].value


@pytest.mark.slow
def test_the_real_zip_has_exactly_its_objects() -> None:
    path = real("nuclei/dsb2018/stage1_train_fluo_dev.zip")
    assert formats.sniff(path) == "dsb2018"
    found = list(dsb2018.records(path))
    records = [r for r in found if isinstance(r, Record)]
    assert len(records) == len(found) == 53
    assert sum(int(str(value(r, "objects"))) for r in records) == 2461
    assert sum(int(str(value(r, "overlapping_pixels"))) for r in records) == 1
    for record in records:
        assert record.image("raw").space.axes == ("y", "x")
        assert len(np.unique(record.image("nuclei").read())) == int(str(value(record, "objects"))) + 1


def test_one_real_image_is_read_without_the_rest() -> None:
    path = real("nuclei/dsb2018/stage1_train_fluo_dev.zip")
    with zipfile.ZipFile(path) as archive:
        name = archive.namelist()[0].split("/")[1]
    record = dsb2018.read(path, name)
    assert record.image("raw").dtype == np.uint8
    assert record.image("nuclei").labels_of == "raw"
    with pytest.raises(FormatError, match="scene-ambiguous"):
        dsb2018.read(path)


def test_a_folder_reads_as_its_zip(tmp_path: Path) -> None:
    make_dsb_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "out")
    for source in (tmp_path / "out" / "stage", tmp_path / "out" / "stage" / "a"):
        assert formats.sniff(source) == "dsb2018"
        (scene,) = formats.scenes(source)
        folder, packed = formats.read(source, scene.name), formats.read(tmp_path / "a.zip")
        assert (folder.name, folder.facts) == (packed.name, packed.facts)
        for layer in ("raw", "nuclei"):
            np.testing.assert_array_equal(folder.image(layer).read(), packed.image(layer).read())


def test_the_earlier_mask_keeps_a_pixel_that_two_want(tmp_path: Path) -> None:
    entry = lay(tmp_path)
    put(entry / "masks" / "0.png", labels() == 1)
    (entry / "masks" / "5.png").write_bytes(png.encode(np.zeros((96, 130), np.uint8)))
    (record,) = dsb2018.records(tmp_path)
    assert isinstance(record, Record)
    assert (value(record, "objects"), value(record, "overlapping_pixels"), value(record, "empty_masks")) == (5, 81, 1)
    found = record.image("nuclei").read()
    assert set(np.unique(found)) == {0, 1, 3, 4, 5}
    np.testing.assert_array_equal(found == 1, labels() == 1)


def test_without_masks_there_is_no_truth(tmp_path: Path) -> None:
    lay(tmp_path, masks=0)
    (record,) = dsb2018.records(tmp_path)
    assert isinstance(record, Record)
    assert set(record.layers) == {"raw"}


def test_true_colours_are_kept(tmp_path: Path) -> None:
    entry = lay(tmp_path)
    colours = picture((96, 130, 3), "u1")
    (entry / "images" / "a.png").write_bytes(png.encode(colours))
    raw = formats.read(tmp_path).image("raw")
    assert [c.name for c in raw.channels] == ["red", "green", "blue"]
    np.testing.assert_array_equal(np.moveaxis(raw.read(), 0, -1), colours)


def test_masks_of_any_two_values_are_masks_and_of_more_are_not(tmp_path: Path) -> None:
    entry = lay(tmp_path)
    put(entry / "masks" / "1.png", labels() == 1, top=1)
    assert isinstance(next(dsb2018.records(tmp_path)), Record)
    soft = (labels() == 1) * 255
    soft[4, 4:13] = 128
    (entry / "masks" / "1.png").write_bytes(png.encode(soft.astype(np.uint8)))
    (error,) = dsb2018.records(tmp_path)
    assert isinstance(error, FormatError)
    assert error.rule == "dsb-mask-grey"
    assert error.where.endswith("masks/1.png")


def test_a_bad_image_does_not_stop_the_rest(tmp_path: Path) -> None:
    lay(tmp_path, "a")
    put(lay(tmp_path, "b") / "masks" / "1.png", labels()[1:] == 1)
    (lay(tmp_path, "c") / "images" / "second.png").write_bytes(png.encode(picture()))
    (lay(tmp_path, "d") / "images" / "d.png").write_bytes(b"\x89PNG rubbish")
    lay(tmp_path, "e")
    found = [r.name if isinstance(r, Record) else r.rule for r in dsb2018.records(tmp_path)]
    assert found == ["a", "dsb-mask-shape", "dsb-layout", "png-magic", "e"]


@pytest.mark.parametrize("name", ["../a/images/a.png", "/a/images/a.png", "x/../../a/images/a.png"])
def test_names_that_lead_out_of_a_zip_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, png.encode(picture()))
    with pytest.raises(FormatError, match="dsb-zip"):
        dsb2018.scenes(tmp_path / "a.zip")


def test_a_zip_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/a/images/a.png", bytes(70 << 20))
    with pytest.raises(FormatError, match="dsb-size"):
        dsb2018.read(path)
    # One that lies about its size is found out when it has unpacked to more.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/a/images/a.png", bytes(1 << 20))
    data = path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 1 << 10))
    path.write_bytes(data)
    with pytest.raises(FormatError, match="dsb-zip"):
        dsb2018.read(path)


def test_layers_are_read_again_in_another_place(tmp_path: Path) -> None:
    lay(tmp_path / "one")
    record = formats.read(tmp_path / "one")
    shutil.move(tmp_path / "one", tmp_path / "two")
    raw = record.layers["raw"]
    assert isinstance(raw, Image)
    with pytest.raises(FormatError, match="file-unreadable"):
        raw.read()
