"""Inputs that cannot be read, that change, or that two runs want at once: each told by name, and never mixed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpuscle.blocks import fingerprint
from corpuscle.blocks.sink import ZarrSink
from corpuscle.core import Box, Cut, Space
from corpuscle.errors import FormatError, StoreError
from corpuscle.formats import omezarr
from tests.faults import world
from tests.faults.world import CASES, IO_ERRORS, Run, failing, here, shelf_of, tree, volume


@pytest.mark.parametrize("code", IO_ERRORS)
@pytest.mark.parametrize("case", ["few", "few labels", "few objects"])
def test_a_block_that_cannot_be_read_fails_alone(
    case: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(world.LOG, str(log))
    assert here(case, tmp_path / "whole").ok
    failing(tmp_path / "a", case, tuple(n // 2 for n in CASES[case].shape), code)
    done = here(case, tmp_path / "a")
    assert 1 <= len(done.failures) <= 12  # with the blocks that read it in their halo
    for failure in done.failures:
        assert failure.where.startswith("r/out block ")
        assert os.strerror(code) in failure.message
        assert failure.fix
    assert done.done == CASES[case].blocks - len(done.failures)
    failing(tmp_path / "a", case, None)
    log.unlink()
    assert here(case, tmp_path / "a").ok
    assert len(log.read_text().splitlines()) == len(done.failures)
    assert tree(tmp_path / "a") == tree(tmp_path / "whole")


def test_a_source_that_vanishes_while_it_is_read(tmp_path: Path) -> None:
    run = Run("paste", tmp_path / "a", slow=20)
    source = tmp_path / "paste.npy"
    process = run.start()
    while run.calls < 10 and process.poll() is None:
        time.sleep(0.005)
    source.rename(tmp_path / "elsewhere.npy")
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 1
    done = json.loads(out)
    assert all("No such file" in f["reason"] and f["file"].startswith("r/out block") for f in done["failures"])
    before = run.calls
    (tmp_path / "elsewhere.npy").rename(source)
    assert run.finish()["code"] == 0
    assert run.calls - before == len(done["failures"])


@pytest.mark.parametrize("what", ["settings", "input", "version", "block"])
@pytest.mark.parametrize("case", ["few", "few parts"])
def test_what_changed_since_the_kill_is_never_mixed(
    case: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(tmp_path / "a", case, tuple(n - 1 for n in CASES[case].shape))
    assert not here(case, tmp_path / "a").ok
    failing(tmp_path / "a", case, None)
    bound: dict[str, Any] = {"by": 3} if what == "settings" else {}
    if what == "input":
        source = tmp_path / f"{case}.npy"
        was = source.stat()
        np.save(source, volume(case)[::-1])
        os.utime(source, ns=(was.st_atime_ns, was.st_mtime_ns))
    if what == "version":
        monkeypatch.setattr(fingerprint, "versions", lambda: {"numpy": "another"})
    if what == "block":
        other = tuple(max(1, n // 2) for n in CASES[case].block)
        monkeypatch.setattr(world, "CASES", {**CASES, case: replace(CASES[case], block=other)})
    assert here(case, tmp_path / "a", **bound).ok
    assert here(case, tmp_path / "fresh", **bound).ok
    assert tree(tmp_path / "a") == tree(tmp_path / "fresh")


def test_a_second_run_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    first = Run("few", tmp_path / "a")
    hold = Path(f"{first.log}.hold")
    hold.touch()
    process = first.start()
    while not first.calls and process.poll() is None:
        time.sleep(0.005)
    second = Run("few", tmp_path / "a").finish()
    assert second["code"] == 1
    (refusal,) = second["failures"]
    assert refusal["rule"] == "store-busy"
    assert f"process {process.pid} on " in refusal["reason"]
    with pytest.raises(StoreError, match="another run is at work here"):
        here("few", tmp_path / "a")
    hold.unlink()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert first.calls == CASES["few"].blocks


def test_the_lock_of_a_killed_run_is_taken_over_at_once(tmp_path: Path) -> None:
    run = Run("few", tmp_path / "a")
    hold = Path(f"{run.log}.hold")
    hold.touch()
    process = run.start()
    while not run.calls and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    hold.unlink()
    assert here("few", tmp_path / "a").ok


SHAPE, TILE = (16, 300, 280), (1, 300, 280)


def _write(folder: Path, mine: list[int], seed: int) -> None:
    """Write some blocks of one store, in an order of one's own."""
    sink = ZarrSink(folder / "a.zarr", "raw", SHAPE, Space("tyx"), Cut(SHAPE, TILE))
    random.Random(seed).shuffle(mine)
    sink.open(np.dtype("u2"))
    for i in mine:
        box = sink.blocks[i]
        sink.write(box, np.full(box.shape, 100 + i, "u2"))


@pytest.mark.parametrize("writers", [2, 5, 8])
def test_writers_of_whole_shards_lose_nothing_side_by_side(writers: int, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    there = [
        # Each has its own blocks, and one that its neighbour writes as well.
        context.Process(target=_write, args=(tmp_path, [*range(k, 16, writers), (k + 1) % 16], k))
        for k in range(writers)
    ]
    for process in there:
        process.start()
    for process in there:
        process.join(60)
        assert process.exitcode == 0
    sink = ZarrSink(tmp_path / "a.zarr", "raw", SHAPE, Space("tyx"), Cut(SHAPE, TILE))
    image = sink.image()
    want = np.broadcast_to(np.arange(100, 116, dtype="u2")[:, None, None], SHAPE)
    np.testing.assert_array_equal(image.read(), want)
    np.testing.assert_array_equal(image.level(1).read(), np.broadcast_to(want[:, :1, :1], image.level(1).shape))
    assert not list(tmp_path.rglob("*.part"))


def test_a_writer_that_cuts_shards_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    target = omezarr.create(tmp_path / "a.zarr", (300, 300, 300), "u2", Space("zyx"))
    before = tree(tmp_path / "a.zarr")
    for start in np.random.default_rng(0).integers(1, 255, (40, 3)):
        box = Box(tuple(int(n) for n in start), (256, 256, 256))
        with pytest.raises(FormatError, match="not made of whole shards"):
            target.write(box, np.zeros(box.shape, "u2"))
    assert tree(tmp_path / "a.zarr") == before
    sink = ZarrSink(tmp_path / "b.zarr", "raw", SHAPE, Space("tyx"), Cut(SHAPE, TILE))
    sink.open(np.dtype("u2"))
    with pytest.raises(FormatError, match="not made of whole shards"):
        sink.write(Box((0, 1, 0), (1, 300, 280)), np.zeros((1, 299, 280), "u2"))
    assert not list((tmp_path / "b.zarr").rglob("c/*"))


def test_a_shelf_of_another_input_is_another_shelf(tmp_path: Path) -> None:
    assert here("few", tmp_path / "a").ok
    first = shelf_of("few", tmp_path / "a").made("r")["out"]
    np.save(tmp_path / "few.npy", volume("few")[::-1])
    assert here("few", tmp_path / "a").ok
    assert shelf_of("few", tmp_path / "a").made("r")["out"].inputs != first.inputs
