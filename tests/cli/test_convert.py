from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models import open_ome_zarr

from corpuscle import formats
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.sink import ZarrSink
from corpuscle.cli import convert as module
from corpuscle.cli.convert import Means, convert, run_convert
from corpuscle.core import Channel, Image, Space
from corpuscle.errors import FormatError, SettingsError
from corpuscle.formats import c01, omezarr, png
from corpuscle.ops import clean

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(90, 4000, (40, 30)).astype(np.uint16)


@pytest.fixture
def plate_file(tmp_path: Path) -> Path:
    path = tmp_path / "p_B03f02d1.C01"
    path.write_bytes(c01.encode(PIXELS, um_per_px=0.5))
    return path


def pixels(path: Path) -> np.ndarray:
    record = formats.read(path)
    return np.squeeze(next(x for x in record.layers.values() if isinstance(x, Image)).read())


@pytest.mark.parametrize("name", ["a.zarr", "a.png", "a.npy", "a.C01", "a.DIB", "a.ome.tiff", "a b\nü.png"])
def test_the_pixels_arrive(plate_file: Path, name: str) -> None:
    dst = plate_file.with_name(name)
    convert(plate_file, dst)
    assert (pixels(dst) == PIXELS).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_go_along_into_zarr(tmp_path: Path, version: str) -> None:
    image = Image(PIXELS, Space("yx", scale=(0.5, 0.5)))
    labels = Image((PIXELS > 2000).astype(np.int32), image.space, labels_of="raw")
    omezarr.write(image, tmp_path / "a.zarr")
    omezarr.write_labels(labels, tmp_path / "a.zarr", name="nuclei")
    done = convert(tmp_path / "a.zarr", tmp_path / "b.zarr", version=version)
    back = formats.read(tmp_path / "b.zarr")
    assert done.layers == ("raw", "nuclei")
    assert done.losses == ()
    assert (back.image("nuclei").read() == labels.read()).all()
    assert back.image("nuclei").labels_of == "raw"
    assert (tmp_path / "b.zarr" / (".zattrs" if version == "0.4" else "zarr.json")).exists()
    lost = convert(tmp_path / "a.zarr", tmp_path / "c.npy").losses
    assert {x.what: x.items for x in lost}["layers"] == ("nuclei",)


