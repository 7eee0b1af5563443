"""From raw files to a corpus: killed, resumed, given bad files; the answer is the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpuscle.blocks.engines.local import Local
from corpuscle.core import Image, Space
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError, SettingsError
from corpuscle.formats import c01, png, rgbmask
from corpuscle.recipe import build, configured
from corpuscle.recipes import load
from corpuscle.store.ledger import beside
from corpuscle.worlds.nuclei import write_scale


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A plate of six fields with d0 and d1, one annotated PNG pair."""
    raw = tmp_path / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    for well in ("A01", "B02"):
        for field in range(3):
            for channel in range(2):
                pixels = rng.integers(100, 4000, (40, 56)).astype(np.uint16)
                data = c01.encode(pixels, um_per_px=0.645, compressed=True)
                (raw / f"P1_{well}f{field:02}d{channel}.C01").write_bytes(data)
    labels = np.zeros((40, 56), np.int32)
    labels[4:20, 4:20], labels[4:20, 20:36] = 1, 2
    picture = np.where(labels > 0, 180, 20).astype(np.uint8) + rng.integers(0, 9, labels.shape).astype(np.uint8)
    png.write(Image(picture, Space("yx")), raw / "P2_C03f01d0.png")
    (raw / "P2_C03f01d0_objects.png").write_bytes(png.encode(rgbmask.encode(labels)))
    return raw


def built(
    raw: Path, root: Path, settings: Mapping[str, Any] | None = None, *, workers: int = 1
) -> tuple[Corpus, list[CorpuscleError]]:
    told: list[CorpuscleError] = []
    with Local(workers) as engine:
        build(configured(load("nuclei"), settings or {}), raw, root, engine=engine, tell=told.append)
    return Corpus.open(root), told


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file but the receipts, which tell of one run: when it was, and how long it took."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and p.parent != root / "runs")
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def test_workers_never_change_a_byte(raw: Path, tmp_path: Path) -> None:
    built(raw, tmp_path / "one", workers=1)
    built(raw, tmp_path / "two", workers=2)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_a_second_build_changes_nothing_and_does_nothing(raw: Path, tmp_path: Path) -> None:
    built(raw, tmp_path / "c")
    before = snapshot(tmp_path / "c")
    with Local(1) as engine:
        receipt = build(load("nuclei"), raw, tmp_path / "c", engine=engine)
    assert receipt.done == 0
    assert snapshot(tmp_path / "c") == before


def test_what_is_built_is_what_was_there(raw: Path, tmp_path: Path) -> None:
    corpus, told = built(raw, tmp_path / "c")
    assert not told
    record = corpus["P1_A01f02"]
    image = record.image("raw")
    assert image.space.axes == ("c", "y", "x")
    assert image.space.scale[1:] == pytest.approx((0.645, 0.645), abs=1e-4)
    for i in range(2):
        expected = c01.decode((raw / f"P1_A01f02d{i}.C01").read_bytes())
        np.testing.assert_array_equal(image.read()[i], expected)
    assert record.image("normalised").dtype == np.uint8
    assert list(record.table("intensity")["channel"]) == ["d0", "d1"]
    annotated = corpus["P2_C03f01d0"]
    assert "normalised" not in annotated.layers
    assert annotated.facts["normalised"].source == "assumed"
    assert len(np.unique(annotated.image("nuclei").read())) == 3
    assert annotated.graph("neighbours").edges.tolist() == [[0, 1]]
    assert len(annotated.table("objects")) == 2
    assert corpus["plate:P1"].image("illumination").space.axes == ("c", "y", "x")


def test_a_setting_remakes_its_layer_and_leaves_the_digest(raw: Path, tmp_path: Path) -> None:
    first, _ = built(raw, tmp_path / "c")
    old = first["P2_C03f01d0"]
    second, _ = built(raw, tmp_path / "c", {"nuclei@gauss-otsu.sigma": 3.0})
    assert second.digest == first.digest
    was, now = first.entries[old.name].layers, second.entries[old.name].layers
    assert now["nuclei@otsu"] == was["nuclei@otsu"]
    assert now["nuclei@gauss-otsu"].digest != was["nuclei@gauss-otsu"].digest
    assert (
        second.entries[old.name].layers["nuclei@gauss-otsu"].path
        != first.entries[old.name].layers["nuclei@gauss-otsu"].path
    )
    folder = (tmp_path / "c" / second.entries[old.name].layers["nuclei"].path).parent
    assert sum(p.name.startswith("nuclei.gauss-otsu") for p in folder.iterdir()) == 1


