from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from corpuscle.core import Image
from corpuscle.errors import SettingsError
from corpuscle.formats import c01, cellomics, rgbmask
from corpuscle.worlds.nuclei import Field, fields, image, outlines, write, write_scale
from corpuscle.worlds.plate import PARTS, plan

EIGHT = np.ones((3, 3))


@pytest.fixture(scope="module")
def tiny() -> list[Field]:
    return list(fields("tiny", seed=5))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write(folder, size="tiny", seed=5)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_field_depends_on_its_seed_and_place_alone(tiny: list[Field]) -> None:
    for site, field in list(zip(plan("tiny", seed=5), tiny, strict=True))[::-3]:
        again = image(site)
        assert (again.labels == field.labels).all()
        assert all((again.channels[c] == field.channels[c]).all() for c in field.channels)


def test_truth_is_whole_objects_numbered_without_gaps(tiny: list[Field]) -> None:
    for field in tiny:
        n = int(field.labels.max())
        sizes = np.bincount(field.labels.ravel())[1:]
        assert len(sizes) == n
        assert (sizes >= 6).all()
        for k, where in enumerate(ndimage.find_objects(field.labels), 1):
            assert ndimage.label(field.labels[where] == k, EIGHT)[1] == 1


def test_pixels_are_those_of_a_twelve_bit_camera(tiny: list[Field]) -> None:
    for field in tiny:
        for pixels in field.channels.values():
            assert pixels.dtype == np.uint16
            assert pixels.max() <= 4095
            assert pixels.min() > 20


def test_files_are_read_as_what_was_grown(raw: Path, tiny: list[Field]) -> None:
    records = {r.name: r for r in cellomics.plate(raw) if not isinstance(r, Exception)}
    assert len(records) == len(tiny)
    for site, field in zip(plan("tiny", seed=5), tiny, strict=True):
        stem = raw / site.plate / site.name
        for channel, pixels in field.channels.items():
            data = Path(f"{stem}{channel}.C01").read_bytes()
            assert (c01.decode(data) == pixels).all()
        assert c01.header(Path(f"{stem}d0.C01")).um == pytest.approx((0.454, 0.454), abs=1e-6)
        truth = Path(f"{stem}d0_objects.png")
        assert truth.exists() == (site.part is not None)
        if site.part:
            (labels,) = rgbmask.read(truth).layers.values()
            assert isinstance(labels, Image)
            assert (labels.read() == field.labels).all()


def test_overlays_are_outlines_of_unknown_size(raw: Path) -> None:
    overlays = sorted(raw.rglob("*o1.C01"))
    assert overlays
    for path in overlays:
        pixels = c01.decode(path.read_bytes())
        assert set(np.unique(pixels)) <= {0, 2, 13}
        assert c01.header(path).um == (None, None)


def test_an_outline_is_one_pixel_wide() -> None:
    counts = np.full((60, 60), 100, np.uint16)
    counts[20:45, 20:45] = 1000
    drawn = outlines(counts)
    assert (drawn == 13).sum() > 60
    assert not ndimage.binary_erosion(drawn > 0, np.ones((2, 2))).any()
    assert drawn[32, 32] == 0


def test_the_split_names_annotated_fields_and_leaks_as_told(raw: Path) -> None:
    split = json.loads((raw / "split.json").read_text())
    assert list(split) == list(PARTS)
    named = [name for part in PARTS for name in split[part]]
    assert sorted(named) == sorted(p.name.removesuffix("_objects.png") for p in raw.rglob("*_objects.png"))
    wells = {part: {name.split("f")[0] for name in split[part]} for part in PARTS}
    assert len(wells["train"] & wells["test"]) == 1
    assert len(wells["train"] & wells["dev"]) == 1
    assert "Simulated" in (raw / "README.txt").read_text()


def test_the_same_seed_writes_the_same_bytes_even_over_themselves(raw: Path, tmp_path: Path) -> None:
    before = digests(raw)
    write(raw, size="tiny", seed=5)
    assert digests(raw) == before
    write(tmp_path, size="tiny", seed=6)
    assert digests(tmp_path) != before


