"""A disk that is full at any moment: said in words, nothing half written, and with room made it goes on."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.request import Request
from corpuscle.core import Image, Space
from corpuscle.errors import CorpuscleError, StoreError
from corpuscle.formats import omezarr, pyramids
from tests.faults.world import CASES, Run, here, shelf_of, tree

FEW = [c for c in CASES if c.startswith("few")]


class Disk:
    """Refuses the write of a given number, having taken half of it, and all that come after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full_at: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code = full_at, code
        fill, whole, put = pyramids._fill, Path.write_bytes, os.write

        def filled(path: Path, data: Any) -> None:
            self.take(path)
            fill(path, data)

        def written(path: Path, data: Any) -> int:
            self.take(path)
            return whole(path, data)

        def noted(fd: int, data: Any) -> int:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            if path.suffix == ".jsonl" and self.left <= 1:
                put(fd, bytes(data)[: len(data) // 2])
                self.take(None)
            elif path.suffix == ".jsonl":
                self.take(None)
            return put(fd, data)

        monkeypatch.setattr(pyramids, "_fill", filled)
        monkeypatch.setattr(Path, "write_bytes", written)
        monkeypatch.setattr(os, "write", noted)

    def take(self, path: Path | None) -> None:
        self.left -= 1
        if self.left <= 0:
            if path is not None:
                with path.open("wb") as file:
                    file.truncate(10)
            raise OSError(self.code, os.strerror(self.code))


def _told(error: CorpuscleError) -> None:
    """Whether a message says what is the matter, where, and what to do."""
    assert isinstance(error, StoreError)
    assert error.rule == "disk-full"
    assert "bytes needed" in error.message
    assert "bytes free" in error.message
    assert "run again" in error.fix
    assert error.where


def _torn(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def _filled(case: str, folder: Path, at: int) -> bool:
    """Whether a disk that is full at the write of this number stopped the case; what was stopped goes on."""
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, at)
        try:
            failures = here(case, folder).failures
        except CorpuscleError as e:
            failures = (e,)
    for failure in failures:
        _told(failure)
    if any(f.where.startswith("r/out") for f in failures):
        assert any(str(folder) in f.message for f in failures), "the file is named as well"
    assert not _torn(folder)
    assert here(case, folder).ok
    return bool(failures)


def _at_many(case: str, tmp_path: Path, trials: int) -> int:
    assert here(case, tmp_path / "whole").ok
    rng = random.Random(case)
    stopped = 0
    for n in range(trials):
        folder = tmp_path / f"{n}"
        stopped += _filled(case, folder, rng.randrange(2, 5 * CASES[case].blocks))
        assert tree(folder) == tree(tmp_path / "whole")
    return stopped


@pytest.mark.parametrize("case", FEW)
def test_a_full_disk_is_told_and_outlived(case: str, tmp_path: Path) -> None:
    assert _at_many(case, tmp_path, 5) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("case", FEW)
def test_a_full_disk_is_told_and_outlived_at_many_moments(case: str, tmp_path: Path) -> None:
    assert _at_many(case, tmp_path, 20) >= 8


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.EROFS, errno.EIO])
def test_other_refusals_are_told_by_their_cause(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Disk(patch, 20, code)
        failures = here("few", tmp_path / "a").failures
    assert {f.rule for f in failures} <= {"disk-full", "store-read-only", "store"}
    assert all(any(w in f.message for w in ("quota", "read-only", "Input/output")) for f in failures)
    assert here("few", tmp_path / "a").ok


def test_a_conversion_outlives_a_full_disk(tmp_path: Path) -> None:
    image = Image(np.random.default_rng(1).integers(0, 4000, (10, 270, 40)).astype("u2"), Space("tyx"))
    omezarr.write(image, tmp_path / "whole.zarr", name="raw")
    rng, stopped = random.Random(0), 0
    for n in range(8):
        asked = Request({"raw": image}, tmp_path / f"{n}.zarr", {"file": "pixels"}, verify=True)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, rng.randrange(1, 60))
            try:
                failures = convert(asked, engine=Local(1)).failures
            except CorpuscleError as e:
                failures = (e,)
        for failure in failures:
            _told(failure)
        stopped += bool(failures)
        assert not _torn(tmp_path)
        assert convert(asked, engine=Local(1)).ok
        assert tree(asked.dst) == tree(tmp_path / "whole.zarr")
    assert stopped >= 4


def test_a_limit_on_the_size_of_files_is_told(tmp_path: Path) -> None:
    run = Run("paste", tmp_path / "a", slow=0, limit=30_000)
    shelf_of("paste", run.folder)
    done = run.finish()
    assert done["code"] == 1
    assert {f["rule"] for f in done["failures"]} == {"disk-full"}
    assert all("ulimit -f" in f["fix"] for f in done["failures"])
    run.limit = 0
    assert run.finish()["code"] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _sized(place: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", place], check=True)


def _on_small_disks(place: Path, case: str, trials: int) -> int:
    """At how many of so many sizes a disk was too small."""
    _sized(place, 64_000)
    whole = Run(case, place.parent / "whole", slow=0)
    assert whole.finish()["code"] == 0
    size = sum(p.stat().st_size for p in whole.folder.rglob("*") if p.is_file())
    run = Run(case, place / "a", slow=0, notes=place.parent / "a.log")
    rng, stopped = random.Random(case), 0
    for _ in range(trials):
        _sized(place, 64_000)
        shelf_of(case, run.folder)
        used = sum(p.stat().st_blocks for p in place.rglob("*")) // 2
        _sized(place, used + 8 + rng.randrange(1, 2 * size // 1024))
        done = run.finish()
        if done["code"] != 0:
            stopped += 1
            assert done["code"] == 1
            assert {f["rule"] for f in done["failures"]} == {"disk-full"}, done["failures"]
            assert all("bytes free" in f["reason"] and "run again" in f["fix"] for f in done["failures"])
            assert not _torn(place)
            _sized(place, 64_000)
            assert run.finish()["code"] == 0
        assert tree(run.folder) == tree(whole.folder)
        subprocess.run(["rm", "-rf", run.folder, f"{run.folder}.ledger"], check=True)
    return stopped


def test_a_small_disk(small_disk: Path) -> None:
    assert _on_small_disks(small_disk, "paste", 2)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["paste", "stitch", "claim"])
def test_small_disks_of_many_sizes(small_disk: Path, case: str) -> None:
    assert _on_small_disks(small_disk, case, 9) >= 3
