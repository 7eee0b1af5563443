"""Many records to one: what a group's records make together, however large it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from corpuscle.blocks import across
from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.step import Across, Blockwise, Step
from corpuscle.core import Image, Record, Space, px
from corpuscle.core.image import ArrayLike
from corpuscle.store.ledger import Ledger

ZYX = Space("zyx", scale=(1.0, 0.5, 0.5))


@dataclass(frozen=True)
class Stack:
    """Heights one above the other, each read where it is asked for."""

    parts: tuple[ArrayLike, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(p.shape[0] for p in self.parts), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.parts[0].dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        z, *rest = key
        out, at = [], 0
        for part in self.parts:
            n = part.shape[0]
            a, b = max(z.start, at), min(z.stop, at + n)
            if a < b:
                out.append(np.asarray(part[(slice(a - at, b - at), *rest)]))
            at += n
        return np.concatenate(out)


def stacked(heights: Iterable[Image]) -> Image:
    parts = list(heights)
    return Image(Stack(tuple(p.array for p in parts)), parts[0].space)


def plus(pixels: NDArray[Any], *, by: int) -> NDArray[Any]:
    return pixels + by


@pytest.mark.parametrize("small", [0, 2**28])
@pytest.mark.parametrize("workers", [1, 2])
def test_heights_become_one_volume(small: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(across, "SMALL", small)  # above it, the whole engine writes what the records make
    rng = np.random.default_rng(0)
    heights = [rng.integers(0, 999, (n, 30, 40)).astype(np.uint16) for n in (20, 25, 17)]
    records = [Record(f"h{i}", {"animal": "a"}, {"raw": Image(h, ZYX)}) for i, h in enumerate(heights)]
    shelf = Scratch.of(tmp_path / "shelf", *records)
    steps: list[Step] = [
        Across(stacked, "raw", "kidney", by="animal"),
        Blockwise(partial(plus, by=1), "kidney", "more", halo=px(0)),
    ]
    with Ledger(tmp_path / "ledger") as ledger, Local(workers) as engine:
        conditions = Conditions(engine, ledger, block=(16, 16, 16))
        assert run(steps[:1], shelf, conditions).ok
        receipt = run(steps, shelf, conditions)
        assert receipt.ok, receipt.failures
    whole = shelf.record("animal:a").image("kidney")
    np.testing.assert_array_equal(whole.read(), np.concatenate(heights))
    np.testing.assert_array_equal(shelf.record("animal:a").image("more").read(), np.concatenate(heights) + 1)
    with Ledger(tmp_path / "ledger") as ledger, Local(1) as engine:
        again = run(steps, shelf, Conditions(engine, ledger, block=(16, 16, 16)))
    assert (again.done, again.skipped) == (0, 2)