def test_what_is_lost_is_told(plate_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dst = plate_file.with_name("a.png")
    run_convert(plate_file, dst, scene=None, version="0.5", normalise=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    lost = {x["what"]: x["items"] for x in told["losses"]}
    assert lost == {"channels": ["d1"], "axes": ["c"], "scale": ["y 0.5", "x 0.5"]}
    run_convert(plate_file, dst.with_name("b.npy"), scene=None, version="0.5", normalise=False, as_json=False)
    out = capsys.readouterr().out
    assert "lost" in out
    assert "bits 16" in out


def test_normalised_once_and_never_again(plate_file: Path) -> None:
    lo, hi = clean.percentiles(PIXELS)
    once, twice = plate_file.with_name("once.png"), plate_file.with_name("twice.png")
    assert convert(plate_file, once, normalise=True).stretched == {"p_lo": lo, "p_hi": hi}
    assert (pixels(once) == clean.normalise(PIXELS)).all()
    facts = formats.read(once).facts
    assert (facts["p_lo"].value, facts["p_hi"].value, facts["normalised"].value) == (lo, hi, True)
    assert convert(once, twice, normalise=True).stretched == {}
    assert once.read_bytes() == twice.read_bytes()


def test_16_bits_that_say_they_are_normalised_stay(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(PIXELS, texts={"normalised": True}))
    assert convert(tmp_path / "a.png", tmp_path / "b.png", normalise=True).stretched == {}
    assert (pixels(tmp_path / "b.png") == PIXELS).all()


def test_a_constant_image_is_normalised_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.C01").write_bytes(c01.encode(np.full((4, 4), 7, np.uint16)))
    convert(tmp_path / "a.C01", tmp_path / "b.png", normalise=True)
    assert pixels(tmp_path / "b.png").max() == 0


def test_each_channel_has_its_own_limits(tmp_path: Path) -> None:
    data = np.stack([PIXELS, PIXELS // 3])
    image = Image(data, Space("cyx"), (Channel("dapi"), Channel("actin")))
    omezarr.write(image, tmp_path / "a.zarr")
    done = convert(tmp_path / "a.zarr", tmp_path / "b.zarr", normalise=True)
    assert set(done.stretched) == {"p_lo_dapi", "p_hi_dapi", "p_lo_actin", "p_hi_actin"}
    assert (pixels(tmp_path / "b.zarr") == np.stack([clean.normalise(x) for x in data])).all()


def test_nothing_is_overwritten(plate_file: Path) -> None:
    dst = plate_file.with_name("a.png")
    dst.write_text("mine")
    with pytest.raises(SettingsError, match="already"):
        convert(plate_file, dst)
    assert dst.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "version", "error"),
    [("a.xyz", "0.5", FormatError), ("a.zarr", "0.3", SettingsError), ("no/a.png", "0.5", SettingsError)],
)
def test_what_cannot_be_meant_is_refused(plate_file: Path, name: str, version: str, error: type[Exception]) -> None:
    before = sorted(plate_file.parent.iterdir())
    with pytest.raises(error):
        convert(plate_file, plate_file.parent / name, version=version)
    assert sorted(plate_file.parent.iterdir()) == before


def test_labels_stay_labels_from_file_to_file(tmp_path: Path) -> None:
    # The object image came back as a picture in colour, and its TIFF held three channels.
    truth = np.kron(np.arange(1, 10, dtype=np.int32).reshape(3, 3), np.pad(np.ones((6, 6), np.int32), 2))
    omezarr.write(Image(truth, Space("yx"), labels_of="raw"), tmp_path / "l0.zarr")
    for src, dst in (("l0.zarr", "l1_objects.png"), ("l1_objects.png", "l2.tif"), ("l2.tif", "l3.npy"),
                     ("l3.npy", "l4_objects.png")):  # fmt: skip
        convert(tmp_path / src, tmp_path / dst)
        assert (pixels(tmp_path / dst) == truth).all(), dst
    assert formats.sniff(tmp_path / "l1_objects.png") == "rgbmask"
    for name in ("l1_objects.png", "l2.tif", "l4_objects.png"):
        assert formats.read(tmp_path / name).image("labels").labels_of == "raw"


def test_numbers_that_are_no_labels_are_not_made_into_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-1, 0], [2, 3]], np.int32))
    np.save(tmp_path / "b.npy", np.array([[0.5, 0], [2, 3]]))
    for name in ("a", "b"):
        with pytest.raises(FormatError):
            convert(tmp_path / f"{name}.npy", tmp_path / f"{name}_objects.png")


def test_a_torn_source_leaves_nothing(plate_file: Path) -> None:
    plate_file.write_bytes(plate_file.read_bytes()[:-30])
    before = sorted(plate_file.parent.iterdir())
    for name in ("a.zarr", "a.png", "a.npy"):
        with pytest.raises(FormatError):
            convert(plate_file, plate_file.with_name(name))
    assert sorted(plate_file.parent.iterdir()) == before


def stack(path: Path, **how: Any) -> np.ndarray:
    data = RNG.integers(0, 999, (20, 300, 200)).astype(np.uint16)
    tifffile.imwrite(path, data, photometric="minisblack", **how)
    return data


