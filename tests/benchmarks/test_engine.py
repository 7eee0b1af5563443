"""The programs of the engine's benchmarks, on volumes so small that their figures say nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.engine_components import _Kept, _same
from benchmarks.engine_filter import _Compared
from benchmarks.installed import PEERS
from benchmarks.turns import Entry, contest
from scipy import ndimage

from benchmarks import engine_convert, engine_forecast, engine_scale, volumes
from corpuscle.core import Image, Space
from corpuscle.formats import omezarr, zarrays

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSCLE_BENCH_CACHE", str(tmp_path / "cache"))


def stored(pixels: np.ndarray, path: Path) -> Path:
    omezarr.write(Image(pixels, Space("zyx", scale=(0.012,) * 3)), path)
    return path


def test_the_filter_is_that_of_the_bare_kernel(tmp_path: Path) -> None:
    path = stored(volumes._em(80), tmp_path / "em.zarr")
    here = (sys.executable, "-m", "benchmarks.engine_filter", "--serve", path)
    bare = Entry("bare", (sys.executable, PEERS / "filter_bare.py", path / "0"))
    seen = _Compared(tmp_path)
    entries = [Entry("ours", here), Entry("level 0", (*here, "bare")), bare]
    turns, notes = contest(entries, tmp_path, rounds=1, warm=[path], cold=[path], after=seen)
    assert notes == []
    assert [t.name for t in turns] == ["ours", "level 0", "bare"]
    assert seen.off == {"ours": 0, "level 0": 0, "bare": 0}


def test_the_components_are_those_of_scipy(tmp_path: Path) -> None:
    path = stored(np.concatenate(list(volumes._blobs(96))), tmp_path / "blobs.zarr")
    kept = _Kept(tmp_path)
    entry = Entry("ours", (sys.executable, "-m", "benchmarks.engine_components", "--serve", path))
    _, notes = contest([entry], tmp_path, rounds=1, after=kept)
    truth, count = ndimage.label(zarrays.open_array(path / "0")[...], np.ones((3, 3, 3)))
    assert notes == []
    assert _same(kept.answers["ours"], truth) == (count, True)


def test_a_conversion_holds_its_source(tmp_path: Path) -> None:
    source = volumes.stack(2, side=128)
    here = (sys.executable, "-m", "benchmarks.engine_convert")
    entries = [
        Entry("ours", (*here, "--serve", source)),
        Entry("program", (*here, "--program", source)),
        Entry("floor", (sys.executable, PEERS / "convert_tensorstore.py", source)),
        Entry("loop", (sys.executable, PEERS / "convert_zarr_python.py", source, "2")),
    ]
    right = {}

    def compare(name: str, out: Path) -> None:
        right[name] = engine_convert._equal(source, out)

    _, notes = contest(entries, tmp_path, rounds=1, after=compare)
    assert notes == []
    assert right == {"ours": True, "program": True, "floor": True, "loop": True}


def test_scale_tells_its_story_and_leaves_nothing(tmp_path: Path) -> None:
    story = engine_scale._story(96)
    assert story.done
    assert list(story.steps) == ["smooth", "mask", "all", "sizes", "large", "objects"]
    assert story.objects > story.kept > 20
    assert story.peak_mb > 50
    assert story.disk > 100_000
    assert story.foreseen.keys() == {"peak_mb", "disk", "seconds"}
    assert not (tmp_path / "cache" / "scale" / "96").exists()


@pytest.mark.parametrize("kind", ["filter", "components"])
def test_a_forecast_and_its_run_speak_of_the_same(kind: str, tmp_path: Path) -> None:
    told, took = (how(kind, 96, tmp_path) for how in (engine_forecast._told, engine_forecast._took))
    assert told["blocks"] == 1
    assert {"seconds", "peak_mb", "disk"} <= told.keys() & took.keys()
