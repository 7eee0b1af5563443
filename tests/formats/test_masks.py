"""Annotations from whatever file holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.realdata import real

from corpuscle.core import Image
from corpuscle.errors import FormatError
from corpuscle.formats import masks, png, rgbmask


def of(path: Path) -> NDArray[np.int64]:
    image, _ = masks.read(path, labels_of="raw")
    assert isinstance(image, Image)
    assert image.labels_of == "raw"
    return np.asarray(image.read(), np.int64)


TWO = np.array([[1, 1, 0, 2], [1, 0, 0, 2]], np.int32)


def test_every_way_to_write_them_gives_the_same_objects(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(rgbmask.encode(TWO)))
    (tmp_path / "b.png").write_bytes(png.encode(TWO.astype(np.uint8)))
    (tmp_path / "c.png").write_bytes(png.encode((TWO > 0).astype(np.uint8) * 255))
    tifffile.imwrite(tmp_path / "d.tif", TWO.astype(np.uint16))
    np.save(tmp_path / "e.npy", TWO)
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(of(path), TWO, err_msg=path.name)


def test_gaps_and_large_numbers_are_kept(tmp_path: Path) -> None:
    labels = np.array([[0, 7], [70000, 3]], np.uint32)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    np.testing.assert_array_equal(of(tmp_path / "a.tif"), labels)


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (np.array([[0.0, 1.5]], np.float32), "labels-float"),
        (np.array([[0, -1, 2]], np.int16), "labels-negative"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path: Path, labels: NDArray[np.generic], rule: str) -> None:
    np.save(tmp_path / "a.npy", labels)
    with pytest.raises(FormatError) as e:
        of(tmp_path / "a.npy")
    assert e.value.rule == rule


def test_the_stardist_examples(tmp_path: Path) -> None:
    del tmp_path
    labels = of(real("nuclei/stardist/dsb_mask2d.tif"))
    assert labels.shape == (256, 256) or labels.shape == (512, 512)
    other = of(real("nuclei/stardist/test_mask2d.tif"))
    assert sorted({len(np.unique(labels)) - 1, len(np.unique(other)) - 1})[-1] == 125
