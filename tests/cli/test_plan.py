"""`corpuscle plan`, and what a person sees of a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from corpuscle.blocks.progress import Progress, Receipt, Stage
from corpuscle.cli import main, show
from corpuscle.cli.plan import cluster, run_plan
from corpuscle.errors import PlanError, SettingsError
from corpuscle.recipe.rates import recall

SMALL = "300x90x80:uint8"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_plan_here_and_on_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    run_plan("convert", SMALL, memory=None, workers=1, block=64, count=1, nodes=None, as_json=True)
    row, whole = lines(capsys)
    assert (row["step"], row["blocks"], whole["workers"]) == ("convert", 2, 1)
    assert 0 < whole["disk_mb"] <= whole["most_disk_mb"]
    nodes = cluster(4, 32, 8, 1.5, 100)
    run_plan("convert", SMALL, memory=None, workers=1, block=64, count=216, nodes=nodes, as_json=True)
    row, whole = lines(capsys)
    assert (row["blocks"], row["workers"]) == (432, 32)
    assert whole["cost"] == pytest.approx(4 * 1.5 * whole["hours"], abs=0.01)
    run_plan("convert", SMALL, memory=None, workers=1, block=64, count=2, nodes=nodes, as_json=False)
    assert "on 4 nodes" in capsys.readouterr().out


def test_rates_are_written_once_and_told_from_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = tmp_path / "rates.json"
    for size in (SMALL, "600x90x80:uint8"):
        run_plan("convert", size, memory=None, workers=1, block=None, count=1, nodes=None, as_json=True, rates=rates)
    _, once, _, again = lines(capsys)
    assert again["disk_mb"] == pytest.approx(2 * once["disk_mb"], rel=0.01)
    assert again["peak_mb"] == pytest.approx(once["peak_mb"], rel=0.01)
    with pytest.raises(SettingsError, match="rates of convert of uint8, not of convert of uint16"):
        recall(rates, what="convert", dtype="uint16", voxels=1, workers=1)
    rates.write_text("{}")
    with pytest.raises(SettingsError, match="tells of no rates"):
        recall(rates, what="convert", dtype="uint8", voxels=1, workers=1)


def test_a_run_above_its_memory_is_refused_with_the_step_and_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanError, match="filter needs about") as told:
        run_plan("filter", SMALL, memory=50_000_000, workers=2, block=64, count=1, nodes=None, as_json=False)
    assert told.value.rule == "plan-memory"
    assert told.value.fix
    assert "told from" in capsys.readouterr().out


@pytest.mark.parametrize(("workers", "block", "count"), [(0, None, 1), (1, 0, 1), (1, None, 0)])
def test_nothing_cannot_do_anything(workers: int, block: int | None, count: int) -> None:
    with pytest.raises(SettingsError):
        run_plan("filter", SMALL, memory=None, workers=workers, block=block, count=count, nodes=None, as_json=False)


@pytest.mark.parametrize("line", ["filter 0x5", "filter none.tif", "nothing raw", f"filter {SMALL} --nodes 0"])
def test_what_cannot_be_planned_ends_in_a_sentence(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpuscle", "plan", *line.split()])
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


class Terminal:
    """Standard error that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_a_bar_fills_up_and_one_without_end_only_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(show, "_every", lambda seconds, draw: draw)
    watch = show.watcher(as_json=False)
    p = Progress("smooth of r", total=40, skipped=10, started=0.0, peak=812_000_000)
    watch(p.tick(done=10, failed=1))
    assert "[==========          ] 20/40" in terminal.text
    assert "20/40, 1 failed, " in terminal.text
    assert "peak 812 MB, 10 done before" in terminal.text
    watch(Progress("ingest", started=0.0).tick(done=3))
    assert "<=>" in terminal.text
    assert terminal.text.count("\n") == 0


def test_progress_for_machines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "_every", lambda seconds, draw: draw)
    watch = show.watcher(as_json=True)
    watch(Progress("s", total=4, started=0.0, peak=5_000_000).tick(done=2, bytes_=10))
    watch(Progress("s", started=0.0).tick())
    first, second = (json.loads(line)["progress"] for line in capsys.readouterr().out.splitlines())
    assert (first["done"], first["total"], first["peak_mb"]) == (2, 4, 5)
    assert first["eta_s"] > 0
    assert (second["total"], second["eta_s"], second["per_s"]) == (None, None, None)


def test_a_log_gets_a_line_a_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(show, "time", SimpleNamespace(monotonic=lambda: now))
    watch = show.watcher(as_json=False)
    for _ in range(300):
        now += 1.0
        watch(Progress("s", total=300, started=0.0))
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_a_receipt_is_a_line_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    done = Receipt(3, 1, seconds=61.0, stages=(Stage("smooth", 3, 1, 0, 30_000_000, 60.0),), peak=10**9)
    show.receipt(done, as_json=False, what="build nuclei")
    out = capsys.readouterr().out
    assert "3 made, 1 made before, 0 failed, in 0:01:01 (61.0 s), peak memory 1000 MB" in out
    assert "smooth" in out
    show.receipt(done, as_json=True, what="build nuclei")
    (told,) = lines(capsys)
    assert told["steps"] == [{"step": "smooth", "done": 3, "skipped": 1, "failed": 0, "seconds": 60.0, "mb_per_s": 0.5}]


def test_sizes_and_times_read_well() -> None:
    assert [show.size(n) for n in (0, 999, 1.5e9, 2e12, 3e15)] == ["0 MB", "0.0 MB", "1.5 GB", "2.0 TB", "3.0 PB"]
    assert show.span(None) == "0:00:00"
    assert show.shortened("x" * 60) == "x" * 44 + " ..."
    assert np.isfinite(len(show.span(1e9)))
