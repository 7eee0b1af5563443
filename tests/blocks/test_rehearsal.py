"""A forecast from a few blocks: which they are, what they say of the whole, and how the run then compares."""

from __future__ import annotations

import os
import time
from functools import partial
from math import prod
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.conversion import forecast_conversion
from corpuscle.blocks.convert import convert
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.extract import Ghost, Window, extracts, ghost
from corpuscle.blocks.forecast import Forecast, refuse
from corpuscle.blocks.gauge import Gauge, used
from corpuscle.blocks.grid import plan_work
from corpuscle.blocks.merge import Stitch
from corpuscle.blocks.progress import Progress, Receipt, Watch
from corpuscle.blocks.rehearsal import Extent, extent, forecast, parts
from corpuscle.blocks.request import Request
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.step import Across, Blockwise, Whole
from corpuscle.blocks.trial import trial
from corpuscle.core import Box, Cut, Image, Record, Space, px
from corpuscle.core.pyramid import downsample
from corpuscle.errors import FormatError, PlanError, StepError
from corpuscle.formats import omezarr
from corpuscle.formats.lazy import Lazy
from corpuscle.ops.smooth import gaussian
from corpuscle.recipe.subjects import Kind, made_up, objects_above, plan, steps_of, subject
from corpuscle.store.ledger import Ledger

SMOOTH = Blockwise(partial(gaussian, sigma=1.0, spacing=None), "raw", "smooth", halo=px(4))


def volume(n: int) -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 4000, (n, n, n)).astype(np.uint16), Space("zyx"))


