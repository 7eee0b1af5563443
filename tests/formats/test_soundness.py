"""Each fault of an image on disk is found where it is, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corpuscle.core import Image, Space
from corpuscle.formats import omezarr
from corpuscle.formats.ngff import VERSIONS, Version
from corpuscle.formats.soundness import problems


def written(path: Path, *, labels_of: str | None = None, version: Version = "0.5") -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (2, 300, 2100)).astype("u2")
    pixels[1] = 0
    axes = "cyx"
    omezarr.write(Image(pixels, Space(axes), labels_of=labels_of), path, version=version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("labels_of", [None, "raw"])
def test_what_was_written_is_sound(labels_of: str | None, version: Version, tmp_path: Path) -> None:
    written(tmp_path / "a", labels_of=labels_of, version=version)
    assert list(problems(tmp_path / "a")) == []


def flip(path: Path) -> None:
    data = bytearray((path / "0/c/0/0/1").read_bytes())
    data[len(data) // 3] ^= 4
    (path / "0/c/0/0/1").write_bytes(data)


def tear(path: Path) -> None:
    data = (path / "2/c/0/0/0").read_bytes()
    (path / "2/c/0/0/0").write_bytes(data[: len(data) // 2])


def drop_shard(path: Path) -> None:
    (path / "1/c/1/0/0").unlink()


def drop_level(path: Path) -> None:
    shutil.rmtree(path / "2")


def forget_level(path: Path) -> None:
    meta = json.loads((path / "zarr.json").read_text())
    meta["attributes"]["ome"]["multiscales"][0]["datasets"].pop()
    (path / "zarr.json").write_text(json.dumps(meta))


def swap_level(path: Path) -> None:
    image = omezarr.read_image(path)
    pixels = image.read(level=1).copy()
    pixels[0, 17, 1] += 100
    target = omezarr.create(path, image.shape, image.dtype, image.space)
    for box in target.level_shards(1):
        target.write(box, pixels[box.slices], level=1)


def resize_level(path: Path) -> None:
    meta = json.loads((path / "1/zarr.json").read_text())
    meta["shape"][1] -= 1
    (path / "1/zarr.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (flip, [("shard-torn", "0/c/0/0/1")]),
        (tear, [("shard-torn", "2/c/0/0/0")]),
        (drop_shard, [("shard-missing", "1/c/1/0/0")]),
        (drop_level, [("zarr-missing", "2")]),
        (forget_level, [("level-missing", "")]),
        (swap_level, [("level-wrong", "")]),
        (resize_level, [("level-shape", "")]),
    ],
)
def test_a_fault_is_found(harm: Callable[[Path], None], found: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "a"
    written(path)
    harm(path)
    assert [(e.rule, e.where) for e in problems(path)] == [(rule, str(path / where)) for rule, where in found]
