"""What a build would take, told from a few records that are built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpuscle.blocks.forecast import times
from corpuscle.core import Image, Space
from corpuscle.errors import FormatError, PlanError, SettingsError
from corpuscle.formats import omezarr, png
from corpuscle.recipe import build
from corpuscle.recipe.forecast import forecast
from corpuscle.recipe.subjects import made_up, plan, steps_of, subject
from corpuscle.recipes import load
from corpuscle.store.atomic import read_json
from corpuscle.store.digest import of_json


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, and a file that only looks like one."""
    folder = tmp_path_factory.mktemp("world") / "raw"
    folder.mkdir()
    for i in range(6):
        png.write(Image(made_up((150, 160), np.dtype(np.uint8)), Space("yx")), folder / f"p{i}.png")
    whole = (folder / "p0.png").read_bytes()
    (folder / "q.png").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_build_is_told_step_by_step_and_a_receipt_kept(raw: Path, tmp_path: Path) -> None:
    recipe = load("nuclei")
    told = forecast(recipe, raw, workers=1)
    assert told.told.rows[0].step == "ingest"
    assert told.told.rows[0].units == told.records
    assert 3 <= told.told.sampled <= 4
    root = tmp_path / "corpus"
    done = build(recipe, raw, root)
    assert done.peak > 0
    assert done.stages[0].step == "ingest"
    (kept,) = root.joinpath("runs").glob("build-*.json")
    body = read_json(kept)
    assert kept.stem == f"build-{of_json(body)[:16]}"
    assert body["steps"][0]["done"] == 6
    assert [f["where"] for f in body["failures"]] == ["q.png"]
    assert body["disk_mb"] == pytest.approx(told.told.disk / 1e6, rel=0.5)
    assert str(raw) not in kept.read_text()
    build(recipe, raw, root)
    assert len(list(root.joinpath("runs").iterdir())) == 1, "a run that did nothing leaves no receipt"


def test_a_build_that_cannot_fit_is_refused(raw: Path) -> None:
    with pytest.raises(PlanError) as told:
        forecast(load("nuclei"), raw, workers=1, memory=1_000_000)
    assert told.value.rule == "plan-memory"


def test_a_folder_of_nothing_takes_nothing(tmp_path: Path) -> None:
    told = forecast(load("nuclei"), tmp_path, workers=1)
    assert (told.records, told.told.rows, told.told.disk) == (0, (), 0)


def test_a_size_is_planned_from_made_up_pixels(tmp_path: Path) -> None:
    of = subject("7168x4608x4608:float32", side=64)
    assert of.image.nbytes == 608_811_614_208
    assert of.piece.shape == (64, 64, 128)
    told = plan("filter", of, workers=1, block=(64, 64, 64), folder=tmp_path)
    (row,) = told.rows
    assert row.units == 112 * 72 * 72
    assert 0.3 * of.image.nbytes < row.stays < 1.3 * of.image.nbytes
    assert times(told, 216).rows[0].units == 216 * row.units
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_planned_from_its_own_blocks(tmp_path: Path) -> None:
    path = tmp_path / "plane.zarr"
    omezarr.write(Image(made_up((300, 200), np.dtype(np.uint8)), Space("yx")), path, name="raw")
    of = subject(str(path))
    told = plan("components", of, workers=1, block=(100, 100), folder=tmp_path)
    assert [(r.step, r.units) for r in told.rows] == [("components", 6)]
    (step,) = steps_of("components", of)
    assert step.labels_of == "raw"  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16"])
def test_made_up_pixels_hold_noise(dtype: str) -> None:
    pixels = made_up((40, 130), np.dtype(dtype))
    assert (pixels.shape, pixels.dtype) == ((40, 130), np.dtype(dtype))
    assert len(np.unique(pixels)) > 100
    np.testing.assert_array_equal(pixels, made_up((40, 130), np.dtype(dtype)))


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("5x0x5", SettingsError),
        ("1x2x3x4x5x6", SettingsError),
        ("5x5:complex64", SettingsError),
        ("5x5:nothing", SettingsError),
        ("absent.tif", FormatError),
        ("7", FormatError),
    ],
)
def test_what_is_no_file_and_no_size_is_refused(told: str, kind: type[Exception]) -> None:
    with pytest.raises((kind, OSError)):
        subject(told)
