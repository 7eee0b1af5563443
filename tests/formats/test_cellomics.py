from __future__ import annotations

import pickle
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from tests.formats.samples import picture
from tests.realdata import real

from corpuscle.core import Record
from corpuscle.errors import FormatError
from corpuscle.formats import c01
from corpuscle.formats.cellomics import plate


def put(folder: Path, name: str, seed: int = 0, shape: tuple[int, int] = (6, 7)) -> None:
    folder.mkdir(exist_ok=True)
    compressed = not name.lower().endswith("dib")
    (folder / name).write_bytes(c01.encode(picture(shape, seed=seed), um_per_px=0.5, compressed=compressed))


def parted(folder: Path) -> tuple[dict[str, Record], list[FormatError]]:
    found = list(plate(folder))
    return {r.name: r for r in found if isinstance(r, Record)}, [e for e in found if isinstance(e, FormatError)]


def test_the_real_plates() -> None:
    records, errors = parted(real("nuclei/cellomics"))
    assert not errors
    assert list(records) == [
        "AS_09125_050116110001_A01f00",
        "AS_09125_050116110001_A01f01",
        "MFGTMP_120628160001_C18f00",
        "MFGTMP_120628160001_C18f01",
        "MFGTMP_120628160001_C18f02",
    ]
    for record in records.values():
        raw = record.image("raw")
        assert [c.name for c in raw.channels] == ["d0", "d1", "d2"]
        assert ("vendor_overlay" in record.layers) == record.name.startswith("MFGTMP")
        files = sorted(real("nuclei/cellomics").glob(f"{record.name}d*"))
        np.testing.assert_array_equal(raw.read(), [c01.decode(f.read_bytes()) for f in files])


def test_a_missing_channel_is_told_and_moves_nothing(tmp_path: Path) -> None:
    source = real("nuclei/cellomics")
    for file in source.glob("MFGTMP*"):
        shutil.copy(file, tmp_path / file.name)
    whole = {name: r.image("raw").read() for name, r in parted(tmp_path)[0].items()}
    (tmp_path / "MFGTMP_120628160001_C18f01d1.C01").unlink()
    records, errors = parted(tmp_path)
    assert not errors
    hurt = records["MFGTMP_120628160001_C18f01"]
    assert hurt.facts["missing_channels"].value == "d1"
    assert [c.name for c in hurt.image("raw").channels] == ["d0", "d2"]
    np.testing.assert_array_equal(hurt.image("raw").read(), whole[hurt.name][[0, 2]])
    for name in set(whole) - {hurt.name}:
        assert "missing_channels" not in records[name].facts
        np.testing.assert_array_equal(records[name].image("raw").read(), whole[name])


def test_channels_come_by_number_and_fields_too(tmp_path: Path) -> None:
    for name in ("p_A01f100d10.C01", "p_A01f100d2.C01", "p_A01f29d2.C01", "p_A01f29d10.C01"):
        put(tmp_path, name)
    records, _ = parted(tmp_path)
    assert list(records) == ["p_A01f29", "p_A01f100"]
    assert [c.name for c in records["p_A01f29"].image("raw").channels] == ["d2", "d10"]


def test_overlays_are_never_taken_for_images(tmp_path: Path) -> None:
    put(tmp_path, "p_A01f00d0.C01", 1)
    put(tmp_path, "p_A01f00o1.C01", 2)
    put(tmp_path, "p_A01f01o1.C01", 3)
    records, errors = parted(tmp_path)
    assert set(records["p_A01f00"].layers) == {"raw", "vendor_overlay"}
    np.testing.assert_array_equal(records["p_A01f00"].image("raw").read()[0], picture((6, 7), seed=1))
    assert [e.rule for e in errors] == ["c01-no-image"]


def test_a_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "p_A01f00d0.C01")
    put(tmp_path, "p_A01f00d1.C01", shape=(8, 8))
    (tmp_path / "p_A01f00d2.C01").write_bytes(b"rubbish")
    put(tmp_path, "p_A02f00d0.C01")
    put(tmp_path, "image1.c01")
    (tmp_path / "image2.c01").write_bytes(b"")
    records, errors = parted(tmp_path)
    assert sorted(e.rule for e in errors) == ["c01-magic", "c01-magic", "c01-odd"]
    assert set(records) == {"p_A01f00", "p_A02f00", "image1"}
    assert records["p_A01f00"].facts["unreadable_channels"].value == "d1,d2"
    assert "missing_channels" not in records["p_A01f00"].facts
    assert records["p_A02f00"].facts["missing_channels"].value == "d1,d2"
    assert records["image1"].groups == {}


def test_the_first_of_twins_is_kept(tmp_path: Path) -> None:
    put(tmp_path, "p_A01f00d0.C01", 1)
    put(tmp_path, "p_A01f00d0.DIB", 2)
    records, (error,) = parted(tmp_path)
    assert error.rule == "c01-duplicate"
    assert error.where.endswith(".DIB")
    np.testing.assert_array_equal(records["p_A01f00"].image("raw").read()[0], picture((6, 7), seed=1))


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    for well in ("A01", "B02", "P24"):
        for field in range(3):
            put(tmp_path / well, f"p_{well}f{field:02d}d0.C01", field) if field else put(tmp_path, f"p_{well}f00d0.C01")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    expected = [r.name for r in plate(tmp_path) if isinstance(r, Record)]
    for seed in range(3):
        random.Random(seed).shuffle(files)
        assert [r.name for r in plate(files) if isinstance(r, Record)] == expected


def test_a_box_reads_only_the_channel_it_needs(tmp_path: Path) -> None:
    put(tmp_path, "p_A01f00d0.C01", 1)
    put(tmp_path, "p_A01f00d1.C01", 2)
    (record,) = plate(tmp_path)
    assert isinstance(record, Record)
    raw = pickle.loads(pickle.dumps(record.image("raw")))
    (tmp_path / "p_A01f00d1.C01").unlink()
    np.testing.assert_array_equal(raw.array[0:1, 2:4], picture((6, 7), seed=1)[None, 2:4])
    with pytest.raises(FormatError, match="file-unreadable"):
        raw.read()


@pytest.mark.slow
def test_ten_thousand_files_are_scanned_in_seconds(tmp_path: Path) -> None:
    data = c01.encode(picture((32, 32)))
    for i in range(10_000):
        (tmp_path / f"p_{chr(65 + i // 1000)}{i // 40 % 24 + 1:02d}f{i % 1000:03d}d0.C01").write_bytes(data)
    start = time.perf_counter()
    assert sum(isinstance(r, Record) for r in plate(tmp_path)) == 10_000
    assert time.perf_counter() - start < 5