@given(shape=st.tuples(*[st.integers(1, 70)] * 3), tile=st.tuples(*[st.integers(3, 9)] * 3))
def test_what_is_tried_are_pairs_of_whole_neighbours(shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
    array = np.arange(prod(shape)).reshape(shape)
    image = Image(array, Space("zyx"), (), None, (Image(array[::2, ::2, ::2], Space("zyx").coarser((2, 2, 2))),))
    cut = Cut(shape, tuple(min(t, n) for t, n in zip(tile, shape, strict=True)))
    found = extracts(Record("r", {}, {"raw": image}), tile, "zyx")
    if len(cut) <= 2:
        assert found == [Record("r", {}, {"raw": image})] or found[0].image("raw").shape == shape
        return
    assert 1 <= len(found) <= max(1, min(4, len(cut) // 200))
    assert len({r.name for r in found}) == len(found)
    for record in found:
        window = record.image("raw").array
        assert isinstance(window, Window)
        box = window.box
        assert len(cut.touching(box)) == 2
        assert Box.of(shape).clip(box) == box
        np.testing.assert_array_equal(record.image("raw").read(), array[box.slices])
        assert len(record.image("raw").levels) == 1
    assert any(b == n for b, n in zip(box.stop, shape, strict=True))


def test_layers_of_another_size_and_no_images_stay_as_they_are() -> None:
    small = Image(np.zeros((4, 4)), Space("yx"))
    (only,) = extracts(Record("r", {}, {"raw": Image(np.zeros((90, 30)), Space("yx")), "small": small}), (30, 30), "yx")
    assert only.image("raw").shape == (60, 30)
    assert only["small"] is small
    bare = Record("bare")
    assert extracts(bare, None, "zyx") == [bare]


def test_a_stand_in_has_a_shape_and_levels_but_no_pixels() -> None:
    image = ghost((600, 600), np.dtype(np.uint8), Space("yx"), labels_of="raw")
    assert [x.shape for x in image.levels] == [(300, 300), (150, 150)]
    assert isinstance(image.array, Ghost)
    with pytest.raises(PlanError):
        image.read()


@given(n=st.integers(1, 60), t=st.integers(4, 60), halo=st.integers(0, 70))
def test_what_all_blocks_read_is_told_without_going_through_them(n: int, t: int, halo: int) -> None:
    step = Blockwise(np.abs, "raw", "out", halo=px(halo), axes="yx")
    record = Record("r", {}, {"raw": ghost((n, 2 * n), np.dtype(np.uint8), Space("yx"))})
    work = plan_work(step, record, (t, t))
    reads = [b.grow(work.halo).clip(Box.of(work.shape)).size for b in work.blocks]
    told = extent(step, [record], (t, t))
    assert told == Extent(len(reads), 2 * n * n, sum(reads), min(t, n) * min(t, 2 * n), max(reads), 1)


def test_steps_over_whole_records_go_together() -> None:
    a, b = Whole(len, "a", "b"), Whole(len, "b", "c")
    group = Across(len, "a", "d")
    assert parts([a, b, SMOOTH, group, a]) == [(a, b), SMOOTH, group, (a,)]


def fill(folder: Path, watch: Watch, *, size: int) -> int:
    (folder / "kept").write_bytes(b"x" * size)
    (folder / "lost").write_bytes(b"x" * size)
    held = b"x" * 10 * size
    time.sleep(0.15)
    (folder / "lost").unlink()
    watch(Progress("fill").tick(done=1, bytes_=len(held)))
    return size


def refuse_it(folder: Path, watch: Watch) -> None:
    raise FormatError("it is no such file", where=folder.name)


def fall_over(folder: Path, watch: Watch) -> None:
    raise ZeroDivisionError("by nothing")


def die(folder: Path, watch: Watch) -> None:
    os.kill(os.getpid(), 9)


def test_a_trial_tells_what_a_job_took(tmp_path: Path) -> None:
    size = 8_000_000
    found = trial([partial(fill, size=size), partial(fill, size=size // 2)], workers=2, folder=tmp_path)
    one, two = found.took
    assert (one.told, two.told) == (size, size // 2)
    assert one.stays == pytest.approx(size, rel=0.01)
    assert one.most == pytest.approx(2 * size, rel=0.01)
    assert one.seconds >= 0.15
    assert one.memory - found.idle == pytest.approx(10 * size, rel=0.25)
    assert [p.bytes for p in one.passes] == [10 * size]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "kind", "says"),
    [(refuse_it, FormatError, "no such file"), (fall_over, StepError, "ZeroDivisionError"), (die, PlanError, "died")],
)
def test_a_trial_that_goes_wrong_says_how(job: object, kind: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=says):
        trial([job], workers=1, folder=tmp_path)  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def carried(step: Blockwise, record: Record, folder: Path, workers: int, block: tuple[int, ...] | None) -> Receipt:
    """The run itself, with the seconds, the memory and the disk that it took."""
    shelf = Scratch.of(folder / "shelf", record, digests={f"{record.name}/raw": "x"})
    with Gauge(every=0.1) as gauge, Local(workers) as engine, Ledger(folder / "ledger") as ledger:
        start = time.perf_counter()
        done = run([step], shelf, Conditions(engine, ledger, block=block))
        seconds = time.perf_counter() - start
    assert done.ok, done.failures
    return Receipt(done.done, seconds=seconds, peak=gauge.peak)


def test_a_chain_of_steps_is_told_from_two_blocks(tmp_path: Path) -> None:
    source = tmp_path / "raw.zarr"
    omezarr.write(volume(128), source, name="raw")
    record = Record("r", {}, {"raw": omezarr.read_image(source)})
    op = partial(objects_above, level=2000.0, connectivity=26)
    objects = Blockwise(op, "smooth", "objects", halo=px(1), merge=Stitch(), labels_of="raw")
    told = forecast([SMOOTH, objects], [record], workers=1, block=(32, 32, 32), folder=tmp_path)
    assert [(r.step, r.units) for r in told.rows] == [("smooth", 64), ("objects", 64)]
    assert told.sampled == 2
    assert all(r.seconds > 0 and r.memory >= told.idle and 0 < r.stays <= r.most for r in told.rows)
    assert told.rows[0].threads
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw.zarr"]
    carried(SMOOTH, record, tmp_path, 1, (32, 32, 32))
    stays = used(Scratch(tmp_path / "shelf").path("r", "smooth"))
    assert told.rows[0].stays == pytest.approx(stays, rel=0.4)
    with pytest.raises(PlanError, match="smooth needs about"):
        refuse(told, memory=told.idle // 2)


def test_a_run_beyond_its_bound_never_starts(tmp_path: Path) -> None:
    shelf = Scratch.of(tmp_path / "shelf", Record("r", {}, {"raw": volume(48)}))
    with Ledger(tmp_path / "ledger") as ledger:
        conditions = Conditions(Local(1), ledger, block=(16, 16, 16), memory=10_000_000)
        with pytest.raises(PlanError, match="smooth needs about"):
            run([SMOOTH], shelf, conditions)
        assert "smooth" not in shelf.record("r").layers
        assert run([SMOOTH], shelf, Conditions(Local(1), ledger, block=(16, 16, 16))).ok
    assert "smooth" in shelf.record("r").layers


def test_whole_records_count_by_their_size(tmp_path: Path) -> None:
    small, large = volume(32), volume(64)
    records = [Record(n, {}, {"raw": small}) for n in "abcdef"] + [Record("z", {}, {"raw": large})]
    halve = Whole(partial(halved, labels=False), "raw", "half")
    told = forecast([halve], records, workers=1, folder=tmp_path)
    (row,) = told.rows
    assert (row.step, row.units, told.sampled) == ("half", 7, 4)
    assert row.stays > 0


def halved(image: Image, *, labels: bool) -> Image:
    step = (2, 2, 2)
    return Image(downsample(image.read(), step, labels=labels), image.space.coarser(step))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["filter", "components", "convert"])
def test_the_run_then_takes_about_what_was_told(kind: Kind, tmp_path: Path) -> None:
    """Within a factor, as other work may go on beside: how close it comes is measured by benchmarks.engine_forecast."""
    source = tmp_path / "raw.zarr"
    rng = np.random.default_rng(0)
    pixels = made_up((512, 512, 512), np.dtype(np.uint16)) + rng.integers(0, 16, (512, 512, 512), np.uint16)
    omezarr.write(Image(pixels, Space("zyx")), source, name="raw")
    del pixels
    of = subject(str(source))
    told: Forecast = plan(kind, of, workers=2, folder=tmp_path)
    if kind == "convert":
        took = converted(of.image, tmp_path, 2)
    else:
        (step,) = steps_of(kind, of)
        assert isinstance(step, Blockwise)
        took = carried(step, of.record, tmp_path, 2, None)
    assert 1 / 5 < told.seconds / took.seconds < 5
    assert 1 / 2 < told.peak / took.peak < 2


def converted(image: Image, folder: Path, workers: int) -> Receipt:
    with Gauge(every=0.1) as gauge, Local(workers) as engine:
        start = time.perf_counter()
        done = convert(Request({"raw": image}, folder / "out.zarr", {"file": "x"}), engine=engine)
        seconds = time.perf_counter() - start
    assert done.ok, done.failures
    return Receipt(done.done, seconds=seconds, peak=gauge.peak)


def test_a_conversion_of_compressed_planes_counts_each_plane_once(tmp_path: Path) -> None:
    planes = Lazy((512, 300, 700), np.dtype(np.uint8), plane, lead=1)
    told = forecast_conversion(Image(planes, Space("zyx")), workers=1, folder=tmp_path)
    (row,) = told.rows
    assert (row.step, row.units, told.sampled) == ("convert", 12, 2)
    assert row.most >= row.stays + 256 * 300 * 700
    assert list(tmp_path.iterdir()) == []


def plane(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 9, (300, 700), np.uint8)
