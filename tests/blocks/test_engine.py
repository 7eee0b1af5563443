"""A run survives what happens to it, and goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.fingerprint import fingerprint
from corpuscle.blocks.memory import Memory
from corpuscle.blocks.run import run
from corpuscle.blocks.step import Across, Blockwise, Whole, rebind
from corpuscle.core import Image, Record, Space, px, um
from corpuscle.errors import CorpuscleError, FormatError, SettingsError, SpaceError, StepError, StoreError
from corpuscle.store.ledger import Ledger

YX = Space("yx", scale=(0.5, 0.5))


def double(image: Image) -> Image:
    return Image(image.read() * 2, image.space)


def fussy(image: Image) -> Image:
    if image.read().max() > 5:
        raise FormatError("too bright", where="here")
    return double(image)


def square(n: int) -> int:
    return n * n


def dies_on_three(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def records(*tops: int) -> dict[str, Record]:
    return {
        f"r{i}": Record(f"r{i}", {"plate": "p"}, {"raw": Image(np.full((4, 4), top), YX)}) for i, top in enumerate(tops)
    }


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Conditions]:
    with Ledger(tmp_path / "ledger") as ledger:
        yield Conditions(Local(1), ledger)


def test_a_dying_worker_costs_its_unit_and_no_other() -> None:
    with Local(2) as engine:
        outcomes = list(engine.map(dies_on_three, range(8)))
    assert sorted(o.value for o in outcomes if o.error is None) == [0, 1, 2, 4, 5, 6, 7]
    (dead,) = [o for o in outcomes if o.error is not None]
    assert dead.unit == 3
    assert dead.error is not None
    assert dead.error.rule == "worker-died"


@pytest.mark.parametrize("units", [0, 1, 3, 4, 5, 30])
def test_every_unit_comes_out_once(units: int) -> None:
    with Local(2) as engine:
        assert sorted(o.value for o in engine.map(square, range(units))) == [n * n for n in range(units)]


def test_one_bad_record_does_not_stop_the_others(tmp_path: Path, where: Conditions) -> None:
    shelf = Memory(tmp_path / "scratch", records(1, 9, 2))
    receipt = run([Whole(fussy, "raw", "out")], shelf, where)
    assert (receipt.done, [e.message for e in receipt.failures]) == (2, ["too bright"])
    assert "out" not in shelf.record("r1").layers


def test_what_is_made_is_not_made_again_until_the_step_changes(tmp_path: Path, where: Conditions) -> None:
    shelf = Memory(tmp_path / "scratch", records(1, 2))
    step = Whole(partial(np_clip, top=1), "raw", "out")
    assert run([step], shelf, where).done == 2
    assert run([step], shelf, where).skipped == 2
    assert run([rebind(step, "top", 2)], shelf, where).done == 2


def np_clip(image: Image, *, top: int) -> Image:
    return Image(np.minimum(image.read(), top), image.space)


def shift(pixels: NDArray[Any], *, by: int) -> NDArray[Any]:
    log = os.environ.get("SHIFT_LOG")
    if log:
        with open(log, "a") as f:
            f.write("x")
    if os.environ.get("SHIFT_FAIL") == str(int(pixels.max())):
        raise FormatError("cannot", where="block")
    return pixels + by


def test_blocks_that_are_done_are_not_done_again(
    tmp_path: Path, where: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    pixels = np.repeat(np.arange(6), 4).reshape(6, 4)
    shelf = Memory(tmp_path / "scratch", {"r": Record("r", {}, {"raw": Image(pixels, YX)})})
    step = Blockwise(partial(shift, by=1), "raw", "out", axes="yx")
    monkeypatch.setenv("SHIFT_LOG", str(log))
    monkeypatch.setenv("SHIFT_FAIL", "4")
    where = replace(where, block=(1, 4))
    receipt = run([step], shelf, where)
    assert [e.where for e in receipt.failures] == ["r/out block 4"]
    assert len(log.read_text()) == 6
    monkeypatch.setenv("SHIFT_FAIL", "")
    assert run([step], shelf, where).ok
    assert len(log.read_text()) == 7
    np.testing.assert_array_equal(shelf.record("r").image("out").read(), pixels + 1)


def spacing_of(pixels: NDArray[Any], *, spacing: tuple[float, ...]) -> NDArray[Any]:
    return np.full(pixels.shape, spacing[0])


def test_an_op_that_asks_for_spacing_gets_it(tmp_path: Path, where: Conditions) -> None:
    shelf = Memory(tmp_path / "scratch", records(1))
    run([Blockwise(spacing_of, "raw", "out", axes="yx")], shelf, where)
    assert (shelf.record("r0").image("out").read() == 0.5).all()


def test_micrometres_on_unknown_scale_name_record_and_axis(tmp_path: Path, where: Conditions) -> None:
    shelf = Memory(tmp_path / "scratch", {"m1": Record("m1", {}, {"raw": Image(np.zeros((4, 4)), Space("yx"))})})
    step = Blockwise(partial(shift, by=0), "raw", "out", halo=um(4), axes="yx")
    (failure,) = run([step], shelf, where).failures
    assert isinstance(failure, SpaceError)
    assert "m1" in str(failure)
    assert "axis y" in str(failure)


def mean_of(images: Any) -> Image:
    arrays = [i.read() for i in images]
    return Image(np.mean(arrays, 0), YX)


def test_across_makes_one_layer_per_group(tmp_path: Path, where: Conditions) -> None:
    shelf = Memory(tmp_path / "scratch", records(1, 3))
    step = Across(mean_of, "raw", "flat", by="plate")
    assert run([step], shelf, where).done == 1
    assert (shelf.record("plate:p").image("flat").read() == 2).all()
    assert run([step], shelf, where).skipped == 1


def test_closures_are_refused() -> None:
    hidden = 3

    def op(image: Image) -> Image:
        return Image(image.read() + hidden, image.space)

    with pytest.raises(StepError, match="closure"):
        fingerprint(Whole(op, "raw", "out"))


def test_a_fingerprint_follows_parameters_and_not_names() -> None:
    a = Blockwise(partial(shift, by=1), "raw", "out", halo=px(1))
    assert fingerprint(a) == fingerprint(Blockwise(partial(shift, by=1), "raw", "elsewhere", halo=px(1)))
    assert fingerprint(a) != fingerprint(Blockwise(partial(shift, by=2), "raw", "out", halo=px(1)))
    assert fingerprint(a) != fingerprint(Blockwise(partial(shift, by=1), "raw", "out", halo=px(2)))


@pytest.mark.parametrize(("name", "value"), [("no", 1), ("by", "x"), ("by", True)])
def test_settings_that_cannot_be_meant_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingsError):
        rebind(Blockwise(partial(shift, by=1), "raw", "out"), name, value)


def test_a_second_run_is_refused_with_the_owners_name(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger"):
        code = (
            f"from corpuscle.store.ledger import Ledger; from pathlib import Path\n"
            f"try: Ledger(Path({str(tmp_path / 'ledger')!r}))\n"
            f"except OSError as e: print(e)"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()}" in told
    with pytest.raises(StoreError), Ledger(tmp_path / "ledger"):
        Ledger(tmp_path / "ledger")


def test_a_torn_line_is_no_line(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.note("f", "a", n=1)
    with (tmp_path / "ledger" / "units.jsonl").open("ab") as f:
        f.write(b'{"step":"f","unit":"b"')
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.done("f", "a") == {"n": 1}
        assert ledger.done("f", "b") is None
        ledger.note("f", "c")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.done("f", "c") == {}
        ledger.forget("f")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.done("f", "a") is None


def test_errors_cross_process_borders_whole() -> None:
    import pickle

    e = FormatError("m", where="w", fix="f", rule="r")
    back: CorpuscleError = pickle.loads(pickle.dumps(e))
    assert (back.message, back.where, back.fix, back.rule, type(back)) == ("m", "w", "f", "r", FormatError)
