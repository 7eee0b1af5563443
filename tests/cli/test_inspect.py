from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from tests.realdata import real
from tests.report.small import small

from corpuscle import formats
from corpuscle.cli import inspect, pixels
from corpuscle.cli.inspect import describe, measured, tell
from corpuscle.core import Channel, Image, Space
from corpuscle.errors import CorpuscleError, FormatError, LayerError
from corpuscle.formats import c01
from corpuscle.ops import clean

KEYS = {
    "file", "format", "scene", "axes", "shape", "dtype", "um_per_px", "well", "field", "channel", "plate",
    "min", "max", "sum", "sha256_pixels", "p0_1", "p99_9", "sha256_u8_norm",
}  # fmt: skip

PEAK = """
import sys
from pathlib import Path
from corpuscle.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    sys.stderr.write(status.split("VmHWM:")[1].split()[0])
"""


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(x) for x in capsys.readouterr().out.splitlines()]


def test_real_plates_read_as_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    folder = real("nuclei/cellomics")
    golden = json.loads((folder / "golden.json").read_text())
    assert len(golden) == 18
    for want in golden:
        tell(folder / want["file"], as_json=True)
        (told,) = lines(capsys)
        for key in ("min", "max", "sum", "p0_1", "p99_9", "sha256_u8_norm"):
            assert told[key] == want[key], (want["file"], key)
        assert told["sha256_pixels"] == want["sha256_pixels_le"]
        assert told["um_per_px"] == pytest.approx(want["um_per_px"])
        name = Path(want["file"]).stem
        assert name == f"{told['plate']}_{told['well']}{told['field']}{told['channel']}"


def test_each_scene_is_one_line_of_known_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p_1_B03f02d1.C01"
    data = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100
    path.write_bytes(c01.encode(data, um_per_px=0.5))
    tell(path, as_json=True)
    (told,) = lines(capsys)
    assert set(told) == KEYS
    assert told["um_per_px"] == pytest.approx(0.5)
    assert [told[k] for k in ("plate", "well", "field", "channel")] == ["p_1", "B03", "f02", "d1"]
    assert told["sha256_pixels"] == hashlib.sha256(data.tobytes()).hexdigest()
    assert (told["min"], told["max"], told["sum"]) == (0, 1100, 6600)


def test_pixel_sizes_that_differ_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.C01"
    path.write_bytes(c01.encode(np.ones((2, 2), np.uint8), um_per_px=(0.5, 0.25)))
    ((told, _),) = describe(path)
    assert told["um_per_px"] == pytest.approx([0.5, 0.25])
    assert told["sha256_u8_norm"] is None


def test_what_cannot_be_told_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0.5, np.nan]]))
    ((told, _),) = describe(tmp_path / "a.npy")
    assert (told["um_per_px"], told["well"], told["p0_1"], told["sha256_u8_norm"]) == (None, None, None, None)