def test_a_changed_source_is_made_anew(raw: Path, tmp_path: Path) -> None:
    first, _ = built(raw, tmp_path / "c")
    pixels = np.full((40, 56), 777, np.uint16)
    (raw / "P1_A01f00d0.C01").write_bytes(c01.encode(pixels, um_per_px=0.645, compressed=True))
    second, _ = built(raw, tmp_path / "c")
    assert second.digest != first.digest
    assert (second["P1_A01f00"].image("raw").read()[0] == 777).all()
    again, _ = built(raw, tmp_path / "fresh")
    assert again.digest == second.digest


def test_unknown_settings_and_foreign_folders_are_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="names no step"):
        configured(load("nuclei"), {"nothing.x": 1})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(SettingsError, match="something else"):
        built(raw, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"
    with pytest.raises(SettingsError):
        built(tmp_path / "nowhere", tmp_path / "c")


def test_good_files_are_built_beside_bad_ones(raw: Path, tmp_path: Path) -> None:
    good, _ = built(raw, tmp_path / "good")
    whole = (raw / "P1_A01f00d1.C01").read_bytes()
    (raw / "P9_A01f00d0.C01").write_bytes(whole[: len(whole) // 2])
    (raw / "P9_A02f00d0.C01").write_bytes(b"\0\0\0\x11" + whole[4:])
    (raw / "cut.png").write_bytes((raw / "P2_C03f01d0.png").read_bytes()[:-30])
    np.save(raw / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (raw / "bomb.xml").write_text('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>')
    (raw / "lone_objects.png").write_bytes((raw / "P2_C03f01d0_objects.png").read_bytes())
    (raw / "new\nline é.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    corpus, told = built(raw, tmp_path / "c")
    assert {json.loads(e.as_json())["file"].rsplit("/", 1)[-1] for e in told} == {
        "P9_A01f00d0.C01",
        "P9_A02f00d0.C01",
        "cut.png",
        "pickled.npy",
        "bomb.xml",
        "lone_objects.png",
        "new\nline é.png",
    }
    assert all(e.rule and e.message for e in told)
    assert corpus.digest == good.digest


def test_one_bad_channel_does_not_take_its_field_along(raw: Path, tmp_path: Path) -> None:
    path = raw / "P1_B02f01d1.C01"
    path.write_bytes(path.read_bytes()[:200])
    corpus, told = built(raw, tmp_path / "c")
    assert [e.rule for e in told if e.rule.startswith("c01")] == ["c01-truncated"]
    image = corpus["P1_B02f01"].image("raw")
    assert [c.name for c in image.channels] == ["d0"]
    assert corpus["P1_B02f02"].image("raw").shape[0] == 2


def run_and_kill(raw: Path, root: Path, after: float) -> bool:
    """Start a build, kill all of it after so many seconds; whether it was still running."""
    command = [sys.executable, "-m", "corpuscle", "build", "nuclei", str(raw), str(root), "--workers", "2"]
    run = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return True
    return False


@pytest.mark.slow
def test_killed_anywhere_and_resumed_it_is_the_undisturbed_corpus(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_scale(raw, 400)
    start = time.monotonic()
    undisturbed, _ = built(raw, tmp_path / "whole", workers=2)
    took = time.monotonic() - start
    rng = random.Random(1)
    for trial in range(3):
        root = tmp_path / f"killed{trial}"
        killed = sum(run_and_kill(raw, root, rng.uniform(0.1, 0.9) * took) for _ in range(5))
        assert killed
        corpus, told = built(raw, root, workers=2)
        assert not told
        assert corpus.digest == undisturbed.digest
        assert snapshot(root) == snapshot(tmp_path / "whole")
        shutil.rmtree(root)
        shutil.rmtree(beside(root))
