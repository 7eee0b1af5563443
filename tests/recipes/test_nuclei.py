"""The nuclei recipe, on the world it fakes and on real files."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from corpuscle.blocks.engines.local import Local
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError
from corpuscle.ops.segment import local_watershed
from corpuscle.recipe import build
from corpuscle.recipes import load
from corpuscle.recipes.nuclei import LOCAL
from tests.realdata import real


def built(raw: Path, root: Path, *, workers: int = 1) -> tuple[Corpus, list[CorpuscleError]]:
    told: list[CorpuscleError] = []
    with Local(workers) as engine:
        build(load("nuclei"), raw, root, engine=engine, tell=told.append)
    return Corpus.open(root), told


@pytest.fixture(scope="module")
def faked(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("faked")
    load("nuclei").fake(folder / "raw", size="tiny", seed=3)
    corpus, told = built(folder / "raw", folder / "corpus")
    assert not told
    return corpus


def test_the_faked_plate_has_its_truth_its_split_and_its_terms(faked: Corpus) -> None:
    annotated = [n for n, e in faked.entries.items() if "nuclei" in e.layers]
    assert annotated
    split = faked.splits()["published"]
    assert set(split.names) == set(annotated)
    assert faked.study.licences["images"].spdx == "CC0-1.0"
    for name in annotated:
        truth, rows = faked[name].image("nuclei").read(), faked[name].table("objects")
        np.testing.assert_array_equal(np.unique(truth[truth > 0]), rows["label"])
        assert rows.units["area"] == "um2"


def test_every_guess_is_about_every_annotated_record(faked: Corpus) -> None:
    assert faked.guesses("nuclei") == ["nuclei@gauss-otsu", "nuclei@local", "nuclei@otsu", "nuclei@otsu-watershed"]
    for e in faked.entries.values():
        assert ("nuclei" in e.layers) == ("nuclei@local" in e.layers)


def test_the_percentiles_undo_the_normalisation(faked: Corpus) -> None:
    name = next(n for n, e in faked.entries.items() if "normalised" in e.layers)
    record = faked[name]
    raw, small, rows = record.image("raw").read(), record.image("normalised").read(), record.table("intensity")
    for c in range(len(rows)):
        lo, hi = float(rows["p_lo"][c]), float(rows["p_hi"][c])
        back = small[c] / 255 * (hi - lo) + lo
        assert np.abs(back - np.clip(raw[c], lo, hi)).max() <= (hi - lo) / 510 + 1e-9


def test_real_camera_files(tmp_path: Path) -> None:
    raw = real("nuclei/cellomics")
    golden = {x["file"]: x for x in json.loads((raw / "golden.json").read_text())}
    here = tmp_path / "raw"
    here.mkdir()
    for name in golden:
        shutil.copy(raw / name, here)
    corpus, told = built(here, tmp_path / "corpus")
    assert not told
    seen = 0
    for name in corpus.acquired:
        record = corpus[name]
        for layer in ("raw", "vendor_overlay"):
            if layer not in record.layers:
                continue
            image = record.image(layer)
            for i, channel in enumerate(image.channels):
                told_by = next(g for f, g in golden.items() if f.startswith(f"{name}{channel.name}."))
                pixels = image.read()[i]
                assert (int(pixels.min()), int(pixels.max()), int(pixels.sum(dtype=np.int64))) == (
                    told_by["min"],
                    told_by["max"],
                    told_by["sum"],
                )
                um = told_by["um_per_px"]
                known = image.space.scale[-1]
                # The overlays of a plate do not know its pixel size: they are as their own files say.
                assert (known is None and um is None) or known == pytest.approx(um)
                seen += 1
    assert seen == 18


@pytest.mark.slow
def test_the_published_objects_are_counted_exactly(tmp_path: Path) -> None:
    raw = real("nuclei/aitslab")
    corpus, told = built(raw, tmp_path / "corpus", workers=2)
    assert not told
    expected = json.loads((raw / "expected_counts.json").read_text())
    for part, objects in (("train", 1283), ("dev", 375)):
        total = 0
        for name, counts in expected[part].items():
            area = np.bincount(corpus[name].image("nuclei").read().ravel())[1:]
            found = {"n": len(area), "fg_px": int(area.sum()), "lt100": int((area < 100).sum())}
            assert found | {"max_area": int(area.max())} == counts, name
            total += len(area)
        assert total == objects
    assert {p: len(n) for p, n in corpus.splits()["published"].parts.items()} == {"train": 30, "dev": 10}
    assert len(corpus.splits(absent=True)["published"].parts["test"]) == 10


def test_label_tiff_pairs(tmp_path: Path) -> None:
    corpus, told = built(real("nuclei/stardist"), tmp_path / "corpus")
    assert not told
    assert len(corpus.acquired) == 2
    assert max(len(corpus[n].table("objects")) for n in corpus.acquired) == 125


@pytest.mark.slow
def test_the_dsb_archive(tmp_path: Path) -> None:
    corpus, told = built(real("nuclei/dsb2018/stage1_train_fluo_dev.zip"), tmp_path / "corpus", workers=2)
    assert [e.rule for e in told] == ["mask-overlap"]
    assert "1 pixel" in told[0].message
    assert len(corpus.acquired) == 53
    assert sum(len(corpus[n].table("objects")) for n in corpus.acquired) == 2461


def test_the_setting_written_down_is_the_one_that_was_chosen() -> None:
    chosen = {k: p.default for k, p in inspect.signature(local_watershed).parameters.items() if k in LOCAL}
    assert chosen == LOCAL