def test_a_folder_of_something_else_is_refused_before_anything_is_written(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingsError) as caught:
        write(tmp_path, size="tiny")
    assert caught.value.rule == "world-folder"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(SettingsError):
        write(raw, size="tiny", seed=6)


def test_a_plate_for_scale_has_pixels_of_its_own_in_every_file(tmp_path: Path) -> None:
    write_scale(tmp_path / "a", 40, seed=1)
    write_scale(tmp_path / "b", 24, seed=1)
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert len(a) == len(set(a.values())) == 40
    assert b.items() <= a.items()
    paths = sorted((tmp_path / "a").rglob("*.C01"))
    assert 250_000 < paths[0].stat().st_size < 420_000
    pixels = c01.decode(paths[0].read_bytes())
    assert pixels.shape == (512, 512)
    assert 100 < np.median(pixels) < 1000
    with pytest.raises(SettingsError):
        write_scale(tmp_path, -1)


def otsu(image: NDArray[Any]) -> float:
    return float(threshold_otsu(image))  # type: ignore[no-untyped-call]


def hits(truth: NDArray[Any], guess: NDArray[Any], at: float) -> int:
    """True objects that some guessed one overlaps with IoU of `at` or more; above one half a match is unique."""
    n, m = int(truth.max()) + 1, int(guess.max()) + 1
    joint = np.bincount((truth.astype(np.int64) * m + guess).ravel(), minlength=n * m).reshape(n, m)
    union = joint.sum(1)[:, None] + joint.sum(0)[None, :] - joint
    good = (joint / np.maximum(union, 1))[1:, 1:] >= at
    return int(min(good.any(1).sum(), good.any(0).sum())) if good.size else 0


def difficulty(size: str, seed: int) -> tuple[dict[str, float], NDArray[Any], list[float]]:
    """Micro F1 of three plain methods at IoU 0.5 and of one at 0.9; areas; foreground share of each field."""
    tally = {name: np.zeros(3) for name in ("otsu8", "otsu4", "gauss", "gauss at .9")}
    areas, share = [], []
    for site in plan(size, seed=seed):
        if site.part is None:
            continue
        field = image(site)
        raw, truth = field.channels["d0"].astype(np.float32), field.labels
        smooth = ndimage.gaussian_filter(raw, 1)
        plain = raw > otsu(raw)
        calm = ndimage.label(smooth > otsu(smooth), EIGHT)[0]
        for name, guess, at in (
            ("otsu8", ndimage.label(plain, EIGHT)[0], 0.5),
            ("otsu4", ndimage.label(plain)[0], 0.5),
            ("gauss", calm, 0.5),
            ("gauss at .9", calm, 0.9),
        ):
            tally[name] += (hits(truth, guess, at), truth.max(), guess.max())
        areas.append(np.bincount(truth.ravel())[1:])
        share.append(float((truth > 0).mean()))
    return {k: 2 * t / (n + m) for k, (t, n, m) in tally.items()}, np.concatenate(areas), share


def assert_as_hard_as_real(size: str, seed: int) -> None:
    scores, areas, share = difficulty(size, seed)
    assert 0.25 <= scores["otsu8"] <= 0.50
    assert 0.65 <= scores["gauss"] <= 0.80
    # Four-connected specks are more; the real development images score 0.18.
    assert 0.18 <= scores["otsu4"] <= 0.50
    assert 0.15 <= scores["gauss at .9"] <= 0.40
    assert 0.10 <= (areas < 100).mean() <= 0.22
    assert 0.02 <= (areas < 25).mean() <= 0.10
    assert 1100 <= np.median(areas) <= 1700
    assert areas.max() > 3000
    assert 0.02 <= np.mean(share) <= 0.10


def test_the_default_plate_is_as_hard_as_the_real_one() -> None:
    assert_as_hard_as_real("small", 0)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seed"), [*(("small", k) for k in range(1, 5)), *(("real", k) for k in range(5))])
def test_other_plates_are_as_hard_as_the_real_one(size: str, seed: int) -> None:
    assert_as_hard_as_real(size, seed)
