"""Folders as people have them: every case here once built too little, too much, or fell over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from corpuscle.bench.run import benchmark, keep
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.fingerprint import fingerprint
from corpuscle.core import Image, Space
from corpuscle.corpus.check import check
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError, SettingsError
from corpuscle.formats import c01, png, rgbmask
from corpuscle.recipe import build, configured
from corpuscle.recipes import load


def picture(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    labels = np.zeros((48, 64), np.int32)
    labels[5:20, 5:20], labels[25:40, 30:45] = 1, 2
    return (np.where(labels > 0, 150, 20) + rng.integers(0, 20, labels.shape)).astype(np.uint8), labels


def write_pair(image: Path, mask: Path, seed: int = 0) -> None:
    pixels, labels = picture(seed)
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    if image.suffix == ".png":
        png.write(Image(pixels, Space("yx")), image)
        mask.write_bytes(png.encode(rgbmask.encode(labels)))
    else:
        tifffile.imwrite(image, pixels)
        tifffile.imwrite(mask, labels.astype(np.uint16))


def write_sample(folder: Path) -> None:
    pixels, labels = picture(9)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    png.write(Image(pixels, Space("yx")), folder / "images" / f"{folder.name}.png")
    for i in (1, 2):
        mask = Image((labels == i).astype(np.uint8) * 255, Space("yx"))
        png.write(mask, folder / "masks" / f"m{i}.png")


def write_channel(folder: Path, name: str, level: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = picture(level)[0].astype(np.uint16) * level
    (folder / f"{name}.C01").write_bytes(c01.encode(pixels, um_per_px=0.645, compressed=True))


def built(raw: Path, root: Path) -> tuple[Corpus, list[CorpuscleError]]:
    told: list[CorpuscleError] = []
    with Local(1) as engine:
        build(load("nuclei"), raw, root, engine=engine, tell=told.append)
    assert check(root) == ()
    return Corpus.open(root), told


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("inner", ["", "train"])
@pytest.mark.parametrize("number", [1, 3])
def test_folders_of_images_and_masks_are_pairs(tmp_path: Path, suffix: str, inner: str, number: int) -> None:
    for i in range(number):
        write_pair(
            tmp_path / "raw" / inner / f"images/s{i}{suffix}", tmp_path / "raw" / inner / f"masks/s{i}{suffix}", i
        )
    write_sample(tmp_path / "beside")  # nothing above the raw folder is ever looked at
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert not told
    assert len(corpus) == number
    assert all("nuclei" in e.layers for e in corpus.entries.values())


def test_a_sample_takes_its_own_files_and_no_others(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw" / "abc0")
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    write_pair(tmp_path / "raw" / "abc0" / "inside.tif", tmp_path / "raw" / "abc0" / "inside_mask.tif")
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert not told
    assert sorted(corpus) == ["a", "abc0", "inside"]
    assert [len(corpus[n].table("objects")) for n in sorted(corpus)] == [2, 2, 2]


def test_the_same_images_as_folder_and_as_zip_are_one_corpus(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw" / "abc0")
    write_sample(tmp_path / "raw" / "abc1")
    (tmp_path / "zipped").mkdir()
    shutil.make_archive(str(tmp_path / "zipped" / "all"), "zip", tmp_path / "raw")
    assert built(tmp_path / "raw", tmp_path / "c")[0].digest == built(tmp_path / "zipped", tmp_path / "d")[0].digest


def test_channels_are_matched_by_name(tmp_path: Path) -> None:
    for field, channels in {"f00": (1, 2), "f01": (0, 2), "f02": (0, 1, 2)}.items():
        for c in channels:
            write_channel(tmp_path / "raw", f"P_B03{field}d{c}", c + 1)
    _, labels = picture()
    for field in ("f00", "f02"):
        (tmp_path / "raw" / f"P_B03{field}d0_objects.png").write_bytes(png.encode(rgbmask.encode(labels)))
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert [e.rule for e in told] == ["channel-missing", "channel-missing"]
    without, whole = corpus["P_B03f00"], corpus["P_B03f02"]
    assert "nuclei" in without.layers
    assert not [n for n in without.layers if "@" in n]
    assert "objects" not in without.layers
    assert "nuclei@local" in whole.layers
    shading = corpus["plate:P"].image("illumination")
    assert [c.name for c in shading.channels] == ["d0", "d1", "d2"]


def test_a_refused_annotation_leaves_its_picture_and_nothing_else(tmp_path: Path) -> None:
    write_pair(tmp_path / "raw" / "a.tif", tmp_path / "raw" / "a_mask.tif")
    tifffile.imwrite(tmp_path / "raw" / "a_mask.tif", np.full((48, 64), -1, np.int16))
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert [e.rule for e in told] == ["labels-negative"]
    assert list(corpus["a"].layers) == ["raw"]


def test_records_follow_their_sources(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for i in range(4):
        write_pair(raw / f"s{i}.png", raw / f"s{i}_objects.png", i)
    write_pair(raw / "x" / "s0.png", raw / "x" / "s0_objects.png", 7)
    built(raw, tmp_path / "c")
    shutil.rmtree(raw / "x")
    corpus, told = built(raw, tmp_path / "c")
    assert {e.rule for e in told} == {"record-gone"}
    assert corpus.digest == built(raw, tmp_path / "fresh")[0].digest


def test_another_folder_is_not_taken_for_the_same(tmp_path: Path) -> None:
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    write_pair(tmp_path / "raw" / "b.png", tmp_path / "raw" / "b_objects.png")
    write_pair(tmp_path / "other" / "c.png", tmp_path / "other" / "c_objects.png")
    digest = built(tmp_path / "raw", tmp_path / "c")[0].digest
    with pytest.raises(SettingsError, match="have no source here"):
        built(tmp_path / "other", tmp_path / "c")
    assert built(tmp_path / "raw", tmp_path / "c")[0].digest == digest


def test_nothing_to_build_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "notes.txt").write_text("nothing")
    with pytest.raises(SettingsError, match="nothing here"):
        built(tmp_path / "raw", tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write_pair(tmp_path / "far" / "a.png", tmp_path / "far" / "a_objects.png")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "raw" / "loop").symlink_to(tmp_path / "raw")
    assert list(built(tmp_path / "raw", tmp_path / "c")[0]) == ["a"]


def test_a_file_is_no_corpus(tmp_path: Path) -> None:
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    (tmp_path / "c").write_text("mine")
    with pytest.raises(SettingsError, match="that is a file"):
        built(tmp_path / "raw", tmp_path / "c")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nuclei@gauss-otsu.sigma", -5.0),
        ("normalised.high", 200.0),
        ("nuclei@otsu.method", "os.system"),
    ],
)
def test_settings_are_tried_before_anything_runs(key: str, value: Any) -> None:
    with pytest.raises(SettingsError):
        configured(load("nuclei"), {key: value})


def test_every_step_runs_on_the_probe() -> None:
    for step in load("nuclei").steps:
        layer = step.writes if isinstance(step.writes, str) else step.writes[0]
        bound = getattr(step.op, "keywords", {})
        for name, value in bound.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                again = configured(load("nuclei"), {f"{layer}.{name}": value})
                assert [fingerprint(s) for s in again.steps] == [fingerprint(s) for s in load("nuclei").steps]


def test_workers_end_with_their_coordinator(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from corpuscle.blocks.engines.local import Local\n"
        "if __name__ == '__main__':\n"
        "    with Local(2) as engine:\n"
        "        for o in engine.map(time.sleep, [0.05] * 4 + [60] * 8):\n"
        "            print('up', flush=True)\n"
    )
    script = tmp_path / "s.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True)
    assert run.stdout is not None
    run.stdout.readline()
    os.kill(run.pid, 9)
    run.wait()
    # Whoever reads what the run printed gets to the end of it: no worker holds it open.
    start = time.monotonic()
    run.stdout.read()
    run.stdout.close()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("name", ["split.json", "study.json"])
def test_a_torn_split_or_study_does_not_stop_the_images(tmp_path: Path, name: str) -> None:
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    (tmp_path / "raw" / name).write_text('{"train": ["a"')
    told: list[CorpuscleError] = []
    with Local(1) as engine:
        receipt = build(load("nuclei"), tmp_path / "raw", tmp_path / "c", engine=engine, tell=told.append)
    assert not receipt.ok
    assert [Path(e.where).name for e in told] == [name]
    assert list(Corpus.open(tmp_path / "c")) == ["a"]


def test_a_name_that_is_no_text_is_told_of(tmp_path: Path) -> None:
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    shutil.copy(tmp_path / "raw" / "a.png", tmp_path / "raw" / os.fsdecode(b"n\xff.png"))
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert [e.rule for e in told] == ["file-name"]
    assert told[0].as_json()
    assert list(corpus) == ["a"]


def test_a_setting_set_back_leaves_nothing_behind(tmp_path: Path) -> None:
    for field in ("f00", "f01"):
        write_channel(tmp_path / "raw", f"P_B03{field}d0", 3)
    built(tmp_path / "raw", tmp_path / "plain")
    with Local(1) as engine:
        everywhere = configured(load("nuclei"), {"nuclei@local.everywhere": True})
        build(everywhere, tmp_path / "raw", tmp_path / "c", engine=engine)
    assert "nuclei@local" in Corpus.open(tmp_path / "c")["P_B03f00"].layers
    built(tmp_path / "raw", tmp_path / "c")
    shutil.rmtree(tmp_path / "plain" / "runs")  # receipts, which tell of one run each
    shutil.rmtree(tmp_path / "c" / "runs")
    for path in sorted((tmp_path / "plain").rglob("*")):
        other = tmp_path / "c" / path.relative_to(tmp_path / "plain")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path
    assert len(list((tmp_path / "c").rglob("*"))) == len(list((tmp_path / "plain").rglob("*")))


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused_at_the_door(tmp_path: Path, hole: float) -> None:
    pixels = np.zeros((40, 40), np.float32)
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    tifffile.imwrite(tmp_path / "raw" / "sound.tif", pixels)
    pixels[3, 4] = hole
    tifffile.imwrite(tmp_path / "raw" / "hollow.tif", pixels)
    corpus, told = built(tmp_path / "raw", tmp_path / "c")
    assert [(Path(e.where).name, e.rule) for e in told] == [("hollow.tif", "pixels-nan")]
    assert list(corpus) == ["a", "sound"]


def test_a_kept_run_that_was_changed_is_found(tmp_path: Path) -> None:
    write_pair(tmp_path / "raw" / "a.png", tmp_path / "raw" / "a_objects.png")
    corpus, _ = built(tmp_path / "raw", tmp_path / "c")
    with Local(1) as engine:
        name = keep(corpus, benchmark(corpus, load("nuclei").tasks, engine=engine))
    path = corpus.layout.runs / f"bench-{name}.json"
    assert check(corpus.root) == ()
    whole = path.read_text()
    path.write_text(whole.replace('"n_records": 1', '"n_records": 2', 1))
    assert [p.rule for p in check(corpus.root)] == ["run-changed"]
    path.write_text(whole[:1000])
    assert [p.rule for p in check(corpus.root)] == ["run-torn"]
