"""What was torn, or had a bit flipped, while nobody was at work is found, by name, and never merged in silently."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from corpuscle.blocks import sink
from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Outcome, attempt
from corpuscle.blocks.request import Request
from corpuscle.core import Image, Space
from corpuscle.errors import CorpuscleError, StoreError
from corpuscle.formats import omezarr
from tests.faults.world import CASES, failing, here, shelf_of, tree

FEW = [c for c in CASES if c.startswith("few")]
Half: TypeAlias = tuple[Path, str, dict[str, str]]
METADATA = ("dtype",)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Half]:
    """Each small case as a failure of its last block left it, and the digest and bytes that it should come to."""
    found = {}
    for case in FEW:
        folder = tmp_path_factory.mktemp("half")
        assert here(case, folder / "whole").ok
        failing(folder / "left", case, tuple(n - 1 for n in CASES[case].shape))
        assert len(here(case, folder / "left").failures) > 0
        failing(folder / "left", case, None)
        found[case] = folder, shelf_of(case, folder / "whole").made("r")["out"].digest, tree(folder / "whole")
    return found


def _copy(folder: Path, to: str) -> Path:
    for end in ("", ".ledger"):
        shutil.rmtree(folder / (to + end), ignore_errors=True)
        shutil.copytree(folder / ("left" + end), folder / (to + end))
    return folder / to


def _files(left: Path) -> list[Path]:
    """What a run has left of its work: shards, what is spooled, metadata, the books."""
    places = (left / "r" / "work", Path(f"{left}.ledger") / "units")
    return sorted(p for top in places for p in top.rglob("*") if p.is_file() and p.stat().st_size)


def _damage(path: Path, rng: random.Random, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        del data[rng.choice([0, rng.randrange(len(data)), len(data) - 1]) :]
    path.write_bytes(data)


def _goes_on(case: str, left: Path, hurt: Path, digest: str, bytes_: dict[str, str]) -> str:
    """What became of the damage: mended, refused by name, or found by whoever reads the pixels."""
    try:
        failures = here(case, left).failures
    except CorpuscleError as e:
        failures = (e,)
    if failures and hurt.name not in METADATA:
        failures = here(case, left).failures
    if failures:
        assert hurt.name in METADATA, failures
        assert any(str(hurt.parent) in str(e) for e in failures), failures
        return "refused"
    if tree(left) == bytes_:
        assert shelf_of(case, left).made("r")["out"].digest == digest
        return "mended"
    image = shelf_of(case, left).record("r").image("out")
    unreadable = [k for k, level in enumerate((image, *image.levels)) if not _readable(level)]
    assert unreadable
    return "found"


def _readable(level: Image) -> bool:
    try:
        level.read()
    except StoreError as e:
        return "out.zarr" not in str(e)
    return True


def _many(half: dict[str, Half], case: str, how: str, trials: int) -> dict[str, int]:
    folder, digest, bytes_ = half[case]
    rng = random.Random(f"{case} {how}")
    files = _files(folder / "left")
    became: dict[str, int] = {}
    for n in range(trials):
        left = _copy(folder, f"{how}{n}")
        name = rng.choice(files)
        top = "left.ledger" if name.is_relative_to(folder / "left.ledger") else "left"
        hurt = folder / (left.name + top.removeprefix("left")) / name.relative_to(folder / top)
        _damage(hurt, rng, how)
        what = _goes_on(case, left, hurt, digest, bytes_)
        became[what] = became.get(what, 0) + 1
        shutil.rmtree(left)
        shutil.rmtree(f"{left}.ledger")
    return became


@pytest.mark.parametrize("how", ["cut", "flip"])
@pytest.mark.parametrize("case", FEW)
def test_no_damage_is_merged_in(case: str, how: str, half: dict[str, Half]) -> None:
    became = _many(half, case, how, 6)
    assert how == "flip" or "found" not in became, "what is torn is seen before anything is done"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "trials"), [("cut", 30), ("flip", 55)])
@pytest.mark.parametrize("case", FEW)
def test_no_damage_is_merged_in_many_times(case: str, how: str, trials: int, half: dict[str, Half]) -> None:
    became = _many(half, case, how, trials)
    assert sum(became.values()) == trials
    assert how == "flip" or "found" not in became


class Stopping(Local):
    """An engine of one worker that is gone after so many units."""

    def __init__(self, after: int) -> None:
        super().__init__(1)
        self.left = after

    def map(self, work, units, *, threads=False):  # type: ignore[no-untyped-def]
        for unit in units:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            outcome: Outcome[object] = attempt(work, unit)
            yield outcome


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_a_conversion_writes_again_what_was_damaged(how: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 4000, (12, 270, 40)).astype("u2")
    image = Image(pixels, Space("tyx"))
    rng = random.Random(how)
    omezarr.write(image, tmp_path / "whole.zarr", name="raw")
    for n in range(8):
        asked = Request({"raw": image}, tmp_path / f"{n}.zarr", {"file": "pixels"}, verify=True)
        with pytest.raises(KeyboardInterrupt):
            convert(asked, engine=Stopping(rng.randrange(2, 30)))
        work = tmp_path / f"{n}.zarr.ledger" / "work"
        files = [p for p in work.rglob("*") if p.is_file() and p.name not in METADATA and p.stat().st_size]
        hurt = rng.choice(sorted(files))
        if how == "gone":
            hurt.unlink()
        else:
            _damage(hurt, rng, how)
        sink._made.cache_clear()  # as in another process
        done = convert(asked, engine=Local(1))
        if not done.ok:
            assert any(str(tmp_path) in str(e) for e in done.failures)
            done = convert(asked, engine=Local(1))
        assert done.ok, done.failures
        assert tree(asked.dst) == tree(tmp_path / "whole.zarr")
        shutil.rmtree(asked.dst)