@given(arrays(st.sampled_from(["?", "u1", "i1", "u2", "i2", "u4", "i8", "u8", "f4", "f8"]), (7, 11)), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_percentiles_are_those_of_clean_however_they_are_counted(
    monkeypatch: pytest.MonkeyPatch, data: np.ndarray, far: bool
) -> None:
    if data.dtype.kind == "i" and not far:
        data = data % 100
    monkeypatch.setattr(pixels, "_PIECE", 5)
    told = measured(Image(data, Space("yx")))
    try:
        want: tuple[float | None, float | None] = clean.percentiles(data)
    except LayerError:
        want = (None, None)
    assert (told["p0_1"], told["p99_9"]) == want
    if data.dtype.kind in "iu" and data.dtype.itemsize > 1:
        assert told["sha256_u8_norm"] == hashlib.sha256(clean.normalise(data).data).hexdigest()


def test_a_large_image_is_told_of_without_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file of a few hundred KB made `info` take 10 seconds and 4 GB.
    monkeypatch.setattr(inspect, "MEASURED", 20)
    path = tmp_path / "p_1_B03f02d1.C01"
    path.write_bytes(c01.encode(np.ones((3, 4), np.uint16)))
    tell(path, as_json=True)
    (told,) = lines(capsys)
    assert set(told) == KEYS | {"note"}
    assert (told["sum"], told["shape"], told["well"], told["channel"]) == (None, [1, 3, 4], "B03", "d1")
    assert "--pixels" in str(told["note"])
    tell(path, as_json=True, pixels=True)
    (told,) = lines(capsys)
    assert (told["sum"], set(told)) == (12, KEYS)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", ["a_A01f00d0.C01", "a.png", "a.tif", "a.npy"])
def test_an_honest_image_takes_little_more_memory_than_its_pixels(tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(0).integers(90, 4000, (6000, 6000)).astype(np.uint16)
    if name.endswith("C01"):
        (tmp_path / name).write_bytes(c01.encode(data))
    elif name.endswith("png"):
        Pillow.fromarray(data).save(tmp_path / name, compress_level=1)
    else:
        formats.write(Image(data, Space("yx")), tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "info", str(tmp_path / name), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["sum"] == int(data.sum(dtype=np.int64))
    assert int(done.stderr) * 1024 < 120e6 + 2.5 * data.nbytes


@given(arrays(st.sampled_from(["u1", "i2", "u4", "i8", "u8"]), (3, 2)))
def test_sums_are_exact(data: np.ndarray) -> None:
    told = measured(Image(data, Space("yx")))
    assert told["sum"] == sum(data.ravel().tolist())
    assert told["sha256_pixels"] == hashlib.sha256(data.tobytes()).hexdigest()


def test_all_channels_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = Image(np.ones((2, 3, 4), np.uint8), Space("cyx"), (Channel("dapi"), Channel("actin")))
    formats.write(image, tmp_path / "a.zarr")
    ((told, _),) = describe(tmp_path / "a.zarr")
    assert told["channel"] == ["dapi", "actin"]
    tell(tmp_path / "a.zarr", as_json=False)
    assert "dapi, actin" in capsys.readouterr().out


def test_a_corpus_is_told_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = small(tmp_path / "corpus", n=4)
    tell(corpus.root, as_json=True)
    (told,) = lines(capsys)
    assert told["records"] == 4
    assert told["digest"] == corpus.digest
    assert told["layers"]["nuclei@good"] == 4  # type: ignore[index]
    assert told["plates"] == {"p1": 4}
    assert told["splits"] == {"published": {"train": 4}} or told["splits"] == {"published": {"train": 4, "test": 0}}
    tell(corpus.root, as_json=False)
    assert corpus.digest in capsys.readouterr().out


def test_a_folder_is_counted_by_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.C01").write_bytes(c01.encode(np.ones((2, 2), np.uint16)))
    (tmp_path / "y\nz.txt").write_text("hello")
    formats.write(Image(np.ones((2, 2), np.uint8), Space("yx")), tmp_path / "z.zarr")
    tell(tmp_path, as_json=True)
    assert lines(capsys) == [{"folder": str(tmp_path), "formats": {"c01": 1, "omezarr": 1, "unknown (.txt)": 1}}]


def test_names_that_cannot_be_printed_are_spelt_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\n\x1b[31mb.C01"
    path.write_bytes(c01.encode(np.ones((2, 2), np.uint16)))
    tell(path, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\n" in out


@pytest.mark.parametrize("cut", [3, 20, 60, -1, -6])
def test_a_torn_file_is_refused(tmp_path: Path, cut: int) -> None:
    rng = np.random.default_rng(0)
    data = c01.encode(rng.integers(0, 4095, (64, 64)).astype(np.uint16))
    path = tmp_path / "a.C01"
    path.write_bytes(data[:cut])
    with pytest.raises(FormatError) as caught:
        tell(path, as_json=True)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpuscleError, match="no such file"):
        tell(tmp_path / "none.C01", as_json=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_bad_file_costs_little_time_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "bad.C01"
    path.write_bytes(b"\0\0\0\x10" + b"x\x9c" + bytes(200))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "info", str(path), "--json"], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["file"], set(told)) == (str(path), {"file", "rule", "reason", "fix"})
    assert seconds < 10  # a second, where nothing else runs
    assert int(done.stderr) < 100_000
