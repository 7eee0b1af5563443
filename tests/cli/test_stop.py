"""Told to end, a run ends within ten seconds, with the exit code that says `again`, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from corpuscle.cli import stop
from corpuscle.cli.stop import CODE, Stopped, stoppable

ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
RUN = """
import sys
from functools import partial
from corpuscle.blocks.engines.local import Local
from corpuscle.cli import app, main, stop
from tests.blocks.engine_work import slowly
stop.GRACE = 1.0

@app.app.command()
def long() -> None:
    with Local(2) as engine:
        for outcome in engine.map(partial(slowly, seconds={seconds}), range(100), threads={threads}):
            print(outcome.value, flush=True)

if __name__ == "__main__":
    print("here", flush=True)
    sys.argv[1:] = ["long"]
    main()
"""


@pytest.mark.parametrize(("threads", "seconds", "first"), [(False, 0.1, "0"), (True, 0.1, "0"), (True, 30, "here")])
def test_a_run_that_is_told_to_end(tmp_path: Path, threads: bool, seconds: float, first: str) -> None:
    path = tmp_path / "script.py"
    path.write_text(RUN.format(seconds=seconds, threads=threads))
    with subprocess.Popen(
        [sys.executable, str(path)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        while run.stdout.readline().strip() != first:
            pass
        if first == "here":
            time.sleep(1)
        workers = psutil.Process(run.pid).children(recursive=True)
        run.terminate()
        start = time.monotonic()
        said = run.communicate(timeout=30)[1]
    assert time.monotonic() - start < 10
    assert run.returncode == CODE
    assert said.strip().splitlines()[-1].startswith("stopped;")
    assert "Traceback" not in said
    assert not psutil.wait_procs(workers, timeout=5)[1]


def test_it_is_raised_once_and_what_was_there_before_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "GRACE", 1e6)  # or it would end the tests
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as e, stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert e.value.code == CODE
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_build_that_was_told_to_end_goes_on_to_the_same_corpus(tmp_path: Path) -> None:
    def corpuscle(*args: str) -> subprocess.Popen[str]:
        run = [sys.executable, "-m", "corpuscle", *args]
        return subprocess.Popen(run, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    raw = str(tmp_path / "raw")
    corpuscle("fake", "nuclei", raw).communicate()
    whole, _ = corpuscle("build", "nuclei", raw, str(tmp_path / "whole"), "--workers", "2", "--json").communicate()
    build = ("build", "nuclei", raw, str(tmp_path / "cut"), "--workers", "2", "--json")
    codes = []
    for wait in (1.5, 3, 5):
        run = corpuscle(*build)
        time.sleep(wait)
        run.terminate()
        start = time.monotonic()
        run.communicate(timeout=30)
        assert time.monotonic() - start < 10
        codes.append(run.returncode)
    assert CODE in codes
    cut, _ = corpuscle(*build).communicate()
    assert cut.splitlines()[-1].partition("digest")[2] == whole.splitlines()[-1].partition("digest")[2] != ""