def test_verify_goes_block_by_block_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = stack(tmp_path / "a.tif", metadata={"axes": "ZYX"})
    told: dict[str, Any] = {"scene": None, "version": "0.5", "normalise": False, "verify": True, "workers": 1}
    assert run_convert(tmp_path / "a.tif", tmp_path / "b.zarr", as_json=False, **told) == 0
    assert "compared it with its source" in capsys.readouterr().out
    np.testing.assert_array_equal(pixels(tmp_path / "b.zarr"), data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.zarr"]


def test_small_and_large_give_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(tmp_path / "a.ome.tif", ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5})
    convert(tmp_path / "a.ome.tif", tmp_path / "small.zarr")
    monkeypatch.setattr(module, "LARGE", 0)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "large.zarr").receipt is not None
    files = [sorted(p.relative_to(d) for p in d.rglob("*")) for d in (tmp_path / "small.zarr", tmp_path / "large.zarr")]
    assert files[0] == files[1]
    for file in files[0]:
        if (tmp_path / "small.zarr" / file).is_file():
            assert (tmp_path / "small.zarr" / file).read_bytes() == (tmp_path / "large.zarr" / file).read_bytes()


def test_what_the_vendor_says_is_kept_word_for_word(tmp_path: Path) -> None:
    stack(tmp_path / "a.ome.tif", ome=True, metadata={"axes": "ZYX", "Plane": {"ExposureTime": [0.1] * 20}})
    stack(tmp_path / "b.tif", imagej=True, metadata={"axes": "ZYX", "Info": "exposure 12 ms"})
    done = convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert (tmp_path / "a.zarr" / "OME" / "METADATA.ome.xml").read_text() == file.ome_metadata
    assert done.unmapped["Plane"] == 20
    assert "Pixels.SizeX" not in done.unmapped
    done = convert(tmp_path / "b.tif", tmp_path / "b.zarr")
    group = json.loads((tmp_path / "b.zarr" / "source" / "zarr.json").read_text())
    assert group["attributes"]["corpuscle"]["source"]["tags"]["IJMetadata"] == {"Info": "exposure 12 ms"}
    assert "ImageDescription" in done.unmapped
    for name in ("a", "b"):
        open_ome_zarr(zarr.open_group(tmp_path / f"{name}.zarr", mode="r"))
        assert formats.read(tmp_path / f"{name}.zarr").image("raw").shape == (20, 300, 200)


def test_axes_that_the_source_does_not_tell(tmp_path: Path) -> None:
    stack(tmp_path / "a.tif", metadata=None)
    assert formats.read(tmp_path / "a.tif").image("raw").space.axes == ("page", "y", "x")
    convert(tmp_path / "a.tif", tmp_path / "a.zarr", axes="zyx")
    assert formats.read(tmp_path / "a.zarr").image("raw").space.axes == ("z", "y", "x")
    for axes in ("yx", "zzx", "?yx"):
        with pytest.raises(SettingsError, match="axes"):
            convert(tmp_path / "a.tif", tmp_path / "b.zarr", axes=axes)


@pytest.mark.parametrize(
    ("dst", "more"), [("b.tif", {}), ("b.zarr", {"version": "0.4"}), ("b.zarr", {"normalise": True})]
)
def test_only_what_keeps_its_pixels_is_compared(dst: str, more: dict[str, Any], tmp_path: Path) -> None:
    stack(tmp_path / "a.tif")
    with pytest.raises(SettingsError, match="compared"):
        convert(tmp_path / "a.tif", tmp_path / dst, verify=True, **more)
    assert not (tmp_path / dst).exists()


def test_a_source_that_changed_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(tmp_path / "a.tif", metadata={"axes": "ZYX"})

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ZarrSink, "build", killed)
        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "a.tif", tmp_path / "b.zarr", verify=True, means=Means(lambda: Local(1)))
    assert (tmp_path / "b.zarr.ledger").is_dir()
    before = os.stat(tmp_path / "a.tif")
    stack(tmp_path / "a.tif", metadata={"axes": "ZYX"})
    os.utime(tmp_path / "a.tif", ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had happened
    with pytest.raises(SettingsError, match="unfinished"):
        convert(tmp_path / "a.tif", tmp_path / "b.zarr", verify=True)
